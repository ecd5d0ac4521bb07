//! Damage of every class of object, mended from a sibling and from a mirror.

use super::{Kin, World, contents, damage, seed};
use crate::check::{CheckOptions, ReadData, check};
use crate::codec::Effort;
use crate::copy::{Broken, CopyOptions, RepairReport, Side, repair};
use crate::monitor::{Cancel, Silent};
use crate::prune::tests::support::prune;
use crate::prune::{PruneOptions, tests::support::thorough};
use crate::repository::Repository;
use crate::store::{MemoryStore, ObjectKey, Store, StoreExt};
use crate::testing_repository::{copy, empty_index, open};
use std::sync::Arc;

/// Checks, repairs, removes what is damaged: as the command does.
fn mend(broken: &Repository, from: &Repository) -> RepairReport {
    let (index, source_index) = (empty_index(), empty_index());
    from.refresh_index(&source_index, &Silent).unwrap();
    let options = CheckOptions {
        read_data: ReadData::All,
        workers: 2,
        ..CheckOptions::default()
    };
    let report = check(broken, &index, &options, &Silent, &Cancel::default()).unwrap();
    assert!(!report.damage.is_empty());
    let found = report.damage.into_iter().map(|damage| Broken {
        object: damage.object,
        blobs: damage.blobs,
    });
    let found: Vec<Broken> = found.collect();
    let side = |repository, index| Side { repository, index };
    let options = CopyOptions {
        effort: Effort::Auto,
        workers: 2,
    };
    let (to, from) = (side(broken, &index), side(from, &source_index));
    let repaired = repair(to, from, &found, options, &Silent, &Cancel::default()).unwrap();
    if !repaired.damaged_packs.is_empty() {
        let options = PruneOptions {
            damaged: repaired.damaged_packs.clone(),
            ..PruneOptions::default()
        };
        prune(broken, options).unwrap();
    }
    repaired
}

/// What may happen to an object.
const HARMS: [fn(&MemoryStore, &ObjectKey); 3] = [
    |store, key| store.delete(key).unwrap(),
    |store, key| {
        let mut bytes = store.get(key, usize::MAX).unwrap();
        let end = bytes.len().min(6000);
        bytes[end / 2..end].iter_mut().for_each(|byte| *byte ^= 1);
        store.put(key, &bytes).unwrap();
    },
    |store, key| {
        let bytes = store.get(key, usize::MAX).unwrap();
        store.put(key, &bytes[..bytes.len() / 3]).unwrap();
    },
];

#[test]
fn a_sibling_gives_back_what_any_pack_or_segment_held() {
    let prepared = World::new(&Kin::Sibling);
    prepared.copy();
    let expected = contents(&prepared.source());
    let objects = ["packs", "index"].map(|prefix| prepared.source.list_all(prefix).unwrap());
    let mut mended = 0;
    for info in objects.iter().flatten() {
        for harm in HARMS {
            let store = copy(&prepared.source, prepared.clock.clone());
            harm(&store, &info.key);
            let broken = || open(Arc::new(store.clone()), &seed(), prepared.clock.clone()).unwrap();
            if damage(&broken()).is_empty() {
                continue;
            }
            let report = mend(&broken(), &prepared.target());
            let left = damage(&broken());
            let is_segment = info.key.as_str().starts_with("index/");
            // What is left of a segment is named until it is brought back: nothing can open it.
            if !is_segment {
                assert_eq!(left, Vec::<String>::new(), "{}: {report:?}", info.key);
            }
            assert_eq!(contents(&broken()), expected, "{}: {report:?}", info.key);
            mended += 1;
        }
    }
    assert!(mended > 15, "{mended}");
}

#[test]
fn a_mirror_gives_back_objects_by_their_names() {
    let world = World::new(&Kin::Stranger);
    let mirror = copy(&world.source, world.clock.clone());
    let expected = contents(&world.source());
    for prefix in ["packs", "index", "snapshots", "keys/statements"] {
        for info in world.source.list_all(prefix).unwrap() {
            let store = copy(&world.source, world.clock.clone());
            let broken = open(Arc::new(store.clone()), &seed(), world.clock.clone()).unwrap();
            HARMS[1](&store, &info.key);
            let from = open(Arc::new(mirror.clone()), &seed(), world.clock.clone()).unwrap();
            let report = mend(&broken, &from);
            assert_eq!(report.objects, [info.key.to_string()]);
            let whole = world.source.get(&info.key, usize::MAX).unwrap();
            assert!(store.get(&info.key, usize::MAX).unwrap() == whole);
            assert_eq!(damage(&broken), Vec::<String>::new());
            assert_eq!(contents(&broken), expected);
        }
    }
}

#[test]
fn a_name_that_a_prune_has_named_is_not_written_again() {
    use crate::format::protocol::Condemned;
    use crate::id::SessionId;
    let world = World::new(&Kin::Stranger);
    let mirror = copy(&world.source, world.clock.clone());
    let expected = contents(&world.source());
    let packs = world.source.list_all("packs/meta").unwrap();
    let (_, pack) = crate::format::layout::parse_pack(packs[0].key.as_str()).unwrap();
    let named = Condemned {
        packs: vec![pack],
        segments: Vec::new(),
        snapshots: Vec::new(),
    };
    world
        .source()
        .put_condemn(SessionId([5; 16]), &named)
        .unwrap();
    world.source.delete(&packs[0].key).unwrap();
    let from = open(Arc::new(mirror), &seed(), world.clock.clone()).unwrap();
    let report = mend(&world.source(), &from);
    assert!(report.objects.is_empty() && report.blobs > 0, "{report:?}");
    assert!(world.source.stat(&packs[0].key).is_err());
    assert_eq!(contents(&world.source()), expected);
}

#[test]
fn what_a_stranger_has_is_of_no_use() {
    let world = World::new(&Kin::Stranger);
    world.copy();
    let packs = world.source.list_all("packs/full").unwrap();
    HARMS[0](&world.source, &packs[0].key);
    let before = damage(&world.source());
    let report = mend(&world.source(), &world.target());
    assert_eq!((report.blobs, report.objects.len()), (0, 0));
    assert_eq!(damage(&world.source()), before);
}

#[test]
fn removing_what_is_damaged_takes_nothing_that_is_needed() {
    let world = World::new(&Kin::Sibling);
    let packs = world.source.list_all("packs/full").unwrap();
    let (_, pack) = crate::format::layout::parse_pack(packs[0].key.as_str()).unwrap();
    let options = PruneOptions {
        damaged: [pack].into(),
        ..thorough()
    };
    prune(&world.source(), options).unwrap_err();
    assert!(world.source.stat(&packs[0].key).is_ok());
    assert_eq!(damage(&world.source()), Vec::<String>::new());
}
