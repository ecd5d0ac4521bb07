//! Mending a repository from another copy of it.
//!
//! Spec: `format-spec/16-copies.md`, repair. A mirror gives whole objects, a sibling gives blobs, which
//! are sealed anew by a session that relies on nothing in damaged packs.

use crate::copy::blobs::{Counts, Transfer};
use crate::copy::there::domain_for;
use crate::copy::tree::Walk;
use crate::copy::{CopyError, CopyOptions, Side};
use crate::format::blob::BlobKind;
use crate::format::layout;
use crate::format::whole::Wholeness;
use crate::id::{BlobId, DomainTag, PackId, SegmentId};
use crate::limits;
use crate::monitor::{Cancel, Monitor, Silent, Unit};
use crate::repository::index::Located;
use crate::repository::{Flags, Reader, WriteSession};
use crate::store::{ObjectKey, StoreExt};
use std::collections::{BTreeMap, HashMap, HashSet};

/// An object that a check found damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Its key, or what stands for blobs that no segment lists.
    pub object: String,
    /// Blobs that cannot be read for it.
    pub blobs: Vec<BlobId>,
}

/// What a repair did.
#[derive(Debug, Default)]
pub struct RepairReport {
    /// Objects that were brought back under their names.
    pub objects: Vec<String>,
    /// Blobs that were stored anew.
    pub blobs: u64,
    /// Blobs that no copy has whole. Nothing may need them.
    pub lost: Vec<BlobId>,
    /// Bytes that the repository grew by.
    pub bytes_stored: u64,
    /// Packs that are damaged and still there: a prune that counts them as lost removes them.
    pub damaged_packs: HashSet<PackId>,
}

/// Brings back what `broken` names, as far as `source` has it whole.
pub fn repair(
    target: Side<'_>,
    source: Side<'_>,
    broken: &[Broken],
    options: CopyOptions,
    monitor: &dyn Monitor,
    cancel: &Cancel,
) -> Result<RepairReport, CopyError> {
    let mut report = RepairReport::default();
    let mut left: Vec<&Broken> = Vec::new();
    let is_mirror = source.repository.config().repository == target.repository.config().repository;
    let flags = target.repository.load_flags()?;
    for broken in broken {
        cancel.check()?;
        match is_mirror && bring_back(target, source, &flags, &broken.object)? {
            true => report.objects.push(broken.object.clone()),
            false => left.push(broken),
        }
    }
    target.repository.store().barrier()?;
    target.repository.refresh_index(target.index, monitor)?;
    let bad: HashSet<PackId> = left
        .iter()
        .filter_map(|broken| layout::parse_pack(&broken.object))
        .map(|(_, pack)| pack)
        .collect();
    let wanted = Wanted::collect(target, source, &bad, &left)?;
    let total = wanted.0.values().map(Vec::len).sum::<usize>() as u64;
    monitor.phase("repairing", Unit::Items, Some(total));
    for (domain, blobs) in wanted.0 {
        let context = Context {
            target,
            source,
            bad: &bad,
            options,
            monitor,
            cancel,
        };
        context.store_anew(domain, &blobs, &mut report)?;
    }
    for broken in &left {
        let key = ObjectKey::new(broken.object.clone());
        if let (Ok(key), Some((_, pack))) = (key, layout::parse_pack(&broken.object))
            && target.repository.store().exists(&key)?
        {
            report.damaged_packs.insert(pack);
        }
    }
    Ok(report)
}

/// Puts an object again that a mirror has whole under the same name.
fn bring_back(
    target: Side<'_>,
    source: Side<'_>,
    flags: &Flags,
    object: &str,
) -> Result<bool, CopyError> {
    let (Some(wholeness), Ok(key)) = (Wholeness::of(object), ObjectKey::new(object.to_owned()))
    else {
        return Ok(false);
    };
    // A name that a prune has named is never written again.
    if is_named(flags, &key) || matches!(wholeness, Wholeness::Presence) {
        return Ok(false);
    }
    let bytes = match source.repository.store().get(&key, limits::PACK_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(error) if error.is_not_found() || error.blames_object() => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    if wholeness.fault(&bytes).is_some() {
        return Ok(false);
    }
    target.repository.store().put(&key, &bytes)?;
    Ok(true)
}

fn is_named(flags: &Flags, key: &ObjectKey) -> bool {
    if let Some((_, pack)) = layout::parse_pack(key.as_str()) {
        return flags.named_packs.contains(&pack);
    }
    let name = key.file_name();
    let records = || flags.prune_records.iter();
    match key.as_str().split('/').next() {
        Some(layout::SEGMENTS) => name
            .parse::<SegmentId>()
            .is_ok_and(|id| records().any(|record| record.named.segments.contains(&id))),
        Some(layout::SNAPSHOTS) => name
            .parse()
            .is_ok_and(|id| flags.named_snapshots.contains(&id)),
        _ => false,
    }
}

/// Blobs to be stored anew, by domain of the target.
struct Wanted(BTreeMap<DomainTag, Vec<(BlobId, BlobKind)>>);

impl Wanted {
    fn collect(
        target: Side<'_>,
        source: Side<'_>,
        bad: &HashSet<PackId>,
        left: &[&Broken],
    ) -> Result<Self, CopyError> {
        let mut wanted: BTreeMap<DomainTag, Vec<(BlobId, BlobKind)>> = BTreeMap::new();
        let mut seen = HashSet::new();
        let mut domains = Domains::default();
        for pack in bad {
            for located in target.index.rows_of_pack(pack)? {
                // A group goes with its members.
                if located.row.kind != BlobKind::Group
                    && let Some(domain) = domains.here(target, &located)?
                    && seen.insert(located.row.id)
                {
                    let blob = (located.row.id, located.row.kind);
                    wanted.entry(domain).or_default().push(blob);
                }
            }
        }
        // What no segment lists here is found by the segments there.
        for id in left.iter().flat_map(|broken| &broken.blobs) {
            let Some(located) = source.index.lookup(id)?.into_iter().next() else {
                continue;
            };
            if let Some(domain) = domains.there(target, source, &located)?
                && seen.insert(*id)
            {
                wanted
                    .entry(domain)
                    .or_default()
                    .push((*id, located.row.kind));
            }
        }
        Ok(Self(wanted))
    }
}

/// The domains of segments, looked up once.
#[derive(Default)]
struct Domains {
    here: HashMap<SegmentId, Option<DomainTag>>,
    there: HashMap<SegmentId, Option<DomainTag>>,
}

impl Domains {
    fn here(
        &mut self,
        target: Side<'_>,
        located: &Located,
    ) -> Result<Option<DomainTag>, CopyError> {
        if let Some(known) = self.here.get(&located.segment) {
            return Ok(*known);
        }
        let loaded = target.repository.load_segment_of_domain(located.segment)?;
        let domain = loaded.map(|(domain, _)| domain);
        self.here.insert(located.segment, domain);
        Ok(domain)
    }

    fn there(
        &mut self,
        target: Side<'_>,
        source: Side<'_>,
        located: &Located,
    ) -> Result<Option<DomainTag>, CopyError> {
        if let Some(known) = self.there.get(&located.segment) {
            return Ok(*known);
        }
        let loaded = source.repository.load_segment_of_domain(located.segment)?;
        let domain = match loaded {
            Some((domain, _)) => {
                let to = domain_for(source.repository, target.repository, domain)?;
                to.is_sibling.then_some(to.domain)
            }
            None => None,
        };
        self.there.insert(located.segment, domain);
        Ok(domain)
    }
}

struct Context<'r> {
    target: Side<'r>,
    source: Side<'r>,
    bad: &'r HashSet<PackId>,
    options: CopyOptions,
    monitor: &'r dyn Monitor,
    cancel: &'r Cancel,
}

impl Context<'_> {
    /// Stores blobs of one domain, from the source or from what is still readable here.
    fn store_anew(
        &self,
        domain: DomainTag,
        blobs: &[(BlobId, BlobKind)],
        report: &mut RepairReport,
    ) -> Result<(), CopyError> {
        let repository = self.target.repository;
        let mut domains = repository.access().domains();
        let name = domains
            .find(|secret| secret.tag == domain)
            .map(|secret| secret.name.clone());
        let keys = repository.access().domain(name.as_deref())?;
        let (index, distrusted) = (self.target.index, self.bad.clone());
        let session = WriteSession::open(repository, index, keys, distrusted, self.monitor)?;
        let here = Reader::new(repository, index);
        let mut reader = Reader::new(self.source.repository, self.source.index);
        reader.fall_back_on(&[&here]);
        let counts = Counts::default();
        let transfer = Transfer::new(&reader, &session, None, self.options, &counts, self.cancel);
        let mut walk = Walk {
            monitor: &Silent,
            cancel: self.cancel,
            walked: HashSet::new(),
        };
        for (id, kind) in blobs {
            self.cancel.check()?;
            if transfer.known(*id, *kind)?.is_none() {
                match self.one(&transfer, &mut walk, *id, *kind) {
                    Ok(()) => report.blobs += 1,
                    Err(CopyError::Read(error)) if error.is_damage() => report.lost.push(*id),
                    Err(error) => return Err(error),
                }
            }
            self.monitor.advance(1);
        }
        drop(transfer);
        session.flush()?;
        report.bytes_stored += session.statistics().bytes_stored;
        Ok(session.end()?)
    }

    fn one(
        &self,
        transfer: &Transfer<'_, '_>,
        walk: &mut Walk<'_>,
        id: BlobId,
        kind: BlobKind,
    ) -> Result<(), CopyError> {
        let alone = || {
            let plain = transfer.reader().read(id, kind)?;
            transfer.put_node(id, kind, &plain).map(drop)
        };
        match kind {
            BlobKind::Chunk => transfer.chunks(&[id]).map(drop),
            BlobKind::Group => Ok(()),
            BlobKind::NodeBody => alone(),
            // Who could not read the node does not know what is lost below it.
            BlobKind::NodeLinks => match walk.tree(transfer, id) {
                Err(CopyError::Read(error)) if error.is_damage() => alone(),
                moved => moved.map(drop),
            },
        }
    }
}
