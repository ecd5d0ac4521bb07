//! The merge that shows that all is well agrees with looking every chunk up.

use crate::check::findings::Findings;
use crate::check::references::References;
use crate::check::tests::{build, clock, keys};
use crate::check::view::View;
use crate::format::blob::BlobKind;
use crate::id::BlobId;
use crate::monitor::{Cancel, Silent};
use crate::repository::index::Index;
use crate::spill::Scratch;
use crate::store::{MemoryStore, Store};
use crate::testing_repository::{copy, empty_index, open};
use std::collections::{BTreeMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

/// What is in a store: the index, and a look at the rest.
fn look(store: &MemoryStore) -> (Index, View) {
    let repository = open(Arc::new(store.clone()), "look", clock()).unwrap();
    let index = empty_index();
    let view = View::take(
        &repository,
        &index,
        &mut HashSet::new(),
        &mut Findings::default(),
        &Silent,
        &Cancel::default(),
    );
    (index, view.unwrap())
}

/// Every chunk that the index lists, and its length.
fn chunks(index: &Index) -> BTreeMap<BlobId, u64> {
    let mut chunks = BTreeMap::new();
    let visit = &mut |entry: crate::repository::index::Entry| {
        if entry.row.kind == BlobKind::Chunk {
            chunks.insert(entry.row.id, u64::from(entry.row.plain));
        }
        ControlFlow::Continue(())
    };
    index.for_each_entry(visit).unwrap();
    chunks
}

fn resolve<'c>(
    index: &Index,
    view: &View,
    chunks: impl IntoIterator<Item = (&'c BlobId, &'c u64)>,
) -> bool {
    let mut references = References::new(&Scratch::default());
    for (id, length) in chunks {
        references.note(*id, *length).unwrap();
        references.note(*id, *length).unwrap();
    }
    let resolved = references.all_resolve(index, view, &Cancel::default());
    resolved.unwrap()
}

#[test]
fn all_at_once_and_each_alone_are_judged_alike() {
    let whole = MemoryStore::new();
    build(&whole, "references", clock());
    let (index, view) = look(&whole);
    let known = chunks(&index);
    assert!(known.len() > 8, "{}", known.len());
    assert!(resolve(&index, &view, &known));
    assert!(known.iter().all(|chunk| resolve(&index, &view, [chunk])));
    // Neither of these is there.
    for id in [BlobId([0; 32]), BlobId([0xFF; 32]), BlobId([0x7F; 32])] {
        let more = known.iter().chain([(&id, &5)]);
        assert!(!resolve(&index, &view, more));
        assert!(!resolve(&index, &view, [(&id, &5)]));
    }
    let (id, length) = known.iter().next().unwrap();
    for wrong in [0, 1, *length + 1, u64::MAX] {
        assert!(!resolve(&index, &view, [(id, &wrong)]), "{wrong}");
        let others = known.iter().skip(1).chain([(id, &wrong)]);
        assert!(!resolve(&index, &view, others), "{wrong}");
    }
}

#[test]
fn what_a_lost_pack_takes_along_is_not_resolved() {
    let whole = MemoryStore::new();
    build(&whole, "lost", clock());
    let (index, _) = look(&whole);
    let known = chunks(&index);
    let (mut full, mut beneath) = (0, 0);
    for key in keys(&whole, "packs") {
        let store = copy(&whole, clock());
        store.delete(&key).unwrap();
        let (index, view) = look(&store);
        let is_there = |located: &crate::repository::index::Located| {
            view.packs.contains_key(&(located.class, located.pack))
        };
        for (id, length) in &known {
            // The oracle: a chain all of whose packs are there.
            let chain = index.chain(id, &is_there).unwrap();
            let rows = index.lookup(id).unwrap();
            let own = rows.iter().any(is_there);
            assert_eq!(
                resolve(&index, &view, [(id, length)]),
                chain.is_some(),
                "{id} without {key}"
            );
            full += usize::from(chain.is_none() && !own);
            beneath += usize::from(chain.is_none() && own);
        }
        let all = known
            .keys()
            .all(|id| index.chain(id, &is_there).unwrap().is_some());
        assert_eq!(resolve(&index, &view, &known), all, "without {key}");
    }
    assert!(
        full > 0 && beneath > 0,
        "{full} gone, {beneath} without a base"
    );
}
