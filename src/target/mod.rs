//! Targets: how what was restored is made live again, and proven to be what was captured.

pub mod files;
pub mod sqlite;
