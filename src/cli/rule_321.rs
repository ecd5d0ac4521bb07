//! The 3-2-1 rule: three copies of the data, at two places, one of them off-site.

use crate::cli::invocation::Invocation;
use crate::cli::place::Place;
use crate::cli::text;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What `statfs` calls file systems that are elsewhere: NFS, CIFS, SMB 2.
const NETWORK_MAGICS: [u64; 3] = [0x6969, 0xff53_4d42, 0xfe53_4d42];

/// What `statfs` calls a file system in memory.
const TMPFS_MAGIC: u64 = 0x0102_1994;

/// Why what is written to a directory may not be there tomorrow.
pub fn volatile(directory: &Path) -> Option<&'static str> {
    let real = directory.canonicalize().ok()?;
    if magic(&real) == Some(TMPFS_MAGIC) {
        return Some("in memory");
    }
    let cleaned = ["/tmp", "/var/tmp", "/dev/shm", "/run"];
    let is_cleaned = cleaned.iter().any(|cleaned| real.starts_with(cleaned));
    is_cleaned.then_some("cleaned up by the system")
}

fn magic(path: &Path) -> Option<u64> {
    let file_system = rustix::fs::statfs(path).ok()?;
    // Shown as signed or not, in 32 bits, depending on the machine.
    Some(file_system.f_type as u64 & 0xffff_ffff)
}

/// Whether two paths are on the same file system.
pub fn shares_disk(one: &Path, other: &Path) -> bool {
    let device = |path: &Path| path.metadata().map(|metadata| metadata.dev()).ok();
    device(one).is_some_and(|one| device(other) == Some(one))
}

/// Where a repository is, as far as the rule goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Site {
    /// A disk of this machine.
    Disk(u64),
    /// A file system that another machine serves.
    Mounted(u64),
    /// A bucket, by its service and whether that runs on this machine.
    Bucket(String, bool),
}

impl Site {
    fn of(place: &Place) -> Option<Self> {
        match place {
            Place::Directory(directory) => {
                let device = directory.metadata().ok()?.dev();
                let is_network =
                    magic(directory).is_some_and(|magic| NETWORK_MAGICS.contains(&magic));
                Some(match is_network {
                    true => Self::Mounted(device),
                    false => Self::Disk(device),
                })
            }
            Place::Bucket(location) => Some(match &location.endpoint {
                Some(endpoint) => Self::Bucket(endpoint.host().to_owned(), endpoint.is_loopback()),
                None => Self::Bucket("aws".to_owned(), false),
            }),
        }
    }

    /// Whether a fire at this machine spares it. A mounted file system may be in the same room.
    fn is_off_site(&self) -> bool {
        matches!(self, Self::Bucket(_, false))
    }
}

/// How far copies satisfy the rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Repositories that are there, and the data itself.
    pub copies: usize,
    /// Different places of the repositories.
    pub places: usize,
    /// Repositories that are off-site.
    pub off_site: usize,
}

impl Rule {
    /// Of these repositories.
    pub fn of(places: &[&Place]) -> Self {
        let sites: Vec<Site> = places.iter().filter_map(|place| Site::of(place)).collect();
        let distinct: HashSet<&Site> = sites.iter().collect();
        Self {
            copies: 1 + sites.len(),
            places: distinct.len(),
            off_site: distinct.iter().filter(|site| site.is_off_site()).count(),
        }
    }

    /// Whether it is kept.
    pub fn is_kept(&self) -> bool {
        self.copies >= 3 && self.places >= 2 && self.off_site >= 1
    }

    /// Says it, and what is missing.
    pub fn tell(&self, invocation: &Invocation) {
        let mut missing = Vec::new();
        if self.copies < 3 {
            missing.push("a third copy");
        }
        if self.places < 2 {
            missing.push("a second place");
        }
        if self.off_site < 1 {
            missing
                .push("one off-site (a bucket elsewhere; a mounted disk may be in the same room)");
        }
        let verdict = match missing.is_empty() {
            true => "kept".to_owned(),
            false => format!("not kept: missing {}", missing.join(", ")),
        };
        invocation.output.line(&format!(
            "3-2-1        {} with the data itself, {}, {} off-site: {verdict}",
            match self.copies {
                1 => "1 copy".to_owned(),
                copies => format!("{copies} copies"),
            },
            text::counted(self.places as u64, "place"),
            self.off_site,
        ));
    }

    /// For scripts.
    pub fn describe(&self) -> Value {
        json!({
            "copies": self.copies,
            "places": self.places,
            "off_site": self.off_site,
            "kept": self.is_kept(),
        })
    }
}
