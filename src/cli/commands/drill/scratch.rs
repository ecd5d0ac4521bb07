//! A directory to restore into, removed afterwards, also when the process dies before that.

use crate::claim::Claim;
use crate::cli::error::{CommandError, CommandResult};
use crate::cli::invocation::Invocation;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The file that a drill holds locked while it lives.
const CLAIM: &str = "claim";

/// Most drills at once.
const DRILLS_MAX: u32 = 100;

/// A directory of one's own. Gone when this is dropped.
pub struct Scratch {
    path: PathBuf,
    #[expect(dead_code, reason = "held, not read")]
    claim: Claim,
}

impl Scratch {
    /// Makes one, in `directory` or the cache, and removes what drills that died have left there.
    pub fn new(invocation: &Invocation, directory: Option<&Path>) -> CommandResult<Self> {
        let root = match directory {
            Some(directory) => directory.to_owned(),
            None => invocation
                .cache_root()
                .ok_or_else(|| {
                    CommandError::usage("there is nowhere to restore to")
                        .hint("give --scratch with a directory that has room")
                })?
                .join("drill"),
        };
        make(&root)?;
        let mut free = None;
        for number in 0..DRILLS_MAX {
            let path = root.join(format!("icecore-drill-{number}"));
            if !path.exists() {
                free.get_or_insert(path);
                continue;
            }
            // What nobody holds was left by a drill that died.
            if claim(&path)?.is_some() {
                std::fs::remove_dir_all(&path)
                    .map_err(|error| CommandError::file("remove", &path, &error))?;
                free.get_or_insert(path);
            }
        }
        let path = free.ok_or_else(|| CommandError::failed("too many drills run already"))?;
        make(&path)?;
        match claim(&path)? {
            Some(claim) => Ok(Self { path, claim }),
            None => {
                Err(CommandError::failed("another drill has just begun here").hint("run it again"))
            }
        }
    }

    /// Where restored things go.
    pub fn target(&self) -> PathBuf {
        self.path.join("restored")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _left = std::fs::remove_dir_all(&self.path);
    }
}

fn make(path: &Path) -> CommandResult<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| CommandError::file("create", path, &error))
}

fn claim(path: &Path) -> CommandResult<Option<Claim>> {
    let file = path.join(CLAIM);
    Claim::take(&file).map_err(|error| CommandError::file("open", &file, &error))
}
