//! What records carry, and how objects are named.

use super::assert_canonical;
use icecore::format::layout;
use icecore::format::protocol::{
    Closed, Condemned, Hide, Hold, HoldReason, Proof, SessionBeat, SessionEnd, SessionOpen, Set,
};
use icecore::format::snapshot::{SnapshotBody, SnapshotLabel, SnapshotLinks, SnapshotPlain};
use icecore::store::ObjectKey;
use std::path::{Component, Path};

/// The four parts of a snapshot.
pub fn snapshot(data: &[u8]) {
    assert_canonical(SnapshotPlain::decode(data), data, SnapshotPlain::encode);
    assert_canonical(SnapshotLinks::decode(data), data, SnapshotLinks::encode);
    assert_canonical(SnapshotLabel::decode(data), data, SnapshotLabel::encode);
    assert_canonical(SnapshotBody::decode(data), data, SnapshotBody::encode);
}

/// What sessions, prunes, holds and proofs say.
pub fn protocol(data: &[u8]) {
    assert_canonical(SessionOpen::decode(data), data, SessionOpen::encode);
    assert_canonical(SessionBeat::decode(data), data, SessionBeat::encode);
    assert_canonical(SessionEnd::decode(data), data, SessionEnd::encode);
    assert_canonical(Closed::decode(data), data, Closed::encode);
    assert_canonical(Condemned::decode(data), data, Condemned::encode);
    assert_canonical(Hide::decode(data), data, Hide::encode);
    assert_canonical(Set::decode(data), data, Set::encode);
    assert_canonical(Proof::decode(data), data, Proof::encode);
    assert_canonical(Hold::decode(data), data, Hold::encode);
    assert_canonical(HoldReason::decode(data), data, HoldReason::encode);
}

/// Names found in a store: what is read from one is written the same, and none leads out of it.
pub fn names_of_objects(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Some((class, id)) = layout::parse_pack(text) {
        assert_eq!(layout::pack(class, &id), text);
    }
    if let Some((number, id)) = layout::parse_numbered(text) {
        let key = layout::numbered("x", number, &id);
        assert_eq!(key, format!("x/{text}"), "one number, two names");
    }
    if let Some((id, what)) = layout::parse_flag(text) {
        assert_eq!(layout::session(&id, what), format!("sessions/{text}"));
    }
    if let Ok(key) = ObjectKey::new(text) {
        assert_eq!(key.as_str(), text);
        let inside = |part: Component<'_>| matches!(part, Component::Normal(_));
        assert!(Path::new(key.as_str()).components().all(inside), "{key}");
    }
}
