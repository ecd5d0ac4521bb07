//! Config, statements, slots, keyrings.

use super::{Maker, flipped, with};
use crate::vectors::describe;
use crate::vectors::keys::{Fixture, NOW, hex, signer};
use icecore::crypto::{
    Argon2Parameters, KemSecret, SecretBytes, SecretKey, SigningKey, Suite, VerifyingKey,
};
use icecore::format::certificate::Capabilities;
use icecore::format::document::{Config, DomainPublic, EpochStatement};
use icecore::format::envelope::EpochPublic;
use icecore::format::keyring::{
    Bundle, CredentialRecord, DomainSecret, EpochSecret, Keyring, RingKey,
};
use icecore::format::slot::{Slot, SlotOwner, Unlock};
use icecore::id::{RepositoryId, SlotId, WriterId};
use icecore::testing::SeededEntropy;
use serde_json::{Value, json};

pub fn make() -> Vec<Maker> {
    let fixture = Fixture::new(Suite::XChaCha20Poly1305);
    vec![
        config(&fixture),
        statement(&fixture),
        slots(&fixture),
        keyrings(&fixture),
    ]
}

/// Signs and ends a document whose body was changed: `front` ends with the signature suite.
fn finish(front: &[u8], name: &str, root: &SigningKey) -> Vec<u8> {
    let mut out = front.to_vec();
    out.extend_from_slice(&root.sign(name, front));
    let checksum = blake3::hash(&out);
    out.extend_from_slice(checksum.as_bytes());
    out
}

/// Front of a document: everything that is signed.
fn front(bytes: &[u8]) -> Vec<u8> {
    bytes[..bytes.len() - 96].to_vec()
}

fn stranger() -> SigningKey {
    SigningKey::from_seed(SecretKey::from_bytes([0x66; 32]))
}

fn config(fixture: &Fixture) -> Maker {
    let mut maker = Maker::new("config", "config");
    let root = &fixture.root;
    let config = Config {
        repository: fixture.repository,
        suite: 1,
        created: NOW,
        root: root.verifying_key(),
        chunks: [65_536, 262_144, 1_048_576, 262_144],
        settle_milliseconds: 0,
    };
    let bytes = config.encode(root);
    let why = "the parameters of a repository";
    maker.good(
        "minimal",
        why,
        json!({}),
        bytes.clone(),
        describe::config(&config),
    );
    let mut bad = |name, why, bytes| maker.bad(name, why, json!({}), bytes, "format");
    bad(
        "signed_by_another",
        "not by the root it names",
        config.encode(&stranger()),
    );
    let absurd = Config {
        chunks: [65_536, 262_144, 2 << 20, 262_144],
        ..config.clone()
    };
    bad("chunk_too_large", "chunks above 1 MiB", absurd.encode(root));
    let absurd = Config {
        chunks: [65_536, 262_144, 1_048_576, 262_145],
        ..config.clone()
    };
    bad(
        "page_not_in_units",
        "the fixed chunk is no multiple of 4096",
        absurd.encode(root),
    );
    let (last, changed) = (bytes.len() - 1, 100);
    bad(
        "wrong_checksum",
        "the last byte differs",
        flipped(&bytes, last),
    );
    let mut body = front(&bytes);
    body[changed] ^= 1;
    let mut resummed = [body, bytes[bytes.len() - 96..bytes.len() - 32].to_vec()].concat();
    let checksum = blake3::hash(&resummed);
    resummed.extend_from_slice(checksum.as_bytes());
    bad(
        "changed_and_summed_anew",
        "the root did not sign this",
        resummed,
    );
    let mut version = front(&bytes);
    version[8] = 2;
    bad(
        "unknown_version",
        "version 2",
        finish(&version, "config", root),
    );
    let mut kind = front(&bytes);
    kind[9] = 2;
    bad(
        "another_kind",
        "a statement's number",
        finish(&kind, "config", root),
    );
    // 05 (settle) -> 0 as 18 00: the same value in more bytes.
    let mut long = front(&bytes);
    let end = long.len() - 1;
    long.splice(end - 1..end, [0x18, 0x00]);
    let length = u32::from_le_bytes(long[10..14].try_into().unwrap()) + 1;
    long[10..14].copy_from_slice(&length.to_le_bytes());
    bad(
        "long_integer",
        "CBOR that is not the shortest",
        finish(&long, "config", root),
    );
    let mut field = front(&bytes);
    let end = field.len() - 1;
    field.splice(end..end, [0x06, 0x00]);
    field[14] += 1;
    let length = u32::from_le_bytes(field[10..14].try_into().unwrap()) + 2;
    field[10..14].copy_from_slice(&length.to_le_bytes());
    bad(
        "unknown_field",
        "a field that version 1 does not have",
        finish(&field, "config", root),
    );
    maker
}

fn epoch_public(epoch: icecore::id::EpochTag, secret: &KemSecret) -> EpochPublic {
    EpochPublic {
        epoch,
        public: secret.public(),
    }
}

fn statement(fixture: &Fixture) -> Maker {
    let mut maker = Maker::new("statement", "statement");
    let statement = EpochStatement {
        number: 2,
        created: NOW,
        maintenance: epoch_public(fixture.maintenance.0, &fixture.maintenance.1),
        domains: vec![DomainPublic {
            tag: fixture.domain,
            current: epoch_public(fixture.readers.0, &fixture.readers.1),
            erasable: false,
            erased: false,
        }],
        revoked: vec![WriterId([0x77; 16])],
    };
    let input = json!({ "root": hex(&fixture.root.verifying_key().0) });
    let bytes = statement.encode(&fixture.root);
    let why = "current public keys and one revoked writer";
    maker.good(
        "one_domain",
        why,
        input.clone(),
        bytes,
        describe::statement(&statement),
    );
    let mut bad = |name, why, bytes| maker.bad(name, why, input.clone(), bytes, "format");
    bad(
        "other_root",
        "signed by a stranger",
        statement.encode(&stranger()),
    );
    let bytes = finish(
        &front(&statement.encode(&fixture.root)),
        "config",
        &fixture.root,
    );
    bad(
        "config_signature",
        "signed in the context of a config",
        bytes,
    );
    maker
}

fn bundle(fixture: &Fixture) -> Bundle {
    Bundle {
        label: "laptop".into(),
        writer: fixture.writer.certificate.writer(),
        signing: fixture.writer.key.seed().clone(),
        certificate: fixture.writer.certificate.clone(),
        ring: None,
        domains: vec![domain(fixture)],
        maintenance: Vec::new(),
        statement: 2,
    }
}

fn domain(fixture: &Fixture) -> DomainSecret {
    DomainSecret {
        tag: fixture.domain,
        name: "main".into(),
        erasable: false,
        id_key: Some(fixture.id_key.clone()),
        epochs: vec![EpochSecret {
            epoch: fixture.readers.0,
            secret: fixture.readers.1.clone(),
        }],
    }
}

struct SlotMaker<'a> {
    fixture: &'a Fixture,
    bundle: Bundle,
}

impl SlotMaker<'_> {
    fn owner(&self, unlock: &Unlock, root: &VerifyingKey, entropy: &SeededEntropy) -> SlotOwner {
        let cost = Argon2Parameters {
            memory_kib: 64,
            passes: 1,
            lanes: 1,
        };
        let (suite, repository) = (self.fixture.suite, self.fixture.repository);
        SlotOwner::create(suite, repository, unlock, cost, root, entropy).unwrap()
    }

    fn seal(&self, owner: &SlotOwner, root: &SigningKey, entropy: &SeededEntropy) -> Vec<u8> {
        let bundle = self.bundle.encode();
        owner
            .seal(self.fixture.suite, &bundle, root, entropy)
            .unwrap()
    }

    fn slot(&self, unlock: &Unlock, entropy: &SeededEntropy) -> Vec<u8> {
        let root = &self.fixture.root;
        let owner = self.owner(unlock, &root.verifying_key(), entropy);
        self.seal(&owner, root, entropy)
    }

    fn expect(&self, bytes: &[u8]) -> Value {
        let id = SlotId(bytes[26..42].try_into().unwrap());
        json!({
            "slot": id.to_string(),
            "root": hex(&self.fixture.root.verifying_key().0),
            "bundle": describe::bundle(&self.bundle),
        })
    }
}

fn slots(fixture: &Fixture) -> Maker {
    let mut maker = Maker::new("slot", "slot");
    let base = json!({ "suite": 1, "repository": fixture.repository.to_string() });
    let slots = SlotMaker {
        fixture,
        bundle: bundle(fixture),
    };
    let passphrase = Unlock::Passphrase(SecretBytes::new(b"open sesame".to_vec()));
    let by_passphrase = with(&base, json!({ "passphrase": "open sesame" }));
    let bytes = slots.slot(&passphrase, &maker.entropy("passphrase"));
    let expect = slots.expect(&bytes);
    let why = "a slot opened with a passphrase";
    maker.good(
        "passphrase",
        why,
        by_passphrase.clone(),
        bytes.clone(),
        expect,
    );
    let wrong = with(&base, json!({ "passphrase": "open barley" }));
    maker.bad(
        "wrong_passphrase",
        "another one",
        wrong,
        bytes.clone(),
        "key",
    );
    let mut costly = bytes;
    costly[43..47].copy_from_slice(&(8u32 << 20).to_le_bytes());
    let why = "asks for 8 GiB: refused before any is taken";
    maker.bad("argon2_too_expensive", why, by_passphrase, costly, "key");

    let key = Unlock::Key(SecretBytes::new(vec![0x11; 32]));
    let by_key = with(&base, json!({ "key": hex(&[0x11; 32]) }));
    let bytes = slots.slot(&key, &maker.entropy("key"));
    let expect = slots.expect(&bytes);
    maker.good(
        "key",
        "a slot opened with a key file",
        by_key.clone(),
        bytes.clone(),
        expect,
    );
    let slot = Slot::decode(&bytes, fixture.suite, fixture.repository).unwrap();
    let forged = slots.seal(
        &SlotOwner::of(&slot),
        &stranger(),
        &maker.entropy("changed_bundle"),
    );
    let why = "a bundle that someone else sealed to the slot's public key and signed";
    maker.bad("changed_bundle", why, by_key.clone(), forged, "changed");
    let mut bad = |name, why, bytes, class| maker.bad(name, why, by_key.clone(), bytes, class);
    bad(
        "changed_salt",
        "the salt is bound by the seal and the signature",
        flipped(&bytes, 60),
        "changed",
    );
    bad(
        "changed_commitment",
        "no key commits to this",
        flipped(&bytes, 80),
        "key",
    );
    bad(
        "changed_public",
        "another public key",
        flipped(&bytes, 300),
        "changed",
    );
    bad(
        "cut_off",
        "the last byte is missing",
        bytes[..bytes.len() - 1].to_vec(),
        "format",
    );
    let other = with(
        &by_key,
        json!({ "repository": RepositoryId([9; 16]).to_string() }),
    );
    maker.bad(
        "other_repository",
        "made for another repository",
        other,
        bytes,
        "format",
    );
    maker
}

fn keyrings(fixture: &Fixture) -> Maker {
    let mut maker = Maker::new("keyring", "keyring");
    let ring = RingKey {
        generation: 3,
        key: SecretKey::from_bytes([0x21; 32]),
    };
    let (writer, key) = (
        WriterId([0x31; 16]),
        SigningKey::from_seed(SecretKey::from_bytes([5; 32])),
    );
    let full = signer(
        fixture.repository,
        writer,
        key,
        Capabilities::FULL,
        vec![],
        &fixture.root,
    );
    let keyring = Keyring {
        number: 4,
        root: fixture.root.seed().clone(),
        domains: vec![domain(fixture)],
        maintenance: vec![EpochSecret {
            epoch: fixture.maintenance.0,
            secret: fixture.maintenance.1.clone(),
        }],
        credentials: vec![CredentialRecord {
            slot: SlotId([0x41; 16]),
            writer: full.certificate.writer(),
            label: "full".into(),
            capabilities: Capabilities::FULL,
            domains: Vec::new(),
            created: NOW,
            public: KemSecret::from_seed(SecretKey::from_bytes([0x42; 32])).public(),
        }],
    };
    let input = json!({
        "suite": 1,
        "repository": fixture.repository.to_string(),
        "generation": 3,
        "key": hex(ring.key.expose()),
        "root": hex(&fixture.root.verifying_key().0),
    });
    let seal = |keyring: &Keyring, entropy: &SeededEntropy| {
        keyring
            .seal(fixture.suite, fixture.repository, &ring, entropy)
            .unwrap()
    };
    let bytes = seal(&keyring, &maker.entropy("one_credential"));
    let expect = describe::keyring(&keyring);
    maker.good(
        "one_credential",
        "the keyring",
        input.clone(),
        bytes.clone(),
        expect,
    );
    let older = with(&input, json!({ "generation": 2, "key": hex(&[0x20; 32]) }));
    maker.bad(
        "other_generation",
        "sealed under another key",
        older,
        bytes.clone(),
        "key",
    );
    let other = Keyring {
        root: stranger().seed().clone(),
        ..keyring
    };
    let forged = seal(&other, &maker.entropy("other_root"));
    maker.bad(
        "other_root",
        "signed by a stranger",
        input.clone(),
        forged,
        "format",
    );
    maker.bad(
        "changed",
        "one byte differs",
        input,
        flipped(&bytes, 200),
        "format",
    );
    maker
}
