//! Everything small: config, keys, sets, sessions, flags, proofs, holds.

use crate::check::CheckError;
use crate::check::findings::{Cause, Findings};
use crate::format::layout;
use crate::limits;
use crate::monitor::{Cancel, Monitor, Unit};
use crate::repository::{ObjectFault, Repository};
use crate::store::{ObjectInfo, StoreError, StoreExt};

/// Prefixes of small objects, and whether a repository has at least one.
const PREFIXES: [(&str, bool); 9] = [
    (layout::CONFIG, true),
    (layout::SLOTS, true),
    (layout::RINGS, true),
    (layout::STATEMENTS, true),
    (layout::SETS, false),
    (layout::SESSIONS, false),
    (layout::GC, false),
    (layout::PROOFS, false),
    (layout::HOLDS, false),
];

/// Verifies every small object.
pub(super) fn check_objects(
    repository: &Repository,
    findings: &mut Findings,
    monitor: &dyn Monitor,
    cancel: &Cancel,
) -> Result<(), CheckError> {
    for (prefix, required) in PREFIXES {
        let infos = repository.store().list_all(prefix)?;
        monitor.phase("objects", Unit::Items, Some(infos.len() as u64));
        let mut own = 0;
        for info in infos {
            cancel.check()?;
            own += u64::from(check_object(repository, &info, findings)?);
            monitor.advance(1);
        }
        if own == 0 && required {
            findings.add(Cause {
                object: prefix.to_owned(),
                what: "is missing".to_owned(),
                blob: None,
            });
        }
    }
    Ok(())
}

/// Why an object is no good.
enum Fault {
    Unreadable(StoreError),
    Bad(ObjectFault),
}

/// Returns whether the object is this repository's, whole or damaged.
fn check_object(
    repository: &Repository,
    info: &ObjectInfo,
    findings: &mut Findings,
) -> Result<bool, CheckError> {
    let read = || match repository.store().get(&info.key, limits::RECORD_BYTES_MAX) {
        Ok(bytes) => repository
            .verify_object(&info.key, &bytes)
            .map_err(Fault::Bad),
        Err(error) => Err(Fault::Unreadable(error)),
    };
    // A second time before it is called damage.
    match read().or_else(|_| read()) {
        Ok(()) => {}
        // Of a kind that this program does not know: of a later one. Or nobody's.
        Err(Fault::Bad(ObjectFault::Unknown | ObjectFault::Foreign)) => return Ok(false),
        // Withdrawn meanwhile.
        Err(Fault::Unreadable(error)) if error.is_not_found() => return Ok(false),
        Err(Fault::Unreadable(error)) if !error.blames_object() => {
            return Err(error.into());
        }
        Err(Fault::Unreadable(error)) => findings.add_error(info.key.as_str(), &error),
        Err(Fault::Bad(fault)) => findings.add_error(info.key.as_str(), &fault),
    }
    Ok(true)
}
