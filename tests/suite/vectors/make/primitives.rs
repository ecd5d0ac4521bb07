//! Padding, object keys, cipher suites, key derivation, key wrapping.

use super::Maker;
use crate::vectors::describe;
use crate::vectors::keys::hex;
use crate::vectors::read;
use icecore::crypto::{KemSecret, SecretKey, Suite};
use icecore::format::host_key::HostKey;
use icecore::format::layout;
use icecore::format::pack::PackClass;
use icecore::id::{ObjectId, PackId, SegmentId, SessionId, SnapshotId};
use serde_json::{Value, json};

pub fn make() -> Vec<Maker> {
    vec![padding(), layout_keys(), suites(), derivations(), wraps()]
}

fn padding() -> Maker {
    let mut maker = Maker::new("padding", "padding");
    // Worked by hand from the formula of chapter 02.
    let pairs: [(u64, u64); 14] = [
        (0, 0),
        (1, 1),
        (2, 2),
        (9, 10),
        (100, 104),
        (128, 128),
        (129, 144),
        (1000, 1024),
        (4096, 4096),
        (4097, 4352),
        (65_537, 67_584),
        (1_000_000, 1_015_808),
        (16_777_217, 17_301_504),
        (1_099_511_627_777, 1_116_691_496_960),
    ];
    let bytes = pairs
        .iter()
        .flat_map(|(length, _)| length.to_le_bytes())
        .collect();
    let expect = pairs
        .iter()
        .map(|(length, padded)| json!([length, padded]))
        .collect();
    maker.good(
        "lengths",
        "lengths and their padded lengths",
        json!({}),
        bytes,
        expect,
    );
    maker
}

fn layout_keys() -> Maker {
    let mut maker = Maker::new("layout", "layout");
    let (object, session) = (ObjectId([0x5a; 32]), SessionId([0x3c; 16]));
    let (object_text, session_text) = (object.to_string(), session.to_string());
    let mut good = |name, key: String, expect: Value| {
        maker.good(name, "an object key", json!({}), key.into_bytes(), expect);
    };
    good("config", "config".into(), json!({ "kind": "config" }));
    for (name, class) in [
        ("pack_full", "full"),
        ("pack_delta", "delta"),
        ("pack_meta", "meta"),
    ] {
        let number = PackClass::ALL
            .into_iter()
            .find(|c| c.name() == class)
            .unwrap();
        let key = layout::pack(number, &PackId(object.0));
        good(
            name,
            key,
            json!({ "kind": "packs", "class": class, "id": object_text }),
        );
    }
    let by_id = |kind: &str| json!({ "kind": kind, "id": object_text });
    good(
        "segment",
        layout::segment(&SegmentId(object.0)),
        by_id("index"),
    );
    good(
        "snapshot",
        layout::snapshot(&SnapshotId(object.0)),
        by_id("snapshots"),
    );
    good(
        "hold",
        layout::by_content(layout::HOLDS, &object),
        by_id("holds"),
    );
    good(
        "slot",
        layout::by_content(layout::SLOTS, &object),
        by_id("keys"),
    );
    let ring = json!({ "kind": "keys/rings", "number": 258, "id": object_text });
    good("ring", layout::numbered(layout::RINGS, 258, &object), ring);
    let statement = json!({ "kind": "keys/statements", "number": 1, "id": object_text });
    good(
        "statement",
        layout::numbered(layout::STATEMENTS, 1, &object),
        statement,
    );
    let beat = json!({ "kind": "sessions", "id": session_text, "what": "beat.17" });
    good("beat", layout::session(&session, "beat.17"), beat);
    let what = format!("closed.{session_text}");
    let closed = json!({ "kind": "gc", "id": session_text, "what": what });
    good("closed", layout::gc(&session, &what), closed);
    let mut bad = |name, why, key: String| {
        maker.bad(name, why, json!({}), key.into_bytes(), "format");
    };
    let wrong = format!("packs/full/00/{object_text}");
    bad(
        "pack_wrong_directory",
        "the two digits are not the id's first",
        wrong,
    );
    let upper = format!("snapshots/{}", "5A".repeat(32));
    bad("upper_case", "an id has one spelling", upper);
    bad(
        "pack_unknown_class",
        "no such class",
        format!("packs/half/5a/{object_text}"),
    );
    bad(
        "ring_short_number",
        "sixteen digits",
        format!("keys/rings/1-{object_text}"),
    );
    bad(
        "leaves_the_store",
        "no part starts with a dot",
        "snapshots/../config".into(),
    );
    maker
}

fn suites() -> Maker {
    let mut maker = Maker::new("suite", "suite");
    let nonce = b"ABCDEFGHIJKLMNOPQRSTUVWX";
    for (suite, name, changed, elsewhere) in [
        (
            Suite::XChaCha20Poly1305,
            "xchacha20_poly1305",
            "xchacha20_poly1305_changed",
            "xchacha20_poly1305_other_data",
        ),
        (
            Suite::Xaes256Gcm,
            "xaes_256_gcm",
            "xaes_256_gcm_changed",
            "xaes_256_gcm_other_data",
        ),
    ] {
        let plain = b"XAES-256-GCM";
        let seal = |key: u8, associated: &str| {
            let mut data = *plain;
            let key = SecretKey::from_bytes([key; 32]);
            let tag = suite.seal(&key, nonce, associated.as_bytes(), &mut data);
            [&data[..], &tag].concat()
        };
        let input = |key: u8, associated: &str| {
            json!({
                "suite": suite.number(),
                "key": hex(&[key; 32]),
                "nonce": hex(nonce),
                "associated_data": hex(associated.as_bytes()),
            })
        };
        // Key and data of the second vector of C2SP's XAES-256-GCM.
        let text = "c2sp.org/XAES-256-GCM";
        let (sealed, expect) = (seal(3, text), describe::plain(plain));
        maker.good(
            name,
            "ciphertext and tag",
            input(3, text),
            sealed.clone(),
            expect,
        );
        let flipped = super::flipped(&sealed, 0);
        maker.bad(changed, "one bit differs", input(3, text), flipped, "seal");
        maker.bad(
            elsewhere,
            "other associated data",
            input(3, ""),
            sealed,
            "seal",
        );
    }
    maker
}

fn derivations() -> Maker {
    let mut maker = Maker::new("derivation", "derivation");
    let input = json!({
        "key": hex(&[7; 32]),
        "slot": hex(&[8; 16]),
        "salt": hex(&[9; 16]),
    });
    let bytes = b"correct horse battery staple".to_vec();
    let expect = read::vector("derivation", &input, &bytes).unwrap();
    let why =
        "everything derived from a key, and from these bytes as plaintext, secret, passphrase";
    maker.good("keys_and_ids", why, input, bytes, expect);
    maker
}

fn wraps() -> Maker {
    let mut maker = Maker::new("wrap", "wrap");
    let pair = KemSecret::from_seed(SecretKey::from_bytes([1; 32]));
    let key = SecretKey::from_bytes([2; 32]);
    let public = blake3::hash(pair.public().as_bytes()).to_string();
    let expect = json!({ "key": hex(key.expose()), "public_blake3": public });
    let input = |suite: Suite, context: &[u8]| {
        json!({
            "suite": suite.number(),
            "seed": hex(&[1; 32]),
            "context": hex(context),
        })
    };
    let wrap = |suite, entropy: &icecore::testing::SeededEntropy| {
        pair.public()
            .wrap(suite, b"what for", &key, entropy)
            .unwrap()
            .to_vec()
    };
    let (first, second) = (Suite::XChaCha20Poly1305, Suite::Xaes256Gcm);
    let wrapped = wrap(first, &maker.entropy("suite_1"));
    let why = "a key wrapped with X-Wing";
    maker.good(
        "suite_1",
        why,
        input(first, b"what for"),
        wrapped.clone(),
        expect.clone(),
    );
    let other = wrap(second, &maker.entropy("suite_2"));
    maker.good("suite_2", why, input(second, b"what for"), other, expect);
    let mut bad = |name, why, input, bytes| maker.bad(name, why, input, bytes, "key");
    bad(
        "other_context",
        "for another purpose",
        input(first, b"what else"),
        wrapped.clone(),
    );
    let position = 5;
    let bytes = super::flipped(&wrapped, position);
    bad(
        "changed_ml_kem",
        "ML-KEM rejects silently; the tag does not",
        input(first, b"what for"),
        bytes,
    );
    let bytes = super::flipped(&wrapped, 1088);
    bad(
        "changed_x25519",
        "another ephemeral key",
        input(first, b"what for"),
        bytes,
    );
    let bytes = super::flipped(&wrapped, 1120);
    bad(
        "changed_key",
        "the wrapped key differs",
        input(first, b"what for"),
        bytes,
    );
    host_wraps(&mut maker, &key);
    maker
}

/// Keys wrapped to a host's own key.
fn host_wraps(maker: &mut Maker, key: &SecretKey) {
    let host = HostKey::decode(&[&[4; 16][..], &[3; 32]].concat()).unwrap();
    let suite = Suite::XChaCha20Poly1305;
    let entropy = maker.entropy("host");
    let wrapped = host.wrap(suite, b"what for", key, &entropy).unwrap();
    let input = |context: &[u8]| {
        json!({
            "suite": suite.number(),
            "host_key": hex(&[3; 32]),
            "context": hex(context),
        })
    };
    let expect = json!({ "key": hex(key.expose()) });
    let why = "a key wrapped to a host's own key";
    maker.good("host", why, input(b"what for"), wrapped.to_vec(), expect);
    let other = "for another purpose";
    maker.bad(
        "host_other_context",
        other,
        input(b"what else"),
        wrapped.to_vec(),
        "key",
    );
    let changed = super::flipped(&wrapped, 30);
    maker.bad(
        "host_changed_key",
        "the wrapped key differs",
        input(b"what for"),
        changed,
        "key",
    );
}
