//! Moving objects: read, compared with their names, stored.

use crate::crypto::VerifyingKey;
use crate::format::envelope::ObjectType;
use crate::format::layout;
use crate::format::record::Record;
use crate::format::snapshot::SnapshotPlain;
use crate::format::whole::Wholeness;
use crate::limits;
use crate::mirror::lists::Target;
use crate::mirror::{MirrorError, MirrorOptions, MirrorReport};
use crate::monitor::{Cancel, Monitor};
use crate::repository::Repository;
use crate::store::{ObjectInfo, ObjectKey, Store, StoreError};
use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Copies and deletes objects, and counts them.
pub(super) struct Transfer<'a> {
    source: &'a dyn Store,
    target: &'a dyn Store,
    options: MirrorOptions,
    monitor: &'a dyn Monitor,
    cancel: &'a Cancel,
    pub(super) report: MirrorReport,
}

/// What became of the objects of one class.
#[derive(Default)]
struct Moved {
    copied: Vec<ObjectInfo>,
    damaged: Vec<(String, String)>,
    gone: bool,
    error: Option<MirrorError>,
}

/// What became of one object.
enum Outcome {
    Copied,
    Damaged(String),
    /// The source has it no more.
    Gone,
}

impl<'a> Transfer<'a> {
    pub(super) fn new(
        source: &'a dyn Store,
        target: &'a dyn Store,
        options: MirrorOptions,
        monitor: &'a dyn Monitor,
        cancel: &'a Cancel,
    ) -> Self {
        Self {
            source,
            target,
            options,
            monitor,
            cancel,
            report: MirrorReport::default(),
        }
    }

    /// Copies what is not there yet, durably. False: an object was gone when it was to be read.
    pub(super) fn copy(
        &mut self,
        class: &[ObjectInfo],
        there: &mut Target,
    ) -> Result<bool, MirrorError> {
        self.cancel.check()?;
        let missing: Vec<&ObjectInfo> = class.iter().filter(|info| !there.has(info)).collect();
        if self.options.dry_run {
            self.report.objects_copied += missing.len() as u64;
            self.report.bytes_copied += missing.iter().map(|info| info.size).sum::<u64>();
            return Ok(true);
        }
        if missing.is_empty() {
            return Ok(true);
        }
        let moved = self.in_parallel(&missing);
        for info in moved.copied {
            self.report.objects_copied += 1;
            self.report.bytes_copied += info.size;
            there.add(info);
        }
        for damage in moved.damaged {
            if !self.report.damaged.contains(&damage) {
                self.report.damaged.push(damage);
            }
        }
        match moved.error {
            Some(error) => Err(error),
            None => {
                self.target.barrier()?;
                Ok(!moved.gone)
            }
        }
    }

    /// Copies snapshots after those that they name as their writer's previous ones: one whose
    /// predecessor is missing looks like a storage that was rolled back.
    pub(super) fn copy_snapshots(
        &mut self,
        snapshots: &[ObjectInfo],
        there: &mut Target,
    ) -> Result<(), MirrorError> {
        let config = Repository::config_of(self.source).map_err(MirrorError::Source)?;
        let mut left: Vec<(ObjectInfo, Vec<ObjectKey>)> = Vec::new();
        for info in snapshots.iter().filter(|info| !there.has(info)) {
            left.push((info.clone(), self.heads(info, &config.root)?));
        }
        while !left.is_empty() {
            let waiting: HashSet<ObjectKey> =
                left.iter().map(|(info, _)| info.key.clone()).collect();
            let follows = |(_, heads): &(ObjectInfo, Vec<ObjectKey>)| {
                heads.iter().any(|head| waiting.contains(head))
            };
            let (later, now): (Vec<_>, Vec<_>) = left.into_iter().partition(follows);
            // Names are hashes: they cannot name one another in a circle.
            let is_stuck = now.is_empty();
            let now = if is_stuck { &later } else { &now };
            let now: Vec<ObjectInfo> = now.iter().map(|(info, _)| info.clone()).collect();
            self.copy(&now, there)?;
            left = if is_stuck { Vec::new() } else { later };
        }
        Ok(())
    }

    /// The snapshots that one names as its writer's previous ones. What is damaged names none.
    fn heads(&self, info: &ObjectInfo, root: &VerifyingKey) -> Result<Vec<ObjectKey>, MirrorError> {
        let bytes = match self.source.get(&info.key, limits::RECORD_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) if error.is_not_found() || error.blames_object() => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let record = Record::decode(&bytes, ObjectType::Snapshot, root).ok();
        let plain = record.and_then(|record| SnapshotPlain::decode(&record.plain).ok());
        let heads = plain.map(|plain| plain.heads).unwrap_or_default();
        let keys = heads.iter().map(|id| ObjectKey::new(layout::snapshot(id)));
        Ok(keys.flatten().collect())
    }

    fn in_parallel(&self, missing: &[&ObjectInfo]) -> Moved {
        let moved = Mutex::new(Moved::default());
        let lock =
            || -> MutexGuard<'_, Moved> { moved.lock().unwrap_or_else(PoisonError::into_inner) };
        let next = AtomicUsize::new(0);
        let work = || {
            while let Some(info) = missing.get(next.fetch_add(1, Ordering::Relaxed)) {
                if lock().error.is_some() {
                    break;
                }
                let outcome = self
                    .cancel
                    .check()
                    .map_err(MirrorError::from)
                    .and_then(|()| Ok(self.copy_one(info)?));
                self.monitor.advance(info.size);
                let mut moved = lock();
                match outcome {
                    Ok(Outcome::Copied) => moved.copied.push((*info).clone()),
                    Ok(Outcome::Damaged(what)) => {
                        moved.damaged.push((info.key.to_string(), what));
                    }
                    Ok(Outcome::Gone) => moved.gone = true,
                    Err(error) => moved.error = Some(error),
                }
            }
        };
        let workers = self.options.workers.clamp(1, missing.len().max(1));
        let joined = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
            let ends: Vec<_> = threads.into_iter().map(|thread| thread.join()).collect();
            ends.iter().all(Result::is_ok)
        });
        let mut moved = moved.into_inner().unwrap_or_else(PoisonError::into_inner);
        if !joined {
            moved.error.get_or_insert(MirrorError::Worker);
        }
        moved
    }

    fn copy_one(&self, info: &ObjectInfo) -> Result<Outcome, StoreError> {
        let Some(wholeness) = Wholeness::of(info.key.as_str()) else {
            return Ok(Outcome::Damaged(
                "its name is none that an object has".to_owned(),
            ));
        };
        let read = || self.source.get(&info.key, limits::PACK_BYTES_MAX);
        let mut fault = None;
        // A second time before it is called damage: once may have been the line's fault.
        for _ in 0..2 {
            let bytes = match read() {
                Ok(bytes) => bytes,
                Err(error) if error.is_not_found() => return Ok(Outcome::Gone),
                Err(error) if error.blames_object() => {
                    fault = Some(crate::explain::explain(&error));
                    continue;
                }
                Err(error) => return Err(error),
            };
            match wholeness.fault(&bytes) {
                None => {
                    self.target.put(&info.key, &bytes)?;
                    return Ok(Outcome::Copied);
                }
                Some(what) => fault = Some(what),
            }
        }
        Ok(Outcome::Damaged(fault.unwrap_or_default()))
    }

    /// Deletes snapshots, then segments, then packs.
    pub(super) fn delete(&mut self, gone: &[ObjectInfo]) -> Result<(), MirrorError> {
        self.report.objects_deleted += gone.len() as u64;
        if self.options.dry_run || gone.is_empty() {
            return Ok(());
        }
        for prefix in [layout::SNAPSHOTS, layout::SEGMENTS, layout::PACKS] {
            let below = |info: &&ObjectInfo| {
                let first = info.key.as_str().split('/').next();
                first == Some(prefix)
            };
            for info in gone.iter().filter(below) {
                self.cancel.check()?;
                self.target.delete(&info.key)?;
            }
            self.target.barrier()?;
        }
        Ok(())
    }
}
