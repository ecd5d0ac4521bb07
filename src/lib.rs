#![doc = include_str!("../ARCHITECTURE.md")]
#![forbid(unsafe_code)]

pub mod archiver;
pub mod check;
pub mod chunker;
pub mod claim;
pub mod cli;
pub mod codec;
pub mod config;
pub mod crypto;
pub mod delta;
pub mod entry;
pub mod env;
pub mod event;
pub mod explain;
pub mod format;
pub mod id;
pub mod limits;
pub mod metrics;
pub mod monitor;
pub mod notice;
pub mod notify;
pub mod planted;
pub mod report;
pub mod schedule;
pub mod stats;
pub mod status;
pub mod units;

pub mod tree;

pub mod compare;
pub mod copy;
pub mod cost;
pub mod diff;
pub mod forget;
pub mod mirror;
pub mod mount;
pub mod prune;

pub mod retention;
pub mod selector;

pub mod repository;
pub mod restorer;
pub mod source;
pub mod spill;
pub mod store;
pub mod target;

#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(any(test, feature = "testing"))]
pub mod testing_repository;
