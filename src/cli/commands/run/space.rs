//! How much room a repository has, and what a run does when it gets short.

use crate::cli::commands::config::zone_of;
use crate::cli::commands::run::attempt::Opened;
use crate::cli::commands::run::{Records, maintain};
use crate::cli::commands::{forget, prune};
use crate::cli::configuration::Configuration;
use crate::cli::error::CommandResult;
use crate::cli::invocation::{Invocation, OpenRepository};
use crate::format::layout;
use crate::monitor::Monitor;
use crate::repository::Need;
use crate::status::{Room, room};
use std::ops::ControlFlow;

/// What a repository takes, and what there is.
pub struct Space {
    /// Bytes of all packs.
    pub bytes: u64,
    /// Free and whole space of its disk, bytes; `None` for a bucket.
    pub disk: Option<(u64, u64)>,
}

impl Space {
    /// Looks at a repository.
    pub fn look(open: &OpenRepository) -> CommandResult<Self> {
        let mut bytes = 0u64;
        open.repository.store().list(layout::PACKS, &mut |info| {
            bytes = bytes.saturating_add(info.size);
            ControlFlow::Continue(())
        })?;
        Ok(Self {
            bytes,
            disk: Self::of_disk(open),
        })
    }

    /// Free and whole space of a repository's disk, bytes.
    pub fn of_disk(open: &OpenRepository) -> Option<(u64, u64)> {
        let disk = rustix::fs::statvfs(open.place.directory()?).ok()?;
        let all = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
        Some((all(disk.f_bavail), all(disk.f_blocks)))
    }
}

/// What came of making room.
pub(super) enum Made {
    /// There is enough.
    Enough,
    /// It gets low.
    Low(String),
    /// It is short, and stays so.
    Short(String),
}

/// Looks whether a repository has room, and where it is short applies the rules of all jobs that keep
/// there and frees what nobody needs. The rules stay what they are: no minimum age, hold or newest
/// proven snapshot is touched. `pruner` is the job that does this elsewhere, if one does.
pub(super) fn make_room(
    invocation: &Invocation,
    configuration: &Configuration,
    opened: &Opened,
    running: &str,
    pruner: Option<&str>,
) -> CommandResult<Made> {
    let (name, open) = (&opened.name, &opened.open);
    let max = configuration.config.repositories.get(name);
    let max = max.and_then(|repository| repository.max_size);
    let judge = || -> CommandResult<Room> {
        let space = Space::look(open)?;
        Ok(room(space.bytes, max, space.disk))
    };
    let why = match judge()? {
        Room::Enough => return Ok(Made::Enough),
        Room::Low(why) => {
            return Ok(Made::Low(format!(
                "repository {name}: {why}; shorter keep rules or more room, before it is full"
            )));
        }
        Room::Short(why) => why,
    };
    let access = open.repository.access();
    if let Some(pruner) = pruner {
        return Ok(Made::Short(format!(
            "repository {name}: {why}; job {pruner} prunes it: run that"
        )));
    }
    if access.check_allowed(Need::Maintain, "clean-up").is_err() {
        return Ok(Made::Short(format!(
            "repository {name}: {why}, and its credential here may not delete: prune it with one that may"
        )));
    }
    invocation
        .ui
        .warn(&format!("repository {name}: {why}; making room"));
    let records = Records::open(invocation, configuration)?;
    let _care = records.claim_care(name, invocation)?;
    for (job_name, job) in &configuration.config.jobs {
        // A job that was disabled forgets nothing, unless somebody runs it.
        let counts = job.enabled || job_name == running;
        let keeps_here =
            counts && job.repositories.contains(name) && !job.prune_by.contains_key(name);
        let policy = job.keep.as_ref().filter(|keep| !keep.keep_forever);
        if let (true, Some(policy)) = (keeps_here, policy) {
            let own = maintain::own(job_name, job);
            let mut zoned = invocation.clone();
            zoned.zone = zone_of(invocation, &configuration.config, job);
            forget::retain(&zoned, open, (policy, &own), false, false)?;
        }
    }
    prune::execute(invocation, open, &prune::PruneArguments::for_space())?;
    Ok(match judge()? {
        Room::Short(why) => Made::Short(format!(
            "repository {name}: {why} after everything that no rule keeps is gone; shorter keep rules, \
             or more room"
        )),
        Room::Enough | Room::Low(_) => Made::Enough,
    })
}
