//! What a thief signs beyond the host's rights, and what it puts back.

use super::{HOST, World, files, open_host};
use icecore::crypto::{SecretKey, SigningKey};
use icecore::env::{SystemEntropy, Timestamp};
use icecore::explain::explain;
use icecore::forget::ForgetPlan;
use icecore::format::certificate::{Capabilities, Certificate, Statement};
use icecore::format::envelope::{Envelope, ObjectType};
use icecore::format::layout;
use icecore::format::protocol::{
    Closed, Condemned, Hide, Proof, ProofKind, SessionEnd, SessionKind,
};
use icecore::format::record::{Authorship, Record, Signer, encode_record};
use icecore::format::snapshot::SnapshotPlain;
use icecore::id::{DomainTag, PackId, SessionId, WriterId};
use icecore::monitor::{Cancel, Silent};
use icecore::prune::{Context, PruneError, PruneOptions, PrunePlan, Pruned};
use icecore::repository::{Repository, Session};
use icecore::retention::GroupBy;
use icecore::store::{ObjectKey, Store, StoreExt};
use icecore::testing_repository::take;
use std::sync::Arc;

/// A record without sealed parts, signed by whom one likes.
struct Forgery<'a> {
    thief: &'a Repository,
    object_type: ObjectType,
    domain: DomainTag,
    writer: WriterId,
    session: SessionId,
    plain: Vec<u8>,
}

impl<'a> Forgery<'a> {
    fn new(thief: &'a Repository, object_type: ObjectType, plain: Vec<u8>) -> Self {
        Self {
            thief,
            object_type,
            domain: DomainTag::default(),
            writer: thief.access().writer(),
            session: SessionId([5; 16]),
            plain,
        }
    }

    fn signed_by(&self, signer: &Signer) -> Vec<u8> {
        let envelope = Envelope {
            object_type: self.object_type,
            suite: self.thief.suite(),
            repository: self.thief.config().repository,
            domain: self.domain,
            keys: Vec::new(),
        };
        let authorship = Authorship {
            writer: self.writer,
            session: self.session,
            statement: 9,
            created: Timestamp(1),
        };
        let entropy = &SystemEntropy;
        encode_record(&envelope, &authorship, &self.plain, &[], signer, entropy).unwrap()
    }

    fn signed(&self) -> Vec<u8> {
        self.signed_by(&self.thief.access().signer())
    }

    /// Why nobody takes it.
    fn refusal(&self, bytes: &[u8]) -> String {
        let root = self.thief.access().root();
        explain(&Record::decode(bytes, self.object_type, root).unwrap_err())
    }
}

fn key(name: String) -> ObjectKey {
    ObjectKey::new(name).unwrap()
}

fn prune(repository: &Repository) -> Result<Pruned, Box<PruneError>> {
    let context = Context {
        monitor: &Silent,
        cancel: &Cancel::default(),
        sleeper: &icecore::env::SystemSleeper,
    };
    let options = PruneOptions {
        wait: std::time::Duration::ZERO,
        ..PruneOptions::default()
    };
    let plan = PrunePlan::new(repository, options, context).map_err(Box::new)?;
    plan.execute(context).map_err(Box::new)
}

#[test]
fn what_it_signs_for_a_prune_counts_for_nothing() {
    let world = World::new("forges gc");
    let thief = world.thief("forges");
    let session = SessionId([5; 16]);
    let packs = world.packs();
    let packs = packs
        .iter()
        .filter_map(|(key, _)| layout::parse_pack(key.as_str()));
    let packs: Vec<PackId> = packs.map(|(_, pack)| pack).collect();
    let condemned = Condemned {
        packs,
        snapshots: world.taken.to_vec(),
        ..Condemned::default()
    };
    let hide = Hide {
        snapshots: world.taken.to_vec(),
        hidden: true,
        after: Vec::new(),
    };
    let full = world.full("victim");
    let victim = full.load_snapshot(world.taken[0]).unwrap().unwrap().session;
    let closed = Closed {
        session: victim,
        commits: Vec::new(),
    };
    let forged = [
        (
            ObjectType::Condemn,
            condemned.encode(),
            layout::gc(&session, "condemn"),
        ),
        (
            ObjectType::Delete,
            condemned.encode(),
            layout::gc(&session, "delete"),
        ),
        (
            ObjectType::Hide,
            hide.encode(),
            layout::gc(&session, "hide"),
        ),
        (
            ObjectType::Closed,
            closed.encode(),
            layout::gc(&victim, format_args!("closed.{session}")),
        ),
    ];
    for (object_type, plain, name) in &forged {
        let forgery = Forgery::new(&thief, *object_type, plain.clone());
        let bytes = forgery.signed();
        let why = forgery.refusal(&bytes);
        assert!(
            why.contains("does not allow this"),
            "{object_type:?}: {why}"
        );
        world.store.put(&key(name.clone()), &bytes).unwrap();
    }
    let full = world.full("looks");
    let flags = full.load_flags().unwrap();
    assert_eq!(flags.damaged.len(), forged.len());
    assert!(flags.named_packs.is_empty() && flags.prune_records.is_empty());
    world.assert_whole("after forgeries", &world.taken);
    // A prune stops at what it cannot read, and deletes nothing: the thief can be in its way.
    let stopped = prune(&full).unwrap_err();
    assert!(
        explain(&stopped).contains("does not allow this"),
        "{stopped}"
    );
    for (_, _, name) in forged {
        world.store.delete(&key(name)).unwrap();
    }
    prune(&world.full("prunes")).unwrap();
    world.assert_whole("after a prune", &world.taken);
}

#[test]
fn it_makes_itself_no_better_certificate() {
    let world = World::new("certificates");
    let thief = world.thief("certifies");
    let mine = SigningKey::from_seed(SecretKey::from_bytes([3; 32]));
    let statement = Statement {
        repository: thief.config().repository,
        writer: thief.access().writer(),
        public_key: mine.verifying_key(),
        capabilities: Capabilities::FULL,
        domains: Vec::new(),
        issued: Timestamp(1),
    };
    let own_root = Signer {
        certificate: Certificate::issue(statement, &mine),
        key: SigningKey::from_seed(SecretKey::from_bytes([3; 32])),
    };
    let delete = Forgery::new(&thief, ObjectType::Delete, Condemned::default().encode());
    let why = delete.refusal(&delete.signed_by(&own_root));
    assert!(
        why.contains("not signed by this repository's root"),
        "{why}"
    );

    // Its own one, with more rights written into it.
    let signer = thief.access().signer();
    let mut bytes = signer.certificate.encode();
    let rights = bytes
        .iter()
        .rposition(|byte| *byte == Capabilities::WRITE.0);
    let changed = (0..=rights.unwrap()).rev().find_map(|position| {
        let old = std::mem::replace(&mut bytes[position], Capabilities::FULL.0);
        let better = Certificate::decode(&bytes).ok();
        bytes[position] = old;
        better.filter(|better| better.capabilities() == Capabilities::FULL)
    });
    let better = Signer {
        certificate: changed.expect("a certificate with all rights"),
        key: signer.key,
    };
    let why = delete.refusal(&delete.signed_by(&better));
    assert!(
        why.contains("not signed by this repository's root"),
        "{why}"
    );
}

#[test]
fn it_signs_no_snapshot_for_others() {
    let world = World::new("signs for others");
    let thief = world.thief("signs");
    let full = world.full("others");
    let plain = SnapshotPlain { heads: vec![] }.encode();
    let hosts = full.load_snapshot(world.taken[1]).unwrap().unwrap().domain;
    let main = full.load_snapshot(world.taken[0]).unwrap().unwrap().domain;
    let as_full = Forgery {
        writer: full.access().writer(),
        domain: hosts,
        ..Forgery::new(&thief, ObjectType::Snapshot, plain.clone())
    };
    let into_main = Forgery {
        domain: main,
        ..Forgery::new(&thief, ObjectType::Snapshot, plain)
    };
    let before = full.list_snapshots().unwrap().0;
    for forgery in [as_full, into_main] {
        let bytes = forgery.signed();
        let why = forgery.refusal(&bytes);
        assert!(why.contains("does not allow this"), "{why}");
        let id = icecore::id::SnapshotId(*blake3::hash(&bytes).as_bytes());
        world
            .store
            .put(&key(layout::snapshot(&id)), &bytes)
            .unwrap();
    }
    let after = full.list_snapshots().unwrap().0;
    assert_eq!(
        (after.visible.len(), after.damaged.len()),
        (before.visible.len(), 2)
    );
}

#[test]
fn its_proofs_are_not_believed() {
    let world = World::new("proofs");
    let thief = world.thief("proves");
    let proof = Proof {
        kind: ProofKind::ReadData,
        finished: Timestamp(1),
        packs: Vec::new(),
        snapshots: world.taken.to_vec(),
        milliseconds: 1,
        remark: String::new(),
    };
    thief.put_proof(&proof).unwrap();
    let proofs = world.full("believes").load_proofs().unwrap().proofs;
    assert!(proofs.len() == 1 && !proofs[0].credible, "{proofs:?}");
}

#[test]
fn an_older_statement_under_a_newer_number_is_passed_over() {
    let world = World::new("old statement");
    let newest = world.full("looks").access().statement().number;
    for info in world.store.list_all(layout::STATEMENTS).unwrap() {
        let bytes = world.store.get(&info.key, usize::MAX).unwrap();
        let id = icecore::id::ObjectId(*blake3::hash(&bytes).as_bytes());
        let (number, _) = layout::parse_numbered(info.key.file_name()).unwrap();
        if number < newest {
            let renamed = layout::numbered(layout::STATEMENTS, newest + 7, &id);
            world.store.put(&key(renamed), &bytes).unwrap();
        }
    }
    assert_eq!(world.full("again").access().statement().number, newest);
    assert_eq!(world.thief("as well").access().statement().number, newest);
}

/// A segment that a prune deleted, put back without its packs: who relies on it finds that out
/// before it commits.
#[test]
fn an_old_index_that_is_put_back_loses_no_snapshot() {
    let world = World::new("old index");
    let segments = world.store.list_all(layout::SEGMENTS).unwrap();
    let old: Vec<_> = segments
        .into_iter()
        .map(|info| {
            let bytes = world.store.get(&info.key, usize::MAX).unwrap();
            (info.key, bytes)
        })
        .collect();
    let full = world.full("forgets");
    let gone = ForgetPlan::by_name(&full, &[world.taken[1]], GroupBy::default());
    gone.unwrap().execute(true).unwrap();
    prune(&full).unwrap();
    for (key, bytes) in old {
        world.store.put(&key, &bytes).unwrap();
    }
    let cache = world.caches[HOST].path();
    let host = open_host(Arc::new(world.store.clone()), HOST, cache, "relies");
    let again = take(&host, &files(2));
    let by_full = take(&world.full("relies too"), &files(1));
    world.assert_whole(
        "put back",
        &[world.taken[0], world.taken[2], again, by_full],
    );
}

/// A prune that took a forged `end` for true would not wait for the writer that is at work.
#[test]
fn it_ends_no_session_of_others() {
    let world = World::new("ends");
    let thief = world.thief("ends others");
    let full = world.full("works");
    let session = Session::open(&full, SessionKind::Write).unwrap();
    let plain = SessionEnd { commits: vec![] }.encode();
    let end = Forgery {
        session: session.id(),
        ..Forgery::new(&thief, ObjectType::SessionEnd, plain)
    };
    let name = key(layout::session(&session.id(), "end"));
    world.store.put(&name, &end.signed()).unwrap();
    let is_open = || {
        let sessions = full.list_sessions().unwrap();
        let found = sessions.iter().find(|other| other.id == session.id());
        found.unwrap().is_open()
    };
    assert!(is_open());
    // Its own `open`, put under the name of another session, does not make that its own either.
    let own = Session::open(&thief, SessionKind::Write).unwrap();
    let own = key(layout::session(&own.id(), "open"));
    let own = world.store.get(&own, usize::MAX).unwrap();
    let name = key(layout::session(&session.id(), "open"));
    world.store.put(&name, &own).unwrap();
    assert!(is_open());
}

/// What a revoked writer keeps open holds nobody up.
#[test]
fn a_prune_does_not_wait_for_who_was_revoked() {
    let world = World::new("keeps open");
    let thief = world.thief("keeps open too");
    Session::open(&thief, SessionKind::Write).unwrap();
    let mut full = world.full("forgets one");
    let gone = ForgetPlan::by_name(&full, &[world.taken[0]], GroupBy::default());
    gone.unwrap().execute(true).unwrap();
    let waits = prune(&full).unwrap_err();
    assert!(matches!(*waits, PruneError::WritersOpen(_)), "{waits}");
    full.revoke_writer(thief.access().writer()).unwrap();
    assert_eq!(prune(&full).unwrap().snapshots, 1);
    world.assert_whole("after it", &world.taken[1..]);
}

#[test]
fn it_makes_no_prune_give_way() {
    let world = World::new("pretends to prune");
    let thief = world.thief("pretends");
    let session = Session::open(&thief, SessionKind::Prune).unwrap();
    let full = world.full("prunes beside it");
    let sessions = full.list_sessions().unwrap();
    let found = sessions.iter().find(|other| other.id == session.id());
    assert_eq!(found.unwrap().kind, Some(SessionKind::Write));
    prune(&full).unwrap();
}
