//! What belongs to one process while it lives: a file that it holds locked. A claim that nobody holds was
//! left by a process that died.

use rustix::fs::FlockOperation;
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A claim, given up when dropped, or with the process.
#[derive(Debug)]
pub struct Claim(#[expect(dead_code, reason = "held, not read")] File);

impl Claim {
    /// Takes what the file at `path` stands for, which is made if it is not there; `None` while another
    /// process has it.
    pub fn take(path: &Path) -> io::Result<Option<Self>> {
        let mut options = OpenOptions::new();
        let options = options.create(true).append(true).mode(0o600);
        let file = options.open(path)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self(file))),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
