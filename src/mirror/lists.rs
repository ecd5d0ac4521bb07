//! What is where: the source in the order in which it is copied, the target, what was deleted.

use crate::format::envelope::ObjectType;
use crate::format::layout;
use crate::format::protocol::{SessionKind, SessionOpen};
use crate::format::record::Record;
use crate::id::{PackId, SegmentId, SessionId, SnapshotId};
use crate::limits;
use crate::mirror::MirrorError;
use crate::repository::{Flags, Repository};
use crate::store::{ObjectInfo, ObjectKey, Store, StoreExt};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Whether a key is a slot's.
pub(super) fn is_slot(key: &ObjectKey) -> bool {
    key.as_str().starts_with(layout::SLOTS)
}

/// A flag that stays: what it says of a snapshot holds in a mirror too. The others belong to runs
/// that are going on at the source.
fn is_lasting_flag(info: &ObjectInfo) -> bool {
    let flag = layout::parse_flag(info.key.file_name());
    flag.is_some_and(|(_, what)| what == "fence" || what == "hide" || what.starts_with("closed."))
}

/// What counting `delete` records name.
#[derive(Debug, Default)]
pub(super) struct Deleted {
    packs: HashSet<PackId>,
    segments: HashSet<SegmentId>,
    snapshots: HashSet<SnapshotId>,
}

impl Deleted {
    fn of(flags: &Flags) -> Self {
        let mut deleted = Self::default();
        for record in flags.counting_deletes() {
            deleted.packs.extend(&record.named.packs);
            deleted.segments.extend(&record.named.segments);
            deleted.snapshots.extend(&record.named.snapshots);
        }
        deleted
    }

    pub(super) fn names(&self, key: &ObjectKey) -> bool {
        if let Some((_, pack)) = layout::parse_pack(key.as_str()) {
            return self.packs.contains(&pack);
        }
        let name = key.file_name();
        match key.as_str().split_once('/').map(|(prefix, _)| prefix) {
            Some(layout::SEGMENTS) => name.parse().is_ok_and(|id| self.segments.contains(&id)),
            Some(layout::SNAPSHOTS) => name.parse().is_ok_and(|id| self.snapshots.contains(&id)),
            _ => false,
        }
    }
}

/// Lists `gc/` and says what is deleted.
pub(super) fn deleted(source: &dyn Store) -> Result<Deleted, MirrorError> {
    let config = Repository::config_of(source).map_err(MirrorError::Source)?;
    let mut flags = Flags::without_key(source, &config)?;
    match flags.damaged.pop() {
        // Nothing is deleted because of a record that cannot be read.
        Some(_) => Ok(Deleted::default()),
        None => Ok(Deleted::of(&flags)),
    }
}

/// One look at the source.
pub(super) struct Listing {
    /// Objects in the order in which they are copied; snapshots are the last class.
    pub(super) classes: Vec<Vec<ObjectInfo>>,
    deleted: Deleted,
    prunes: Prunes,
}

impl Listing {
    /// Lists snapshots, then `gc/`, then packs, segments, and packs once more: a segment that is
    /// listed names packs that were there before.
    pub(super) fn take(source: &dyn Store) -> Result<Self, MirrorError> {
        let mut snapshots = source.list_all(layout::SNAPSHOTS)?;
        let prunes = Prunes::look(source)?;
        let mut flags = source.list_all(layout::GC)?;
        flags.retain(is_lasting_flag);
        let deleted = deleted(source)?;
        let mut packs = by_key(source.list_all(layout::PACKS)?);
        let mut segments = source.list_all(layout::SEGMENTS)?;
        packs.extend(by_key(source.list_all(layout::PACKS)?));
        let mut packs: Vec<ObjectInfo> = packs.into_values().collect();
        for list in [&mut snapshots, &mut packs, &mut segments] {
            list.retain(|info| !deleted.names(&info.key));
        }
        let keys = [layout::SLOTS, layout::RINGS, layout::STATEMENTS];
        let others = [layout::SETS, layout::HOLDS, layout::PROOFS, layout::AUDIT];
        Ok(Self {
            classes: vec![
                list_each(source, &keys)?,
                list_each(source, &[layout::CONFIG])?,
                flags,
                packs,
                segments,
                list_each(source, &others)?,
                snapshots,
            ],
            deleted,
            prunes,
        })
    }

    /// Whether nothing that was listed has gone since, but what was deleted before.
    pub(super) fn is_undisturbed(&self, source: &dyn Store) -> Result<bool, MirrorError> {
        let mut now: HashSet<ObjectKey> = HashSet::new();
        for prefix in [layout::PACKS, layout::SEGMENTS] {
            now.extend(source.list_all(prefix)?.into_iter().map(|info| info.key));
        }
        let listed = self.classes.iter().flatten();
        let listed = listed.filter(|info| is_data(&info.key));
        let gone = |info: &ObjectInfo| !now.contains(&info.key) && !self.deleted.names(&info.key);
        Ok(!listed.into_iter().any(gone) && !self.prunes.went_on(source)?)
    }
}

fn is_data(key: &ObjectKey) -> bool {
    let prefix = key.as_str().split('/').next();
    matches!(prefix, Some(layout::PACKS | layout::SEGMENTS))
}

fn by_key(infos: Vec<ObjectInfo>) -> BTreeMap<ObjectKey, ObjectInfo> {
    infos
        .into_iter()
        .map(|info| (info.key.clone(), info))
        .collect()
}

fn list_each(store: &dyn Store, prefixes: &[&str]) -> Result<Vec<ObjectInfo>, MirrorError> {
    let mut infos = Vec::new();
    for prefix in prefixes {
        infos.extend(store.list_all(prefix)?);
    }
    Ok(infos)
}

/// How far the prunes of the source have got.
#[derive(Debug, Default)]
struct Prunes {
    deleting: HashSet<SessionId>,
    ended: HashSet<SessionId>,
}

impl Prunes {
    fn look(source: &dyn Store) -> Result<Self, MirrorError> {
        let mut prunes = Self::default();
        for info in source.list_all(layout::SESSIONS)? {
            let flag = layout::parse_flag(info.key.file_name());
            prunes
                .ended
                .extend(flag.and_then(|(id, what)| (what == "end").then_some(id)));
        }
        for info in source.list_all(layout::GC)? {
            let flag = layout::parse_flag(info.key.file_name());
            let deletes = flag.and_then(|(id, what)| (what == "delete").then_some(id));
            prunes.deleting.extend(deletes);
        }
        Ok(prunes)
    }

    /// Whether a prune began to delete since, or one that may have deleted has ended.
    fn went_on(&self, source: &dyn Store) -> Result<bool, MirrorError> {
        let now = Self::look(source)?;
        if now.deleting.difference(&self.deleting).next().is_some() {
            return Ok(true);
        }
        for ended in now.ended.difference(&self.ended) {
            if !self.deleting.contains(ended) && !is_writer(source, *ended)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Whether a session is a writer's. One that is not there any more may have been anybody's.
fn is_writer(source: &dyn Store, session: SessionId) -> Result<bool, MirrorError> {
    let config = Repository::config_of(source).map_err(MirrorError::Source)?;
    let Ok(key) = ObjectKey::new(layout::session(&session, "open")) else {
        return Ok(false);
    };
    let bytes = match source.get(&key, limits::RECORD_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(error) if error.is_not_found() => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    let record = Record::decode(&bytes, ObjectType::SessionOpen, &config.root);
    let open = record
        .ok()
        .and_then(|record| SessionOpen::decode(&record.plain).ok());
    Ok(open.is_some_and(|open| open.kind == SessionKind::Write))
}

/// What the target holds.
#[derive(Debug)]
pub(super) struct Target {
    objects: HashMap<ObjectKey, ObjectInfo>,
}

impl Target {
    /// Looks at the target: it must be empty, or hold a mirror of the source, finished or not.
    pub(super) fn look(source: &dyn Store, target: &dyn Store) -> Result<Self, MirrorError> {
        let config = Repository::config_of(source).map_err(MirrorError::Source)?;
        let objects: HashMap<ObjectKey, ObjectInfo> = target
            .list_all("")?
            .into_iter()
            .map(|info| (info.key.clone(), info))
            .collect();
        let occupied = || MirrorError::Occupied(target.location());
        let is_config = |key: &ObjectKey| key.as_str() == layout::CONFIG;
        match objects.keys().any(is_config) {
            true => match Repository::config_of(target) {
                Ok(theirs) if theirs == config => {}
                Ok(_) => return Err(occupied()),
                Err(error) => return Err(MirrorError::Source(error)),
            },
            // A mirror that was begun has keys, and these are the source's.
            false => {
                let keys = list_each(source, &[layout::SLOTS, layout::RINGS, layout::STATEMENTS])?;
                let keys: HashSet<ObjectKey> = keys.into_iter().map(|info| info.key).collect();
                if !objects.keys().all(|key| keys.contains(key)) {
                    return Err(occupied());
                }
            }
        }
        Ok(Self { objects })
    }

    /// Whether an object is there, as long as at the source.
    pub(super) fn has(&self, info: &ObjectInfo) -> bool {
        self.objects
            .get(&info.key)
            .is_some_and(|there| there.size == info.size)
    }

    pub(super) fn add(&mut self, info: ObjectInfo) {
        self.objects.insert(info.key.clone(), info);
    }

    /// Objects that a look at the source did not show.
    pub(super) fn not_in(self, listing: &Listing) -> Vec<ObjectInfo> {
        let listed: HashSet<&ObjectKey> = listing
            .classes
            .iter()
            .flatten()
            .map(|info| &info.key)
            .collect();
        let mut left: Vec<ObjectInfo> = self.objects.into_values().collect();
        left.retain(|info| !listed.contains(&info.key));
        left.sort_by(|a, b| a.key.cmp(&b.key));
        left
    }
}
