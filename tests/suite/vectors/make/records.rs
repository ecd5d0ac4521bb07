//! Snapshots, segments, sets, proofs, holds and the protocol's flags.

use super::{Maker, flipped};
use crate::vectors::describe;
use crate::vectors::keys::{Fixture, NOW, signer};
use icecore::crypto::{Role, SecretKey, SigningKey, Suite};
use icecore::env::Timestamp;
use icecore::format::certificate::Capabilities;
use icecore::format::envelope::{Envelope, ObjectType};
use icecore::format::record::{Authorship, PlainPart, Signer, encode_record};
use icecore::id::{DomainTag, SessionId, WriterId};
use icecore::testing::SeededEntropy;
use serde_json::{Value, json};

mod flags;
mod snapshots;

pub fn make() -> Vec<Maker> {
    let fixture = Fixture::new(Suite::XChaCha20Poly1305);
    let mut makers = flags::make(&fixture);
    makers.push(snapshots::make(&fixture));
    makers.push(snapshots::segments(&fixture));
    makers.push(defects(&fixture));
    makers
}

pub const SESSION: SessionId = SessionId([0x51; 16]);

/// A record to be made; the defects change one thing of it.
pub struct Draft<'a> {
    pub fixture: &'a Fixture,
    pub object_type: ObjectType,
    pub envelope: Envelope,
    pub signer: &'a Signer,
    pub plain: Vec<u8>,
    /// Role, key number, content.
    pub parts: Vec<(Role, u16, Vec<u8>)>,
}

impl Draft<'_> {
    pub fn authorship(&self) -> Authorship {
        Authorship {
            writer: self.signer.certificate.writer(),
            session: SESSION,
            statement: 2,
            created: NOW,
        }
    }

    pub fn encode(&self, entropy: &SeededEntropy) -> Vec<u8> {
        self.encode_as(&self.authorship(), entropy)
    }

    pub fn encode_as(&self, authorship: &Authorship, entropy: &SeededEntropy) -> Vec<u8> {
        let keys = [&self.fixture.data.1, &self.fixture.link.1];
        let part = |(role, key_number, content): &'_ (Role, u16, Vec<u8>)| {
            (
                *role,
                *key_number,
                keys[usize::from(*key_number).min(1)],
                content.clone(),
            )
        };
        let parts: Vec<_> = self.parts.iter().map(part).collect();
        let parts: Vec<_> = parts
            .iter()
            .map(|(role, key_number, key, content)| PlainPart {
                role: *role,
                key_number: *key_number,
                key,
                content,
            })
            .collect();
        let (envelope, plain) = (&self.envelope, &self.plain);
        encode_record(envelope, authorship, plain, &parts, self.signer, entropy).unwrap()
    }

    pub fn input(&self) -> Value {
        json!({ "keys": self.fixture.reader_json(), "type": self.object_type.name() })
    }

    /// What a good record decodes to; `parts` by role number.
    pub fn expect(&self, bytes: &[u8], plain: Value, parts: Value) -> Value {
        json!({
            "id": blake3::hash(bytes).to_string(),
            "domain": self.envelope.domain.to_string(),
            "writer": self.signer.certificate.writer().to_string(),
            "session": SESSION.to_string(),
            "statement": 2,
            "created": NOW.0,
            "capabilities": self.signer.certificate.capabilities().0,
            "plain": plain,
            "parts": parts,
        })
    }
}

/// Signs and sums a record anew whose bytes up to the signature were changed.
fn finish(signed: &[u8], name: &str, key: &SigningKey) -> Vec<u8> {
    let mut out = signed.to_vec();
    out.extend_from_slice(&key.sign(name, signed));
    let checksum = blake3::hash(&out);
    out.extend_from_slice(checksum.as_bytes());
    out
}

fn signed(bytes: &[u8]) -> Vec<u8> {
    bytes[..bytes.len() - 96].to_vec()
}

/// What every record must withstand, on an audit record with one sealed part.
fn defects(fixture: &Fixture) -> Maker {
    let mut maker = Maker::new("record", "record");
    let object_type = ObjectType::Audit;
    let draft = || Draft {
        fixture,
        object_type,
        envelope: fixture.envelope(object_type),
        signer: &fixture.writer,
        plain: b"plain".to_vec(),
        parts: vec![(Role::Record, 1, b"sealed".to_vec())],
    };
    let bytes = draft().encode(&maker.entropy("audit"));
    let (plain, part) = (describe::plain(b"plain"), describe::plain(b"sealed"));
    let expect = draft().expect(&bytes, plain, json!({ "12": part }));
    let input = draft().input();
    maker.good(
        "audit",
        "one plain and one sealed part",
        input.clone(),
        bytes.clone(),
        expect,
    );
    bytes_defects(&mut maker, fixture, &input, &bytes);
    rights_defects(&mut maker, fixture, &input);
    key_defects(&mut maker, fixture, &input);
    maker
}

fn bytes_defects(maker: &mut Maker, fixture: &Fixture, input: &Value, bytes: &[u8]) {
    let key = &fixture.writer.key;
    let mut bad = |name, why, bytes, class| maker.bad(name, why, input.clone(), bytes, class);
    bad(
        "wrong_checksum",
        "the last byte differs",
        flipped(bytes, bytes.len() - 1),
        "format",
    );
    bad(
        "cut_off",
        "the last byte is missing",
        bytes[..bytes.len() - 1].to_vec(),
        "format",
    );
    let another = finish(&signed(bytes), "snapshot", key);
    bad(
        "signature_of_another_type",
        "the context names the type",
        another,
        "signature",
    );
    let mut body = bytes[..bytes.len() - 32].to_vec();
    // The first byte of the sealed part's nonce: 96 + 12 bytes and the certificate follow the part.
    let certificate = fixture.writer.certificate.encode().len();
    let part = body.len() - 64 - 1 - certificate - 2 - 50;
    body[part] ^= 1;
    let checksum = blake3::hash(&body);
    body.extend_from_slice(checksum.as_bytes());
    bad("changed_part", "changed and summed anew", body, "signature");
    let mut front = signed(bytes);
    front[part] ^= 1;
    bad(
        "part_does_not_open",
        "signed, but the seal is broken",
        finish(&front, "audit", key),
        "seal",
    );
    let mut front = signed(bytes);
    front[8] = 2;
    bad(
        "unknown_version",
        "version 2",
        finish(&front, "audit", key),
        "format",
    );
    let mut front = signed(bytes);
    front[9] = 3;
    bad(
        "unknown_suite",
        "suite 3",
        finish(&front, "audit", key),
        "format",
    );
    let mut front = signed(bytes);
    front[11] = 1;
    bad(
        "reserved_byte",
        "a reserved byte is not zero",
        finish(&front, "audit", key),
        "format",
    );
    let mut front = signed(bytes);
    front[44..46].copy_from_slice(&u16::MAX.to_le_bytes());
    bad(
        "too_many_keys",
        "65,535 key entries",
        finish(&front, "audit", key),
        "format",
    );
    let mut front = signed(bytes);
    let end = front.len() - 1;
    front[end] = 2;
    bad(
        "unknown_signature_suite",
        "suite 2",
        finish(&front, "audit", key),
        "format",
    );
    let mut front = signed(bytes);
    front.push(1);
    bad(
        "bytes_too_many",
        "one byte between suite and signature",
        finish(&front, "audit", key),
        "format",
    );
}

fn rights_defects(maker: &mut Maker, fixture: &Fixture, input: &Value) {
    let draft = |object_type, signer| Draft {
        fixture,
        object_type,
        envelope: fixture.bare(object_type),
        signer,
        plain: Vec::new(),
        parts: Vec::new(),
    };
    let with_type =
        |object_type: ObjectType| super::with(input, json!({ "type": object_type.name() }));
    let bad = |maker: &mut Maker, name, why, draft: &Draft<'_>, authorship: &Authorship| {
        let bytes = draft.encode_as(authorship, &maker.entropy(name));
        maker.bad(name, why, with_type(draft.object_type), bytes, "rights");
    };
    let by_writer = draft(ObjectType::Audit, &fixture.writer);
    let other = Authorship {
        writer: WriterId([0x99; 16]),
        ..by_writer.authorship()
    };
    let why = "says another writer than its certificate";
    bad(maker, "wrong_writer", why, &by_writer, &other);
    let delete = draft(ObjectType::Delete, &fixture.writer);
    let why = "a write-only credential signs a delete";
    bad(
        maker,
        "delete_by_writer",
        why,
        &delete,
        &delete.authorship(),
    );
    let snapshot = draft(ObjectType::Snapshot, &fixture.maintainer);
    let why = "maintenance signs a snapshot";
    bad(
        maker,
        "snapshot_by_maintenance",
        why,
        &snapshot,
        &snapshot.authorship(),
    );
    let make = |capabilities, domains, root: &SigningKey| {
        let key = SigningKey::from_seed(SecretKey::from_bytes([0x61; 32]));
        signer(
            fixture.repository,
            WriterId([0x62; 16]),
            key,
            capabilities,
            domains,
            root,
        )
    };
    let reader = make(Capabilities::READ, vec![fixture.domain], &fixture.root);
    let open = draft(ObjectType::SessionOpen, &reader);
    let why = "a reader opens a session";
    bad(maker, "session_by_reader", why, &open, &open.authorship());
    let stranger = SigningKey::from_seed(SecretKey::from_bytes([0x66; 32]));
    let forged = make(Capabilities::FULL, vec![], &stranger);
    let audit = draft(ObjectType::Audit, &forged);
    let why = "its certificate is signed by a stranger";
    bad(maker, "other_root", why, &audit, &audit.authorship());
    let unknown = make(Capabilities(16), vec![], &fixture.root);
    let audit = draft(ObjectType::Audit, &unknown);
    let bytes = audit.encode(&maker.entropy("unknown_capability"));
    let why = "a capability that version 1 does not have";
    let typed = with_type(ObjectType::Audit);
    maker.bad("unknown_capability", why, typed, bytes, "format");
    let elsewhere = make(
        Capabilities::WRITE,
        vec![DomainTag([0x63; 16])],
        &fixture.root,
    );
    let audit = Draft {
        envelope: fixture.envelope(ObjectType::Audit),
        ..draft(ObjectType::Audit, &elsewhere)
    };
    let why = "its certificate is for another domain";
    bad(maker, "other_domain", why, &audit, &audit.authorship());
    let mut envelope = fixture.bare(ObjectType::Audit);
    envelope.repository = icecore::id::RepositoryId([0x64; 16]);
    let audit = Draft {
        envelope,
        ..draft(ObjectType::Audit, &fixture.writer)
    };
    let why = "moved to another repository and signed anew";
    bad(maker, "other_repository", why, &audit, &audit.authorship());
    let audit = draft(ObjectType::Audit, &fixture.writer);
    let bytes = audit.encode(&maker.entropy("another_type"));
    let why = "an audit record where a hold is expected";
    maker.bad(
        "another_type",
        why,
        with_type(ObjectType::Hold),
        bytes,
        "format",
    );
    let late = Authorship {
        created: Timestamp(-1),
        ..audit.authorship()
    };
    let bytes = audit.encode_as(&late, &maker.entropy("before_1970"));
    let mut expect = audit.expect(&bytes, describe::plain(b""), json!({}));
    expect["created"] = json!(-1);
    maker.good(
        "before_1970",
        "times are signed numbers",
        input.clone(),
        bytes,
        expect,
    );
}

fn key_defects(maker: &mut Maker, fixture: &Fixture, input: &Value) {
    let object_type = ObjectType::Audit;
    let draft = |parts| Draft {
        fixture,
        object_type,
        envelope: fixture.envelope(object_type),
        signer: &fixture.writer,
        plain: Vec::new(),
        parts,
    };
    let sealed = |role, key| (role, key, b"sealed".to_vec());
    let mut bad = |name, why, draft: Draft<'_>, class| {
        let bytes = draft.encode(&maker.entropy(name));
        maker.bad(name, why, input.clone(), bytes, class);
    };
    let why = "content under a link key, where maintenance could read it";
    bad(
        "body_under_link_key",
        why,
        draft(vec![sealed(Role::SnapshotBody, 1)]),
        "format",
    );
    let why = "links under a data key, where maintenance could not read them";
    bad(
        "links_under_data_key",
        why,
        draft(vec![sealed(Role::SnapshotLinks, 0)]),
        "format",
    );
    bad(
        "key_not_there",
        "key 2 of 2",
        draft(vec![sealed(Role::Record, 2)]),
        "format",
    );
    let twice = vec![sealed(Role::Record, 1), sealed(Role::Record, 1)];
    bad(
        "role_twice",
        "two parts of one role",
        draft(twice),
        "format",
    );
    let roles = [
        Role::Record,
        Role::Segment,
        Role::SnapshotLinks,
        Role::SnapshotLabel,
        Role::Toc,
    ];
    let five = roles.map(|role| sealed(role, 1)).to_vec();
    bad("five_parts", "more than four", draft(five), "format");
    let mut commitment = draft(vec![sealed(Role::Record, 1)]);
    commitment.envelope.keys[1].commit[0] ^= 1;
    bad(
        "wrong_commitment",
        "the wrapped key is not the committed one",
        commitment,
        "key",
    );
    let mut swapped = draft(vec![sealed(Role::Record, 1)]);
    swapped.envelope.keys[1].recipients = swapped.envelope.keys[0].recipients.clone();
    bad(
        "swapped_wrap",
        "another key's wrap under this key's name",
        swapped,
        "key",
    );
    let maintenance = super::with(input, json!({ "keys": fixture.maintenance_json() }));
    let both = draft(vec![
        sealed(Role::SnapshotBody, 0),
        sealed(Role::SnapshotLabel, 1),
    ]);
    let bytes = both.encode(&maker.entropy("maintenance_sees_no_content"));
    let why = "maintenance opens what is under the link key, and nothing else";
    maker.bad("label_is_no_label", why, maintenance, bytes, "format");
}
