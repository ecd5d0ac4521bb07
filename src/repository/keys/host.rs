//! Where a host keeps C_w, with which it finds its own index and labels again.
//!
//! Spec: `format-spec/04-keys.md`, keys of a host. It lies beside the local cache and never in the
//! repository. Without it what this host stored before is stored once more, and nothing else is lost.

use crate::env::Entropy;
use crate::format::certificate::Capabilities;
use crate::format::host_key::HostKey;
use crate::id::WriterId;
use crate::monitor::Monitor;
use crate::repository::{KeyError, Repository};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// The directory of host keys, in a repository's directory of the local cache.
pub const HOST_KEYS: &str = "host-keys";

/// Longest file that is looked at.
const FILE_BYTES_MAX: u64 = 4096;

impl Repository {
    /// Loads C_w of a credential that writes and may not read, from `cache`, the repository's
    /// directory in the local cache, or makes it there. Other credentials need none.
    pub fn use_host_key(
        &mut self,
        cache: Option<&Path>,
        monitor: &dyn Monitor,
    ) -> Result<(), KeyError> {
        let held = self.access.capabilities();
        if !held.includes(Capabilities::WRITE) || held.includes(Capabilities::READ) {
            return Ok(());
        }
        let writer = self.access.writer();
        let kept = match cache {
            Some(cache) => keep(&cache.join(HOST_KEYS), writer, &*self.entropy, monitor),
            None => Err(io::Error::other("there is no directory for the cache")),
        };
        self.access.host = Some(match kept {
            Ok(key) => key,
            Err(error) => {
                monitor.warn(&format!(
                    "this host's own key cannot be kept: {error}; the next snapshot stores \
                     everything again"
                ));
                HostKey::random(&*self.entropy)?
            }
        });
        Ok(())
    }
}

fn keep(
    directory: &Path,
    writer: WriterId,
    entropy: &dyn Entropy,
    monitor: &dyn Monitor,
) -> io::Result<HostKey> {
    let path = directory.join(writer.to_string());
    match read(&path) {
        Ok(bytes) => match HostKey::decode(&bytes) {
            Ok(key) => return Ok(key),
            Err(error) => {
                monitor.warn(&format!("{}: {error}; it is made anew", path.display()));
                std::fs::remove_file(&path)?;
            }
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let key = HostKey::random(entropy).map_err(io::Error::other)?;
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700).create(directory)?;
    let own = directory.join(format!("{writer}.{}", key.tag()));
    let written = write(&own, &key.encode());
    // Whole or not at all, and never over that of a process which was first.
    let linked = written.and_then(|()| std::fs::hard_link(&own, &path));
    let _left = std::fs::remove_file(&own);
    match linked {
        Ok(()) => Ok(key),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            HostKey::decode(&read(&path)?).map_err(io::Error::other)
        }
        Err(error) => Err(error),
    }
}

fn read(path: &Path) -> io::Result<zeroize::Zeroizing<Vec<u8>>> {
    let mut bytes = zeroize::Zeroizing::new(Vec::new());
    File::open(path)?
        .take(FILE_BYTES_MAX)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
