//! The protocol's flags, sets, proofs and holds.

use super::{Draft, SESSION};
use crate::vectors::describe;
use crate::vectors::keys::{Fixture, NOW};
use crate::vectors::make::Maker;
use icecore::crypto::Role;
use icecore::format::audit::{AuditContent, AuditEvent, AuditPlace, AuditStatus};
use icecore::format::envelope::ObjectType;
use icecore::format::protocol::{
    Closed, Condemned, Hide, Hold, HoldReason, Proof, ProofKind, SessionBeat, SessionEnd,
    SessionKind, SessionOpen, Set,
};
use icecore::id::{ObjectId, PackId, SegmentId, SessionId, SetId, SnapshotId};
use serde_json::{Value, json};

pub fn make(fixture: &Fixture) -> Vec<Maker> {
    vec![session(fixture), gc(fixture), sealed(fixture)]
}

/// Adds a record in which nothing is sealed.
fn flag(
    maker: &mut Maker,
    fixture: &Fixture,
    name: &'static str,
    object_type: ObjectType,
    plain: (Vec<u8>, Value),
) {
    let by_writer = matches!(
        object_type,
        ObjectType::SessionOpen | ObjectType::SessionBeat | ObjectType::SessionEnd
    );
    let draft = Draft {
        fixture,
        object_type,
        envelope: fixture.bare(object_type),
        signer: match by_writer {
            true => &fixture.writer,
            false => &fixture.maintainer,
        },
        plain: plain.0,
        parts: Vec::new(),
    };
    let bytes = draft.encode(&maker.entropy(name));
    let expect = draft.expect(&bytes, plain.1, json!({}));
    maker.good(name, "a flag of the protocol", draft.input(), bytes, expect);
}

fn session(fixture: &Fixture) -> Maker {
    let mut maker = Maker::new("session", "record");
    let open = SessionOpen {
        kind: SessionKind::Write,
    };
    let plain = (open.encode(), describe::session_open(&open));
    flag(&mut maker, fixture, "open", ObjectType::SessionOpen, plain);
    let beat = SessionBeat { number: 300 };
    let plain = (beat.encode(), describe::session_beat(&beat));
    flag(&mut maker, fixture, "beat", ObjectType::SessionBeat, plain);
    let end = SessionEnd {
        commits: vec![ObjectId([1; 32])],
    };
    let plain = (end.encode(), describe::session_end(&end));
    flag(&mut maker, fixture, "end", ObjectType::SessionEnd, plain);
    maker
}

fn gc(fixture: &Fixture) -> Maker {
    let mut maker = Maker::new("gc", "record");
    let closed = Closed {
        session: SESSION,
        commits: vec![ObjectId([2; 32])],
    };
    let plain = (closed.encode(), describe::closed(&closed));
    flag(&mut maker, fixture, "closed", ObjectType::Closed, plain);
    let condemned = Condemned {
        packs: vec![PackId([3; 32]), PackId([4; 32])],
        segments: vec![SegmentId([5; 32])],
        snapshots: vec![SnapshotId([6; 32])],
    };
    let plain = || (condemned.encode(), describe::condemned(&condemned));
    flag(&mut maker, fixture, "condemn", ObjectType::Condemn, plain());
    flag(&mut maker, fixture, "delete", ObjectType::Delete, plain());
    let hide = Hide {
        snapshots: vec![SnapshotId([7; 32])],
        hidden: true,
        after: vec![ObjectId([8; 32])],
    };
    let plain = (hide.encode(), describe::hide(&hide));
    flag(&mut maker, fixture, "hide", ObjectType::Hide, plain);
    let mut unsorted = closed.encode();
    // {0: session, 1: commits} with the fields in the other order.
    let (first, second) = unsorted[1..].split_at(18);
    unsorted = [&[0xa2][..], second, first].concat();
    let draft = Draft {
        fixture,
        object_type: ObjectType::Closed,
        envelope: fixture.bare(ObjectType::Closed),
        signer: &fixture.maintainer,
        plain: unsorted,
        parts: Vec::new(),
    };
    let bytes = draft.encode(&maker.entropy("closed_unsorted"));
    maker.bad(
        "closed_unsorted",
        "field 1 before field 0",
        draft.input(),
        bytes,
        "format",
    );
    maker
}

fn sealed(fixture: &Fixture) -> Maker {
    let mut maker = Maker::new("sealed", "record");
    let set = Set {
        id: SetId([9; 16]),
        snapshots: vec![SnapshotId([10; 32])],
        complete: true,
    };
    let proof = Proof {
        kind: ProofKind::Drill,
        finished: NOW,
        packs: vec![(PackId([11; 32]), ObjectId([12; 32]))],
        snapshots: vec![SnapshotId([10; 32])],
        milliseconds: 1234,
        remark: "postgres 18.1 answered".into(),
    };
    let hold = Hold {
        snapshot: SnapshotId([10; 32]),
        until: Some(NOW),
        releases: None,
    };
    let reason = HoldReason {
        reason: "case 4711".into(),
    };
    let hold_plain = (hold.encode(), describe::hold(&hold));
    let place = AuditPlace {
        number: 2,
        previous: Some(ObjectId([13; 32])),
        heads: vec![(SessionId([14; 16]), 3, ObjectId([15; 32]))],
    };
    let audit_plain = (place.encode(), describe::plain(&place.encode()));
    let audit = audit_content();
    let empty = || (Vec::new(), describe::plain(b""));
    for (name, object_type, plain, content, expect) in [
        (
            "set",
            ObjectType::Set,
            empty(),
            set.encode(),
            describe::set(&set),
        ),
        (
            "proof",
            ObjectType::Proof,
            empty(),
            proof.encode(),
            describe::proof(&proof),
        ),
        (
            "hold",
            ObjectType::Hold,
            hold_plain,
            reason.encode(),
            describe::hold_reason(&reason),
        ),
        (
            "audit",
            ObjectType::Audit,
            audit_plain,
            audit.encode(),
            describe::plain(&audit.encode()),
        ),
    ] {
        let draft = Draft {
            fixture,
            object_type,
            envelope: fixture.envelope(object_type),
            signer: match object_type {
                ObjectType::Hold => &fixture.maintainer,
                _ => &fixture.writer,
            },
            plain: plain.0,
            parts: vec![(Role::Record, 1, content)],
        };
        let bytes = draft.encode(&maker.entropy(name));
        let expect = draft.expect(&bytes, plain.1, json!({ "12": expect }));
        maker.good(
            name,
            "a record with a sealed part",
            draft.input(),
            bytes,
            expect,
        );
    }
    maker
}

fn audit_content() -> AuditContent {
    AuditContent {
        user: "root".into(),
        host: "portal-1".into(),
        process: 4711,
        program: "icecore 0.1.0".into(),
        offset: 18_000,
        events: vec![AuditEvent {
            time: NOW,
            name: "restore_complete".into(),
            status: AuditStatus::Success,
            details: "a part of it".into(),
            snapshot: Some(SnapshotId([10; 32])),
            source: Some("sqlite:/srv/app.db".into()),
            job: None,
            location: Some("/srv/back.db".into()),
            bytes: Some(4096),
            verified: Some(true),
        }],
    }
}
