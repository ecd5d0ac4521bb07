#![allow(clippy::unwrap_used, clippy::expect_used)]
//! The program as a person or a script meets it: the real binary in a world of its own.

mod copies;
mod credentials;
mod dry_run;
mod environment;
mod exits;
mod inside;
mod json;
mod keys;
mod mount;
mod retention;
mod screens;
mod siblings;
mod snapshots;

pub use environment::{Finished, PASSPHRASE, TestEnvironment, finished, tree};
