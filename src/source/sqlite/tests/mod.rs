//! Real databases, real writers in other processes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

pub(crate) mod child;
mod compacting;
mod consistency;
mod direct;
mod locking;
mod refusals;
pub(crate) mod support;
