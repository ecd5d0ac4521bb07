//! Open files of objects that are read by range: a restore reads many ranges of one pack.

use crate::store::{ObjectKey, lock};
use std::collections::VecDeque;
use std::fs::File;
use std::sync::{Arc, Mutex};

/// Most files held open.
const HANDLES_MAX: usize = 32;

/// The files used last, the most recent at the back.
#[derive(Debug, Default)]
pub(super) struct Handles(Mutex<VecDeque<(ObjectKey, Arc<File>)>>);

impl Handles {
    /// The open file of `key`, if there is one. It may have been replaced or deleted since.
    pub fn find(&self, key: &ObjectKey) -> Option<Arc<File>> {
        let mut files = lock(&self.0);
        let position = files.iter().position(|(held, _)| held == key)?;
        let held = files.remove(position)?;
        let file = Arc::clone(&held.1);
        files.push_back(held);
        Some(file)
    }

    /// Keeps a file, and lets go of the one that was not used for longest.
    pub fn keep(&self, key: &ObjectKey, file: Arc<File>) {
        let mut files = lock(&self.0);
        files.retain(|(held, _)| held != key);
        files.push_back((key.clone(), file));
        while files.len() > HANDLES_MAX {
            files.pop_front();
        }
    }

    /// Lets go of a file, so that a deleted object gives back its space.
    pub fn forget(&self, key: &ObjectKey) {
        lock(&self.0).retain(|(held, _)| held != key);
    }

    #[cfg(test)]
    pub fn count(&self) -> usize {
        lock(&self.0).len()
    }
}
