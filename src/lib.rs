#![doc = include_str!("../ARCHITECTURE.md")]
#![forbid(unsafe_code)]

pub mod entry;
pub mod env;
pub mod id;
pub mod limits;
pub mod monitor;

pub mod source;
pub mod store;
