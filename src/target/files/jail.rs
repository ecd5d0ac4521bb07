//! Finding directories below the target without ever leaving it.

use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Directories kept open to start from.
const CACHED_DIRECTORIES_MAX: usize = 48;

/// Longest path given to the kernel at once, bytes: below `PATH_MAX`.
const RESOLVED_BYTES_MAX: usize = 2048;

const DIRECTORY: OFlags = OFlags::PATH
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// The target directory and the way to those below it.
#[derive(Debug)]
pub(super) struct Jail {
    root: Arc<OwnedFd>,
    /// Most recently opened last.
    cache: Mutex<VecDeque<(Vec<u8>, Arc<OwnedFd>)>>,
    /// Whether the kernel resolves whole paths beneath a directory (Linux 5.6).
    has_openat2: bool,
}

impl Jail {
    pub(super) fn new(root: OwnedFd) -> Self {
        let probe = rustix::fs::openat2(
            &root,
            ".",
            DIRECTORY,
            Mode::empty(),
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
        );
        Self {
            root: Arc::new(root),
            cache: Mutex::default(),
            has_openat2: probe.is_ok(),
        }
    }

    /// As on a kernel that cannot resolve beneath.
    #[cfg(test)]
    pub(super) fn without_openat2(mut self) -> Self {
        self.has_openat2 = false;
        self
    }

    pub(super) fn root(&self) -> &Arc<OwnedFd> {
        &self.root
    }

    /// The directory of that path (components joined by `/`, empty for the target). A symbolic
    /// link anywhere in it is an error.
    pub(super) fn directory(&self, path: &[u8]) -> Result<Arc<OwnedFd>, Errno> {
        let (mut current, mut rest) = self.nearest(path);
        if rest.is_empty() {
            return Ok(current);
        }
        while !rest.is_empty() {
            let (piece, after) = self.split(rest);
            current = Arc::new(self.open_beneath(&current, piece)?);
            rest = after;
        }
        self.remember(path, &current);
        Ok(current)
    }

    /// The nearest directory that is open, and the path left from there.
    fn nearest<'p>(&self, path: &'p [u8]) -> (Arc<OwnedFd>, &'p [u8]) {
        let cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let nearest = cache
            .iter()
            .filter_map(|(known, directory)| {
                let rest = path.strip_prefix(known.as_slice())?;
                match rest.split_first() {
                    None => Some((directory, rest)),
                    Some((b'/', rest)) => Some((directory, rest)),
                    Some(_) => None,
                }
            })
            .min_by_key(|(_, rest)| rest.len());
        match nearest {
            Some((directory, rest)) => (Arc::clone(directory), rest),
            None => (Arc::clone(&self.root), path),
        }
    }

    fn remember(&self, path: &[u8], directory: &Arc<OwnedFd>) {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= CACHED_DIRECTORIES_MAX {
            cache.pop_front();
        }
        cache.push_back((path.to_vec(), Arc::clone(directory)));
    }

    /// What to resolve in one call, and what is left: one component where the kernel does not
    /// resolve beneath.
    fn split<'p>(&self, path: &'p [u8]) -> (&'p [u8], &'p [u8]) {
        if self.has_openat2 && path.len() <= RESOLVED_BYTES_MAX {
            return (path, &[]);
        }
        match path.iter().position(|byte| *byte == b'/') {
            Some(end) => (&path[..end], &path[end + 1..]),
            None => (path, &[]),
        }
    }

    fn open_beneath(&self, directory: &OwnedFd, piece: &[u8]) -> Result<OwnedFd, Errno> {
        if !self.has_openat2 {
            // One component and never a link: it cannot lead out.
            return rustix::fs::openat(directory, piece, DIRECTORY, Mode::empty());
        }
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        loop {
            match rustix::fs::openat2(directory, piece, DIRECTORY, Mode::empty(), resolve) {
                // Something was renamed meanwhile: the kernel could not be sure.
                Err(Errno::AGAIN) => {}
                other => return other,
            }
        }
    }
}
