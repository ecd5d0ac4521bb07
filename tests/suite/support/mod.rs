#![allow(clippy::unwrap_used, clippy::expect_used)]
//! What several chapters of the suite share.

pub mod fault_proxy;
pub mod library;
pub mod listeners;
pub mod moto;
pub mod python;
pub mod random;
pub mod s3_server;
pub mod tree;

/// Whether the longer versions are wanted: `ICECORE_LONG=1`.
pub fn is_long() -> bool {
    std::env::var_os("ICECORE_LONG").is_some_and(|value| value == "1")
}
