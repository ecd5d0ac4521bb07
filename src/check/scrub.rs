//! Scrubbing without a key: every object's bytes are those it was named by, or carry their own
//! checksum.

use crate::check::CheckError;
use crate::check::findings::{Cause, Damage, Findings};
use crate::format::layout;
use crate::format::whole::Wholeness;
use crate::limits;
use crate::monitor::{Cancel, Monitor, Unit};
use crate::store::{ObjectInfo, Store, StoreError, StoreExt};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// All prefixes, small objects first.
const PREFIXES: [&str; 13] = [
    layout::CONFIG,
    layout::SLOTS,
    layout::RINGS,
    layout::STATEMENTS,
    layout::SEGMENTS,
    layout::SNAPSHOTS,
    layout::SETS,
    layout::SESSIONS,
    layout::GC,
    layout::PROOFS,
    layout::HOLDS,
    layout::AUDIT,
    layout::PACKS,
];

/// What a scrub found. Without a key it cannot be said whom damage hurts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScrubReport {
    /// Objects that were read whole.
    pub objects_checked: u64,
    /// Their bytes.
    pub bytes_read: u64,
    /// Whether everything was read; false after an interruption.
    pub complete: bool,
    /// What is damaged, by object.
    pub damage: Vec<Damage>,
}

#[derive(Default)]
struct State {
    report: ScrubReport,
    findings: Findings,
    error: Option<CheckError>,
}

/// Reads every object of a repository with `workers` threads, each of which takes 34 MiB at most.
/// What is missing is noticed only of what every repository has; the audit chain has its own check.
pub fn scrub(
    store: &dyn Store,
    workers: usize,
    monitor: &dyn Monitor,
    cancel: &Cancel,
) -> Result<ScrubReport, CheckError> {
    let state = Mutex::new(State::default());
    let lock = || -> MutexGuard<'_, State> { state.lock().unwrap_or_else(PoisonError::into_inner) };
    for prefix in PREFIXES {
        let infos = store.list_all(prefix)?;
        let total = infos.iter().map(|info| info.size).sum();
        monitor.phase(prefix, Unit::Bytes, Some(total));
        if infos.is_empty() && prefix == layout::CONFIG {
            lock().findings.add(Cause {
                object: prefix.to_owned(),
                what: "is missing".to_owned(),
                blob: None,
            });
        }
        let next = AtomicUsize::new(0);
        let work = || {
            while let Some(info) = infos.get(next.fetch_add(1, Ordering::Relaxed)) {
                if cancel.is_cancelled() || lock().error.is_some() {
                    break;
                }
                let scrubbed = scrub_object(store, info);
                monitor.advance(info.size);
                let mut state = lock();
                match scrubbed {
                    Ok(Scrubbed::Passed) => {}
                    Ok(Scrubbed::Read(fault)) => {
                        state.report.objects_checked += 1;
                        state.report.bytes_read += info.size;
                        if let Some(what) = fault {
                            let object = info.key.to_string();
                            let blob = None;
                            state.findings.add(Cause { object, what, blob });
                        }
                    }
                    Err(error) => state.error = Some(error.into()),
                }
            }
        };
        let workers = workers.clamp(1, infos.len().max(1));
        let joined = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
            threads.into_iter().all(|thread| thread.join().is_ok())
        });
        match (lock().error.take(), joined) {
            (Some(error), _) => return Err(error),
            (None, false) => return Err(CheckError::Worker),
            (None, true) => {}
        }
    }
    let state = state.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut report = state.report;
    report.complete = !cancel.is_cancelled();
    (report.damage, _) = state.findings.finish();
    Ok(report)
}

enum Scrubbed {
    /// Nothing that can be scrubbed, or gone meanwhile.
    Passed,
    /// It was read, and this is wrong with it.
    Read(Option<String>),
}

fn scrub_object(store: &dyn Store, info: &ObjectInfo) -> Result<Scrubbed, StoreError> {
    let Some(wholeness) = Wholeness::of(info.key.as_str()) else {
        return Ok(Scrubbed::Passed);
    };
    let read = || {
        store
            .get(&info.key, limits::PACK_BYTES_MAX)
            .map(|bytes| wholeness.fault(&bytes))
    };
    let mut result = read();
    if !matches!(result, Ok(None)) {
        // A second time before it is called damage.
        result = read();
    }
    match result {
        Ok(fault) => Ok(Scrubbed::Read(fault)),
        Err(error) if error.is_not_found() => Ok(Scrubbed::Passed),
        Err(error) if error.blames_object() => {
            Ok(Scrubbed::Read(Some(crate::explain::explain(&error))))
        }
        Err(error) => Err(error),
    }
}
