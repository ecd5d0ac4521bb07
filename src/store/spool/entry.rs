//! What waits.

use crate::store::{LocalStore, ObjectKey};
use std::sync::Arc;

/// An object that waits or is going up.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: ObjectKey,
    pub(super) size: u64,
    /// Which of the spool's prefixes it is under: those of the first go up before what names them.
    pub(super) rank: usize,
    pub(super) local: Arc<LocalStore>,
    pub(super) going: bool,
}

impl Entry {
    pub(super) fn new(key: ObjectKey, size: u64, rank: usize, local: Arc<LocalStore>) -> Self {
        Self {
            key,
            size,
            rank,
            local,
            going: false,
        }
    }
}
