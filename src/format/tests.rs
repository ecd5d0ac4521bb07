#![allow(clippy::unwrap_used, clippy::expect_used)]
//! Round trips, and what every decoder must refuse.

use crate::crypto::{Argon2Parameters, KemSecret, Role, SecretBytes, SecretKey, SigningKey, Suite};
use crate::env::{SystemEntropy, Timestamp};
use crate::format::blob::{BlobKind, BlobRow, Codec, Form};
use crate::format::certificate::{Capabilities, Certificate, Statement};
use crate::format::document::Config;
use crate::format::envelope::{
    Envelope, EpochPublic, KeyEntry, KeyKind, ObjectType, Recipient, SessionKey, UnwrapError,
    Unwrapper, new_session_key,
};
use crate::format::pack::{PackBuilder, blob_binding, open_pack};
use crate::format::record::{Authorship, PlainPart, Record, Signer, encode_record};
use crate::format::slot::{Slot, SlotError, SlotOwner, Unlock};
use crate::id::{BlobId, DomainTag, EpochTag, RepositoryId, SessionId, WriterId};
use std::sync::Arc;

const SUITE: Suite = Suite::XChaCha20Poly1305;
const REPOSITORY: RepositoryId = RepositoryId([1; 16]);
const DOMAIN: DomainTag = DomainTag([2; 16]);

/// One domain, one session: what the tests of sealed objects need.
struct Fixture {
    readers: KemSecret,
    root: SigningKey,
    signer: Signer,
    data: (KeyEntry, SessionKey),
    link: (KeyEntry, SessionKey),
}

impl Fixture {
    fn new() -> Self {
        let entropy = &SystemEntropy;
        let readers = KemSecret::random(entropy).unwrap();
        let maintenance = KemSecret::random(entropy).unwrap();
        let public = |epoch, pair: &KemSecret| EpochPublic {
            epoch: EpochTag([epoch; 16]),
            public: pair.public(),
        };
        let session_key = |kind| {
            let (d, t) = (public(3, &readers), public(4, &maintenance));
            new_session_key(SUITE, REPOSITORY, DOMAIN, kind, &d, &t, entropy).unwrap()
        };
        let root = SigningKey::random(entropy).unwrap();
        let key = SigningKey::random(entropy).unwrap();
        let statement = Statement {
            repository: REPOSITORY,
            writer: WriterId([5; 16]),
            public_key: key.verifying_key(),
            capabilities: Capabilities::WRITE,
            domains: vec![],
            issued: Timestamp(0),
        };
        let signer = Signer {
            certificate: Certificate::issue(statement, &root),
            key,
        };
        Self {
            data: session_key(KeyKind::Data),
            link: session_key(KeyKind::Link),
            readers,
            root,
            signer,
        }
    }

    fn envelope(&self, object_type: ObjectType) -> Envelope {
        Envelope {
            object_type,
            suite: SUITE,
            repository: REPOSITORY,
            domain: DOMAIN,
            keys: vec![self.data.0.clone(), self.link.0.clone()],
        }
    }

    fn pack(&self, plain: &[u8]) -> Vec<u8> {
        let mut builder = PackBuilder::new(self.envelope(ObjectType::Pack));
        let row = self.row(plain);
        let mut sealed = Vec::new();
        blob_binding(&self.envelope(ObjectType::Pack), &row)
            .seal_into(&self.data.1, plain, &mut sealed, &SystemEntropy)
            .unwrap();
        builder.push(row, &sealed);
        builder
            .finish(&self.link.1, 1, &SystemEntropy)
            .unwrap()
            .bytes
    }

    fn row(&self, plain: &[u8]) -> BlobRow {
        BlobRow {
            id: BlobId([7; 32]),
            kind: BlobKind::Chunk,
            form: Form::Full,
            codec: Codec::Raw,
            key: 0,
            offset: 0,
            stored: 0,
            plain: plain.len() as u32,
        }
    }

    fn snapshot(&self) -> Vec<u8> {
        let part = |role, key_number, key, content| PlainPart {
            role,
            key_number,
            key,
            content,
        };
        let parts = [
            part(Role::SnapshotBody, 0, &self.data.1, &b"body"[..]),
            part(Role::SnapshotLabel, 1, &self.link.1, &b"label"[..]),
        ];
        let authorship = Authorship {
            writer: WriterId([5; 16]),
            session: SessionId([6; 16]),
            statement: 1,
            created: Timestamp(9),
        };
        encode_record(
            &self.envelope(ObjectType::Snapshot),
            &authorship,
            b"plain",
            &parts,
            &self.signer,
            &SystemEntropy,
        )
        .unwrap()
    }
}

impl Unwrapper for Fixture {
    fn unwrap(
        &self,
        envelope: &Envelope,
        entry: &KeyEntry,
    ) -> Result<Arc<SessionKey>, UnwrapError> {
        let recipient = &entry.recipients[0];
        let Recipient::Domain(_, wrapped) = recipient else {
            return Err(UnwrapError::NotARecipient(entry.id));
        };
        let context = envelope.wrap_context(entry, recipient);
        let key = self
            .readers
            .unwrap(envelope.suite, &context, wrapped)
            .map_err(|error| UnwrapError::Damaged(entry.id, error))?;
        SessionKey::committed(entry, &key)
            .map(Arc::new)
            .ok_or(UnwrapError::Commitment(entry.id))
    }
}

#[test]
fn a_pack_opens_and_its_blobs_too() {
    let fixture = Fixture::new();
    let plain = vec![42; 5000];
    let mut bytes = fixture.pack(&plain);
    let opened = open_pack(&bytes, &fixture).unwrap();
    let row = opened.rows[0];
    let key = fixture
        .unwrap(&opened.envelope, &opened.envelope.keys[0])
        .unwrap();
    let sealed = &mut bytes[row.offset as usize..][..row.stored as usize];
    let opened = blob_binding(&opened.envelope, &row)
        .open_in_place(&key, sealed)
        .unwrap();
    assert_eq!(opened, plain);
}

#[test]
fn a_blob_opens_as_nothing_else() {
    let fixture = Fixture::new();
    let bytes = fixture.pack(b"some content");
    let opened = open_pack(&bytes, &fixture).unwrap();
    let (row, envelope) = (opened.rows[0], opened.envelope);
    let key = fixture.unwrap(&envelope, &envelope.keys[0]).unwrap();
    let opens = |row: &BlobRow, envelope: &Envelope| {
        let mut sealed = bytes[row.offset as usize..][..row.stored as usize].to_vec();
        blob_binding(envelope, row)
            .open_in_place(&key, &mut sealed)
            .is_ok()
    };
    assert!(opens(&row, &envelope));
    assert!(
        !opens(
            &BlobRow {
                id: BlobId([8; 32]),
                ..row
            },
            &envelope
        ),
        "another id"
    );
    assert!(
        !opens(
            &BlobRow {
                kind: BlobKind::Group,
                ..row
            },
            &envelope
        ),
        "another role"
    );
    assert!(
        !opens(
            &BlobRow {
                plain: row.plain + 1,
                ..row
            },
            &envelope
        ),
        "another length"
    );
    assert!(
        !opens(
            &BlobRow {
                codec: Codec::Zstd,
                ..row
            },
            &envelope
        ),
        "another codec"
    );
    let form = Form::Delta {
        base: BlobId([9; 32]),
        generation: 1,
    };
    assert!(!opens(&BlobRow { form, ..row }, &envelope), "another base");
    let repository = RepositoryId([0; 16]);
    assert!(
        !opens(
            &row,
            &Envelope {
                repository,
                ..envelope.clone()
            }
        ),
        "another repository"
    );
    let domain = DomainTag([0; 16]);
    assert!(
        !opens(&row, &Envelope { domain, ..envelope }),
        "another domain"
    );
}

#[test]
fn every_changed_byte_of_a_pack_and_of_a_record_is_noticed() {
    let fixture = Fixture::new();
    let pack = fixture.pack(b"x");
    let name = blake3::hash(&pack);
    for position in (0..pack.len()).step_by(7) {
        let mut changed = pack.clone();
        changed[position] ^= 0x10;
        assert_ne!(blake3::hash(&changed), name);
        // Whatever it does, it must not panic; whether it notices depends on where.
        let _ = open_pack(&changed, &fixture);
    }
    let record = fixture.snapshot();
    let root = fixture.root.verifying_key();
    assert!(Record::decode(&record, ObjectType::Snapshot, &root).is_ok());
    for position in 0..record.len() - 32 {
        let mut changed = record.clone();
        changed[position] ^= 0x10;
        let body = changed.len() - 32;
        let sum = blake3::hash(&changed[..body]);
        changed[body..].copy_from_slice(sum.as_bytes());
        assert!(
            Record::decode(&changed, ObjectType::Snapshot, &root).is_err(),
            "{position}"
        );
    }
}

#[test]
fn a_record_opens_for_its_recipients_only_as_what_it_is() {
    let fixture = Fixture::new();
    let root = fixture.root.verifying_key();
    let bytes = fixture.snapshot();
    let record = Record::decode(&bytes, ObjectType::Snapshot, &root).unwrap();
    assert_eq!(record.plain, b"plain");
    assert_eq!(
        record.open_part(Role::SnapshotBody, &fixture).unwrap(),
        b"body"
    );
    assert_eq!(
        record.open_part(Role::SnapshotLabel, &fixture).unwrap(),
        b"label"
    );
    assert!(record.open_part(Role::SnapshotLinks, &fixture).is_err());
    assert!(
        record
            .open_part(Role::SnapshotBody, &Fixture::new())
            .is_err()
    );
    assert!(Record::decode(&bytes, ObjectType::Segment, &root).is_err());
    let other = SigningKey::random(&SystemEntropy).unwrap().verifying_key();
    assert!(Record::decode(&bytes, ObjectType::Snapshot, &other).is_err());
    for length in 0..bytes.len() {
        assert!(Record::decode(&bytes[..length], ObjectType::Snapshot, &root).is_err());
    }
}

#[test]
fn a_writer_cannot_sign_what_maintenance_signs() {
    let fixture = Fixture::new();
    let envelope = Envelope {
        keys: vec![],
        ..fixture.envelope(ObjectType::Delete)
    };
    let authorship = Authorship {
        writer: WriterId([5; 16]),
        session: SessionId([6; 16]),
        statement: 1,
        created: Timestamp(9),
    };
    let bytes = encode_record(
        &envelope,
        &authorship,
        b"",
        &[],
        &fixture.signer,
        &SystemEntropy,
    )
    .unwrap();
    let root = fixture.root.verifying_key();
    assert!(Record::decode(&bytes, ObjectType::Delete, &root).is_err());
}

#[test]
fn rows_round_trip_and_impossible_ones_are_refused() {
    use crate::format::wire::Reader;
    let row = Fixture::new().row(&[0; 100]);
    let good = [
        BlobRow { stored: 140, ..row },
        BlobRow {
            stored: 90,
            codec: Codec::Zstd,
            ..row
        },
        BlobRow {
            form: Form::Delta {
                base: BlobId([1; 32]),
                generation: 3,
            },
            codec: Codec::ZstdUnits,
            stored: 60,
            ..row
        },
        BlobRow {
            form: Form::Member {
                group: BlobId([1; 32]),
            },
            ..row
        },
    ];
    for row in good {
        let mut bytes = Vec::new();
        row.encode(&mut bytes);
        assert_eq!(
            BlobRow::decode(&mut Reader::new("row", &bytes)).unwrap(),
            row
        );
    }
    let bad = [
        BlobRow { stored: 141, ..row },
        BlobRow {
            stored: 140,
            codec: Codec::Zstd,
            ..row
        },
        BlobRow {
            stored: 60,
            codec: Codec::ZstdPrefix,
            ..row
        },
        BlobRow {
            plain: 0,
            stored: 40,
            ..row
        },
        BlobRow {
            plain: 2 << 20,
            stored: (2 << 20) + 40,
            ..row
        },
        BlobRow {
            form: Form::Member {
                group: BlobId([1; 32]),
            },
            offset: 1 << 20,
            ..row
        },
        BlobRow {
            form: Form::Delta {
                base: row.id,
                generation: 3,
            },
            codec: Codec::ZstdUnits,
            stored: 60,
            ..row
        },
    ];
    for row in bad {
        let mut bytes = Vec::new();
        row.encode(&mut bytes);
        assert!(
            BlobRow::decode(&mut Reader::new("row", &bytes)).is_err(),
            "{row:?}"
        );
    }
}

#[test]
fn a_slot_opens_with_its_key_and_says_why_not() {
    let root = SigningKey::random(&SystemEntropy).unwrap();
    let cost = Argon2Parameters {
        memory_kib: 64,
        passes: 1,
        lanes: 1,
    };
    let secret = |text: &[u8]| SecretBytes::new(text.to_vec());
    for (right, wrong) in [
        (
            Unlock::Passphrase(secret(b"right")),
            Unlock::Passphrase(secret(b"wrong")),
        ),
        (Unlock::Key(secret(&[1; 32])), Unlock::Key(secret(&[2; 32]))),
    ] {
        let pinned = root.verifying_key();
        let owner =
            SlotOwner::create(SUITE, REPOSITORY, &right, cost, &pinned, &SystemEntropy).unwrap();
        let bytes = owner
            .seal(SUITE, &secret(b"bundle"), &root, &SystemEntropy)
            .unwrap();
        let slot = Slot::decode(&bytes, SUITE, REPOSITORY).unwrap();
        let opened = slot.open(&right).unwrap();
        assert_eq!(opened.bundle.expose(), b"bundle");
        assert_eq!(opened.root, pinned);
        assert!(matches!(slot.open(&wrong), Err(SlotError::WrongKey(_))));
        // A storage thief seals a bundle of his own to the slot's public key: not signed by root.
        let thief = SigningKey::random(&SystemEntropy).unwrap();
        let forged = SlotOwner::of(&slot)
            .seal(SUITE, &secret(b"forged"), &thief, &SystemEntropy)
            .unwrap();
        let forged = Slot::decode(&forged, SUITE, REPOSITORY).unwrap();
        assert!(matches!(forged.open(&right), Err(SlotError::Changed(_))));
        // A rotation seals anew without the owner's secret.
        let again = SlotOwner::of(&slot)
            .seal(SUITE, &secret(b"second"), &root, &SystemEntropy)
            .unwrap();
        let again = Slot::decode(&again, SUITE, REPOSITORY).unwrap();
        assert_eq!(again.open(&right).unwrap().bundle.expose(), b"second");
        for position in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[position] ^= 1;
            let opened = Slot::decode(&changed, SUITE, REPOSITORY).map(|slot| slot.open(&right));
            assert!(!matches!(opened, Ok(Ok(_))), "byte {position}");
        }
    }
}

#[test]
fn a_config_is_bound_to_its_root() {
    let root = SigningKey::random(&SystemEntropy).unwrap();
    let config = Config {
        repository: REPOSITORY,
        suite: 1,
        created: Timestamp(1),
        root: root.verifying_key(),
        chunks: [65536, 262_144, 1_048_576, 262_144],
        settle_milliseconds: 0,
    };
    let bytes = config.encode(&root);
    assert_eq!(Config::decode(&bytes).unwrap(), config);
    let other = SigningKey::random(&SystemEntropy).unwrap();
    assert!(
        Config::decode(&config.encode(&other)).is_err(),
        "signed by another"
    );
    let absurd = Config {
        chunks: [1 << 20; 4],
        ..config
    };
    assert!(Config::decode(&absurd.encode(&root)).is_err());
}

#[test]
fn secrets_do_not_print() {
    let key = SecretKey::from_bytes([0xaa; 32]);
    assert_eq!(format!("{key:?}"), "SecretKey(..)");
    let unlock = Unlock::Passphrase(SecretBytes::new(b"hunter2".to_vec()));
    assert!(!format!("{unlock:?}").contains("hunter2"));
}
