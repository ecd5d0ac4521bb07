//! Locks, as people see them: what is locked until when.

use crate::cli::error::CommandResult;
use crate::cli::invocation::{Invocation, OpenRepository};
use crate::cli::text;
use crate::env::Timestamp;
use crate::format::layout;
use crate::id::SnapshotId;
use crate::monitor::Monitor;
use crate::prune::Locked;
use crate::store::{Custody, Lock, ObjectKey};
use serde_json::{Value, json};
use std::time::Duration;

/// How often locks are to be extended: by the prune of every day.
const EXTENDED_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// Most snapshots whose locks are asked for, the oldest and the newest.
const ASKED_MAX: usize = 256;

/// What is left of a lock when somebody has to be told: twice the interval of extensions, where locks
/// are longer than that.
pub fn alarm(lock: Lock) -> Duration {
    (EXTENDED_EVERY * 2).min(lock.keep / 2)
}

/// The locks of a repository, asked of the bucket.
#[derive(Debug, Clone, Copy)]
pub struct LockState {
    /// How objects are locked.
    pub lock: Lock,
    /// Until when the first of the snapshots, or what opens the repository, is locked; `None`: one
    /// is not locked.
    pub soonest: Option<Timestamp>,
}

/// Asks the bucket about the locks of what opens the repository and of its snapshots; `None` where
/// nothing is to be locked. What they need was locked together with them, or longer.
pub fn look(
    open: &OpenRepository,
    snapshots: &mut dyn Iterator<Item = SnapshotId>,
) -> CommandResult<Option<LockState>> {
    let Some(bucket) = &open.bucket else {
        return Ok(None);
    };
    let Some(lock) = bucket.lock() else {
        return Ok(None);
    };
    let mut keys = vec![layout::CONFIG.to_owned()];
    let mut named: Vec<String> = snapshots.map(|id| layout::snapshot(&id)).collect();
    if named.len() > ASKED_MAX {
        named.drain(ASKED_MAX / 2..named.len() - ASKED_MAX / 2);
    }
    keys.extend(named);
    let mut soonest = Some(Timestamp(i64::MAX));
    for key in keys {
        let Ok(key) = ObjectKey::new(key) else {
            continue;
        };
        let held = match bucket.held(&key) {
            // Pruned since it was listed.
            Err(error) if error.is_not_found() => continue,
            held => held?,
        };
        soonest = held.and_then(|held| Some(held.until.min(soonest?)));
        if soonest.is_none() {
            break;
        }
    }
    Ok(Some(LockState { lock, soonest }))
}

impl LockState {
    /// For people.
    pub fn line(&self, invocation: &Invocation) -> String {
        let keep = crate::units::elapsed(self.lock.keep);
        let until = match self.soonest {
            Some(until) => format!("all until {} at least", invocation.moment(until)),
            None => "not everything is locked: icecore prune locks it".to_owned(),
        };
        format!("{} {keep}: {until}", self.lock.mode.name())
    }

    /// For scripts.
    pub fn describe(&self) -> Value {
        json!({
            "mode": self.lock.mode.name(),
            "keep_seconds": self.lock.keep.as_secs(),
            "locked_until": self.soonest.map(Timestamp::to_rfc3339),
        })
    }
}

/// Says what became of the locks.
pub fn tell_extended(invocation: &Invocation, locked: &Locked) {
    let until = locked.soonest.map_or_else(String::new, |until| {
        format!(", all until {} at least", invocation.moment(until))
    });
    let extended = text::counted(locked.extended, "lock");
    let objects = text::counted(locked.objects, "object");
    invocation.output.say(&format!(
        "extended {extended} of {objects} that are needed{until}"
    ));
    if locked.refused > 0 {
        invocation.ui.warn(&format!(
            "the bucket did not lock {}: it needs Object Lock, and these credentials \
             s3:PutObjectRetention",
            text::counted(locked.refused, "object")
        ));
    }
}
