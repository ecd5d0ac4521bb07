//! Envelopes, records and packs.

use icecore::crypto::{KemSecret, Role, SigningKey, Suite};
use icecore::env::{Entropy, Timestamp};
use icecore::format::blob::encode_rows;
use icecore::format::certificate::{Capabilities, Certificate, Statement};
use icecore::format::envelope::{
    Binding, BlobBinding, Envelope, EpochPublic, KeyEntry, KeyKind, ObjectType, SEAL_OVERHEAD,
    SessionKey, UnwrapError, Unwrapper, new_session_key,
};
use icecore::format::pack::{TRAILER_LENGTH, open_pack};
use icecore::format::record::{Authorship, PlainPart, Record, Signer, encode_record};
use icecore::format::wire::Reader;
use icecore::id::{DomainTag, EpochTag, RepositoryId, SessionId, WriterId};
use icecore::testing::SeededEntropy;
use std::sync::{Arc, OnceLock};

/// Keys of a made-up domain.
pub(super) struct Fixture {
    pub(super) repository: RepositoryId,
    pub(super) root: SigningKey,
    pub(super) signer: Signer,
    domain: DomainTag,
    data: (KeyEntry, Arc<SessionKey>),
    link: (KeyEntry, Arc<SessionKey>),
}

/// The one fixture, the same in every run.
pub(super) fn fixture() -> &'static Fixture {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    FIXTURE.get_or_init(|| Fixture::new().expect("seeded entropy does not fail"))
}

impl Fixture {
    fn new() -> Result<Self, Box<dyn std::error::Error>> {
        let entropy = SeededEntropy::new("fuzz");
        let (repository, domain) = (RepositoryId([1; 16]), DomainTag([2; 16]));
        let pair = |epoch| -> Result<EpochPublic, icecore::env::EntropyError> {
            Ok(EpochPublic {
                epoch: EpochTag([epoch; 16]),
                public: KemSecret::random(&entropy)?.public(),
            })
        };
        let (readers, maintenance) = (pair(3)?, pair(4)?);
        let key = |kind| {
            let suite = Suite::default();
            new_session_key(
                suite,
                repository,
                domain,
                kind,
                &readers,
                &maintenance,
                &entropy,
            )
            .map(|(entry, key)| (entry, Arc::new(key)))
        };
        let root = SigningKey::random(&entropy)?;
        let writer = SigningKey::random(&entropy)?;
        let statement = Statement {
            repository,
            writer: WriterId([5; 16]),
            public_key: writer.verifying_key(),
            capabilities: Capabilities::FULL,
            domains: Vec::new(),
            issued: Timestamp(0),
        };
        Ok(Self {
            repository,
            domain,
            signer: Signer {
                certificate: Certificate::issue(statement, &root),
                key: writer,
            },
            root,
            data: key(KeyKind::Data)?,
            link: key(KeyKind::Link)?,
        })
    }

    fn envelope(&self, object_type: ObjectType) -> Envelope {
        Envelope {
            object_type,
            suite: Suite::default(),
            repository: self.repository,
            domain: self.domain,
            keys: vec![self.data.0.clone(), self.link.0.clone()],
        }
    }

    fn seal(&self, role: Role, plain: &[u8], out: &mut Vec<u8>) {
        let binding = Binding {
            suite: Suite::default(),
            repository: self.repository,
            domain: self.domain,
            role,
            blob: BlobBinding::default(),
            plain_length: plain.len() as u32,
        };
        let sealed = binding.seal_into(&self.link.1, plain, out, &icecore::env::SystemEntropy);
        sealed.expect("randomness");
    }

    /// A pack of 4 KiB of something with this table of contents, sealed as it should be.
    fn pack(&self, toc: &[u8]) -> (usize, Vec<u8>) {
        let mut bytes = Vec::new();
        self.envelope(ObjectType::Pack).encode(&mut bytes);
        let body = bytes.len();
        bytes.resize(body + 4096, 0x5a);
        let toc_offset = bytes.len() as u64;
        self.seal(Role::Toc, toc, &mut bytes);
        let toc_length = bytes.len() as u64 - toc_offset;
        let trailer = bytes.len();
        bytes.extend_from_slice(&1u16.to_le_bytes());
        let place = [toc_offset.to_le_bytes(), toc_length.to_le_bytes()].concat();
        self.seal(Role::Trailer, &place, &mut bytes);
        bytes.resize(trailer + TRAILER_LENGTH, 0);
        (body, bytes)
    }

    /// A snapshot record with one sealed part.
    fn record(&self) -> Vec<u8> {
        let part = PlainPart {
            role: Role::SnapshotLabel,
            key_number: 1,
            key: &self.link.1,
            content: b"label",
        };
        let authorship = Authorship {
            writer: WriterId([5; 16]),
            session: SessionId([6; 16]),
            statement: 1,
            created: Timestamp(9),
        };
        let envelope = self.envelope(ObjectType::Snapshot);
        let entropy: &dyn Entropy = &icecore::env::SystemEntropy;
        let record = encode_record(
            &envelope,
            &authorship,
            b"plain",
            &[part],
            &self.signer,
            entropy,
        );
        record.expect("a record")
    }
}

impl Unwrapper for Fixture {
    fn unwrap(&self, _: &Envelope, entry: &KeyEntry) -> Result<Arc<SessionKey>, UnwrapError> {
        let keys = [&self.data, &self.link];
        let known = keys.into_iter().find(|(known, _)| known.id == entry.id);
        let (_, key) = known.ok_or(UnwrapError::NotARecipient(entry.id))?;
        Ok(Arc::clone(key))
    }
}

/// The same bytes with a right checksum at the end: a fuzzer cannot guess one.
pub(super) fn with_checksum(data: &[u8]) -> Vec<u8> {
    let body = &data[..data.len().saturating_sub(32)];
    [body, blake3::hash(body).as_bytes()].concat()
}

/// The front of every sealed object.
pub fn envelope(data: &[u8]) {
    let mut reader = Reader::new("fuzz", data);
    if let Ok(envelope) = Envelope::decode(&mut reader) {
        let mut again = Vec::new();
        envelope.encode(&mut again);
        assert_eq!(
            again,
            data[..reader.position()],
            "one envelope, two encodings"
        );
    }
}

/// A record as it is and with its checksum made right; no bytes are signed by chance.
pub fn record(data: &[u8]) {
    let number = usize::from(*data.get(10).unwrap_or(&0));
    let Some(object_type) = ObjectType::ALL.get(number) else {
        return;
    };
    let root = fixture().root.verifying_key();
    for bytes in [data.to_vec(), with_checksum(data)] {
        let decoded = Record::decode(&bytes, *object_type, &root);
        assert!(decoded.is_err(), "nobody signed this");
    }
}

/// A pack as it is, and as the table of contents of one that is sealed properly.
pub fn pack(data: &[u8]) {
    let fixture = fixture();
    let _ = open_pack(data, fixture);
    let (body, bytes) = fixture.pack(data);
    let Ok(opened) = open_pack(&bytes, fixture) else {
        return;
    };
    let mut again = Vec::new();
    encode_rows(&opened.rows, &mut again);
    assert_eq!(again, data, "one table, two encodings");
    let toc = bytes.len() - TRAILER_LENGTH - data.len() - SEAL_OVERHEAD;
    let mut end = body as u64;
    for row in opened.rows.iter().filter(|row| row.stored > 0) {
        assert!(u64::from(row.offset) >= end, "rows overlap");
        end = u64::from(row.offset) + u64::from(row.stored);
        assert!(end <= toc as u64, "a row reaches into the table");
    }
}

/// Good objects, one byte of which is changed: object 1 ‖ position 4 ‖ change 1. Every change of a
/// record is noticed; of a pack every one outside its blobs, which have tags of their own.
pub fn tampered(data: &[u8]) {
    static GOOD: OnceLock<[(usize, Vec<u8>); 2]> = OnceLock::new();
    let fixture = fixture();
    let good = GOOD.get_or_init(|| [fixture.pack(&[0; 4]), (0, fixture.record())]);
    let Some((&[which, a, b, c, d, change], _)) = data.split_first_chunk::<6>() else {
        return;
    };
    let (body, mut bytes) = good[usize::from(which % 2)].clone();
    let position = u32::from_le_bytes([a, b, c, d]) as usize % bytes.len();
    bytes[position] ^= change.max(1);
    if which % 2 == 0 {
        let in_blobs = (body..body + 4096).contains(&position);
        let wraps = position < body;
        // Wraps are opened elsewhere: this unwrapper knows its keys by their names.
        if !in_blobs && !wraps {
            assert!(open_pack(&bytes, fixture).is_err(), "byte {position}");
        }
        return;
    }
    let root = fixture.root.verifying_key();
    for bytes in [with_checksum(&bytes), bytes.clone()] {
        let is_checksum = position >= bytes.len() - 32;
        let healed = is_checksum && bytes == good[1].1;
        let decoded = Record::decode(&bytes, ObjectType::Snapshot, &root);
        assert_eq!(decoded.is_ok(), healed, "byte {position}");
    }
}
