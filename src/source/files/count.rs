//! Counting what an exclusion left out.

use crate::monitor::{Cancel, Interrupted};
use crate::source::files::listing::{Descent, open_at, stat_at};
use crate::source::files::metadata::{file_type, size};
use rustix::fd::AsFd;
use rustix::fs::{FileType, OFlags, Stat};
use std::ffi::CStr;

/// Regular files and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) bytes: u64,
    pub(super) files: u64,
}

impl Count {
    fn add(&mut self, stat: &Stat) {
        if file_type(stat) == FileType::RegularFile {
            self.bytes = self.bytes.saturating_add(size(stat));
            self.files += 1;
        }
    }
}

/// Counts `name` in `directory` and all that is below it on the same file system. Opens
/// directories only; what cannot be looked at is not counted. A name with siblings counts each
/// time.
pub(super) fn count_below(
    directory: impl AsFd,
    name: &CStr,
    stat: &Stat,
    cancel: &Cancel,
) -> Result<Count, Interrupted> {
    let mut count = Count::default();
    count.add(stat);
    let mut descent = Descent::default();
    enter(&mut descent, directory, name, stat);
    while descent.depth() > 0 {
        cancel.check()?;
        let Some(name) = descent.next_name() else {
            descent.leave();
            continue;
        };
        let Ok(directory) = descent.descriptor() else {
            descent.skip_rest();
            continue;
        };
        let Ok(found) = stat_at(&directory, &name) else {
            continue;
        };
        count.add(&found);
        if found.st_dev == stat.st_dev {
            enter(&mut descent, &directory, &name, &found);
        }
    }
    Ok(count)
}

fn enter(descent: &mut Descent, directory: impl AsFd, name: &CStr, stat: &Stat) {
    if file_type(stat) == FileType::Directory
        && let Ok(opened) = open_at(directory, name, OFlags::DIRECTORY)
        && let Ok(stat) = rustix::fs::fstat(&opened)
    {
        // Whatever could be listed is counted; the rest is not known.
        let _ = descent.enter(opened, name, &stat);
    }
}
