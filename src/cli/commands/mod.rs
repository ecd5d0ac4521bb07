//! One file per command: its options, and what it does with the library.

pub mod cache;
pub mod cat;
pub mod check;
pub mod compare;
pub mod completions;
pub mod copy;
pub mod diff;
pub mod domain;
pub mod find;
pub mod forget;
pub mod hold;
pub mod init;
pub mod key;
pub mod ls;
pub mod man;
pub mod mirror;
pub mod mount;
pub mod new_store;
pub mod overview;
pub mod prune;
pub mod repo;
pub mod restore;
pub mod snapshot;
pub mod snapshots;
pub mod version;
