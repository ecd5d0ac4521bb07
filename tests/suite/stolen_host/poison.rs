//! An index that says of blobs which others will store that they are there already, in packs full of
//! garbage.

use super::{HOST, NEIGHBOUR, World, files, open_host};
use icecore::crypto::Role;
use icecore::env::{SystemEntropy, Timestamp};
use icecore::format::blob::{BlobKind, BlobRow, Codec, Form};
use icecore::format::envelope::{
    Envelope, KeyEntry, KeyKind, ObjectType, SessionKey, new_session_key,
};
use icecore::format::layout;
use icecore::format::pack::{PackBuilder, PackClass, blob_binding};
use icecore::format::record::{Authorship, PlainPart, encode_record};
use icecore::format::segment::{PackRows, encode_segment};
use icecore::id::{BlobId, PackId, SegmentId, SessionId, WriterId};
use icecore::repository::Repository;
use icecore::store::{ObjectKey, Store};
use icecore::testing_repository::{Files, noise, take};
use std::sync::Arc;

/// The chunks of [`files`], as anybody names them who holds the domain's id key.
fn chunk_ids(thief: &Repository, files: &Files) -> Vec<(BlobId, usize)> {
    let domain = thief.access().domain(None).unwrap();
    let page = thief.config().chunks[3] as usize;
    let contents = files.values().map(|(_, bytes)| bytes);
    contents
        .flat_map(|bytes| bytes.chunks(page))
        .map(|chunk| (domain.ids.blob_id(Role::Chunk, chunk), chunk.len()))
        .collect()
}

struct Poisoner<'a> {
    thief: &'a Repository,
    data: (KeyEntry, SessionKey),
    link: (KeyEntry, SessionKey),
}

impl<'a> Poisoner<'a> {
    fn new(thief: &'a Repository) -> Self {
        let domain = thief.access().domain(None).unwrap();
        let key = |kind| {
            new_session_key(
                thief.suite(),
                thief.config().repository,
                domain.tag,
                kind,
                &domain.readers,
                thief.access().maintenance(),
                &SystemEntropy,
            )
            .unwrap()
        };
        Self {
            thief,
            data: key(KeyKind::Data),
            link: key(KeyKind::Link),
        }
    }

    fn envelope(&self, object_type: ObjectType) -> Envelope {
        Envelope {
            object_type,
            suite: self.thief.suite(),
            repository: self.thief.config().repository,
            domain: self.thief.access().domain(None).unwrap().tag,
            keys: vec![self.data.0.clone(), self.link.0.clone()],
        }
    }

    /// Stores garbage that is sealed well under other blobs' ids, and a segment that says so in the
    /// name of `author`.
    fn poison(&self, ids: &[(BlobId, usize)], author: WriterId, store: &dyn Store) -> PackId {
        let envelope = self.envelope(ObjectType::Pack);
        let mut builder = PackBuilder::new(envelope.clone());
        for (id, length) in ids {
            let row = BlobRow {
                id: *id,
                kind: BlobKind::Chunk,
                form: Form::Full,
                codec: Codec::Raw,
                key: 0,
                offset: 0,
                stored: 0,
                plain: *length as u32,
            };
            let garbage = noise(666, *length);
            let mut sealed = Vec::new();
            blob_binding(&envelope, &row)
                .seal_into(&self.data.1, &garbage, &mut sealed, &SystemEntropy)
                .unwrap();
            builder.push(row, &sealed);
        }
        let pack = builder.finish(&self.link.1, 1, &SystemEntropy).unwrap();
        let listed = encode_segment(&[PackRows {
            pack: pack.id,
            class: PackClass::Full,
            length: pack.bytes.len() as u32,
            author,
            rows: pack.rows,
        }]);
        let part = PlainPart {
            role: Role::Segment,
            key_number: 1,
            key: &self.link.1,
            content: &listed,
        };
        let authorship = Authorship {
            writer: self.thief.access().writer(),
            session: SessionId([6; 16]),
            statement: 1,
            created: Timestamp(1),
        };
        let segment = encode_record(
            &self.envelope(ObjectType::Segment),
            &authorship,
            &[],
            &[part],
            &self.thief.access().signer(),
            &SystemEntropy,
        )
        .unwrap();
        let id = SegmentId(*blake3::hash(&segment).as_bytes());
        let put = |name: String, bytes: &[u8]| {
            store.put(&ObjectKey::new(name).unwrap(), bytes).unwrap();
        };
        put(layout::pack(PackClass::Full, &pack.id), &pack.bytes);
        put(layout::segment(&id), &segment);
        pack.id
    }
}

#[test]
fn nobody_relies_on_rows_of_a_thief() {
    let world = World::new("poison");
    let thief = world.thief("poisons");
    let victims = [files(21), files(22), files(23)];
    let poisoner = Poisoner::new(&thief);
    let neighbour = open_host(
        Arc::new(world.store.clone()),
        NEIGHBOUR,
        world.caches[NEIGHBOUR].path(),
        "neighbour",
    );
    let full = world.full("full in the domain");
    let mut packs = Vec::new();
    for victim in &victims {
        let ids = chunk_ids(&thief, victim);
        // In its own name, and in those of whom it wants to be believed by.
        for author in [
            thief.access().writer(),
            neighbour.access().writer(),
            full.access().writer(),
        ] {
            packs.push(poisoner.poison(&ids, author, &world.store));
        }
    }
    // Another host of the domain, and a full credential that writes into it, store all of it.
    let by_neighbour = take(&neighbour, &victims[0]);
    let by_full = take_into(&full, "hosts", &victims[1]);
    // And once more: what is there by then is found in the good place.
    let again = take_into(&world.full("again"), "hosts", &victims[1]);
    for pack in &packs {
        let name = layout::pack(PackClass::Full, pack);
        world.store.delete(&ObjectKey::new(name).unwrap()).unwrap();
    }
    world.assert_whole("without the garbage", &[by_neighbour, by_full, again]);
    // The host's rightful owner, with the same credential, believes its own rows: what was written
    // in its name is the thief's to spoil, until the credential is revoked.
    let mut revoking = world.full("revokes");
    assert_eq!(revoking.revoke_writer(thief.access().writer()).unwrap(), 1);
    let cache = world.caches[HOST].path();
    let store = Arc::new(world.store.clone());
    let late = open_host(store, HOST, cache, "late");
    let refused = late.access().domain(None).unwrap_err();
    assert!(refused.to_string().contains("was revoked"), "{refused}");
}

/// A snapshot into a named domain.
fn take_into(repository: &Repository, domain: &str, files: &Files) -> icecore::id::SnapshotId {
    let index = icecore::testing_repository::empty_index();
    let mut run = icecore::archiver::Run::new(repository, &index).unwrap();
    let request = icecore::archiver::SnapshotRequest {
        domain: Some(domain.to_owned()),
        ..icecore::testing_repository::request()
    };
    let mut open = || {
        let source = icecore::testing_repository::MapSource(files.clone());
        Ok(Box::new(source) as Box<dyn icecore::source::Source>)
    };
    let taken = run.snapshot(
        &request,
        &mut open,
        &icecore::monitor::Silent,
        &icecore::monitor::Cancel::default(),
    );
    taken.unwrap().id
}
