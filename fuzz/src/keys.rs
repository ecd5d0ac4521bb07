//! Key objects: config, statements, slots, keyrings, certificates.

use super::assert_canonical;
use super::sealed::{fixture, with_checksum};
use icecore::crypto::{SecretBytes, SecretKey, SigningKey, Suite};
use icecore::env::SystemEntropy;
use icecore::format::certificate::Certificate;
use icecore::format::document::{Config, EpochStatement};
use icecore::format::keyring::{Bundle, Keyring, RingKey};
use icecore::format::slot::{Slot, SlotKdf, Unlock};
use icecore::format::wire::{from_cbor, to_cbor};
use icecore::id::RepositoryId;

/// The config, as it is, with its checksum made right, and its content alone.
pub fn config(data: &[u8]) {
    let _ = Config::decode(data);
    let _ = Config::decode(&with_checksum(data));
    let content = assert_canonical(from_cbor::<Config>("config", data), data, to_cbor);
    let root = &fixture().root;
    let Some(content) = content else { return };
    let content = Config {
        root: root.verifying_key(),
        ..content
    };
    // Signed properly it is accepted, or refused for what it says.
    if let Ok(again) = Config::decode(&content.encode(root)) {
        assert_eq!(again, content);
        assert!(again.is_rooted_in(&root.verifying_key()));
    }
}

/// An epoch statement, as it is, with its checksum made right, and its content alone.
pub fn statement(data: &[u8]) {
    let root = &fixture().root;
    let _ = EpochStatement::decode(data, &root.verifying_key());
    let _ = EpochStatement::decode(&with_checksum(data), &root.verifying_key());
    let content = from_cbor::<EpochStatement>("statement", data);
    if let Some(content) = assert_canonical(content, data, to_cbor) {
        let signed = EpochStatement::decode(&content.encode(root), &root.verifying_key());
        assert_eq!(signed, Ok(content));
    }
}

/// A certificate.
pub fn certificate(data: &[u8]) {
    let decoded = assert_canonical(Certificate::decode(data), data, Certificate::encode);
    if let Some(certificate) = decoded {
        let fixture = fixture();
        let verified = certificate.verify(&fixture.repository, &fixture.root.verifying_key());
        // The one that the fixture issued, or a forgery.
        let genuine = fixture.signer.certificate == certificate;
        assert_eq!(verified.is_ok(), genuine);
    }
}

/// The suite and repository that a key object's head names: those are compared first.
fn head(data: &[u8]) -> Option<(Suite, RepositoryId)> {
    let suite = Suite::from_number(*data.get(9)?)?;
    let repository = data.get(10..26)?.try_into().ok()?;
    Some((suite, RepositoryId(repository)))
}

/// A key slot. One that asks for Argon2id is decoded, not opened: that would take its time.
pub fn slot(data: &[u8]) {
    let Some((suite, repository)) = head(data) else {
        return;
    };
    let Ok(slot) = Slot::decode(data, suite, repository) else {
        return;
    };
    assert!(!slot.is_signed_by(&SigningKey::from_seed(other_key()).verifying_key()));
    if slot.kdf == SlotKdf::Secret {
        let unlock = Unlock::Key(SecretBytes::new(vec![7; 32]));
        assert!(slot.open(&unlock).is_err(), "opens with any key");
    }
}

fn other_key() -> SecretKey {
    SecretKey::from_bytes([99; 32])
}

/// A keyring and a bundle, as they are and as the content of a properly sealed object.
pub fn keyring(data: &[u8]) {
    let ring = RingKey {
        generation: 1,
        key: other_key(),
    };
    if let Some((suite, repository)) = head(data) {
        let root = fixture().root.verifying_key();
        let _ = Keyring::open(data, suite, repository, &ring, &root);
    }
    let bundle = Bundle::decode(data);
    assert_canonical(bundle, data, |bundle| bundle.encode().expose().to_vec());
    let content = from_cbor::<Keyring>("keyring", data);
    let Some(keyring) = assert_canonical(content, data, to_cbor) else {
        return;
    };
    let root = SigningKey::from_seed(keyring.root.clone()).verifying_key();
    let (suite, repository) = (Suite::default(), fixture().repository);
    let sealed = keyring.seal(suite, repository, &ring, &SystemEntropy);
    let sealed = sealed.expect("randomness");
    let opened = Keyring::open(&sealed, suite, repository, &ring, &root);
    let opened = opened.expect("a good keyring").expect("of this generation");
    assert_eq!(to_cbor(&opened), data);
}
