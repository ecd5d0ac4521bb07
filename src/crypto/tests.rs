#![allow(clippy::unwrap_used, clippy::expect_used)]
use crate::crypto::{
    Argon2Parameters, IdKey, KemSecret, NONCE_LENGTH, OpenError, Role, SecretKey, SigningKey,
    Suite, derive_role_key, passphrase_key,
};
use crate::env::SystemEntropy;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The two vectors of the C2SP specification of XAES-256-GCM.
#[test]
fn xaes_vectors() {
    for (key, associated, expected) in [
        (
            1u8,
            "",
            "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271",
        ),
        (
            3,
            "c2sp.org/XAES-256-GCM",
            "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d",
        ),
    ] {
        let key = SecretKey::from_bytes([key; 32]);
        let mut data = *b"XAES-256-GCM";
        let nonce = b"ABCDEFGHIJKLMNOPQRSTUVWX";
        let tag = Suite::Xaes256Gcm.seal(&key, nonce, associated.as_bytes(), &mut data);
        assert_eq!(hex(&data) + &hex(&tag), expected);
        Suite::Xaes256Gcm
            .open(&key, nonce, associated.as_bytes(), &mut data, &tag)
            .unwrap();
        assert_eq!(&data, b"XAES-256-GCM");
    }
}

#[test]
fn every_changed_bit_is_noticed() {
    for suite in [Suite::XChaCha20Poly1305, Suite::Xaes256Gcm] {
        let key = SecretKey::random(&SystemEntropy).unwrap();
        let mut sealed = *b"a few bytes";
        let nonce = [7; NONCE_LENGTH];
        let tag = suite.seal(&key, &nonce, b"where", &mut sealed);
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                suite.open(&key, &nonce, b"where", &mut changed, &tag),
                Err(OpenError)
            );
        }
        let mut elsewhere = sealed;
        assert_eq!(
            suite.open(&key, &nonce, b"there", &mut elsewhere, &tag),
            Err(OpenError)
        );
    }
}

#[test]
fn wrapped_keys_open_only_for_their_context() {
    let pair = KemSecret::random(&SystemEntropy).unwrap();
    let key = SecretKey::random(&SystemEntropy).unwrap();
    let suite = Suite::default();
    let wrapped = pair
        .public()
        .wrap(suite, b"a", &key, &SystemEntropy)
        .unwrap();
    assert_eq!(pair.unwrap(suite, b"a", &wrapped).unwrap(), key);
    assert!(pair.unwrap(suite, b"b", &wrapped).is_err());
    let other = KemSecret::random(&SystemEntropy).unwrap();
    assert!(other.unwrap(suite, b"a", &wrapped).is_err());
}

#[test]
fn roles_and_ids_are_apart() {
    let key = SecretKey::from_bytes([9; 32]);
    let keys: std::collections::HashSet<[u8; 32]> = Role::ALL
        .iter()
        .map(|role| *derive_role_key(&key, *role).expose())
        .collect();
    assert_eq!(keys.len(), Role::ALL.len());
    for (number, role) in (1..).zip(Role::ALL) {
        assert_eq!(Role::from_number(number), Some(role));
    }
    assert_eq!(Role::from_number(0), None);
    let ids = IdKey::new(key);
    assert_ne!(
        ids.blob_id(Role::Chunk, b"x"),
        ids.blob_id(Role::NodeBody, b"x")
    );
    assert_ne!(
        ids.blob_id(Role::Chunk, b"x"),
        ids.blob_id(Role::Group, b"x")
    );
}

#[test]
fn signatures_bind_their_context() {
    let pair = SigningKey::random(&SystemEntropy).unwrap();
    let signature = pair.sign("snapshot", b"bytes");
    assert!(
        pair.verifying_key()
            .verify("snapshot", b"bytes", &signature)
            .is_ok()
    );
    assert!(
        pair.verifying_key()
            .verify("segment", b"bytes", &signature)
            .is_err()
    );
    assert!(
        pair.verifying_key()
            .verify("snapshot", b"byteS", &signature)
            .is_err()
    );
}

#[test]
fn a_hostile_slot_cannot_ask_for_all_memory() {
    let cost = Argon2Parameters {
        memory_kib: u32::MAX,
        passes: 1,
        lanes: 1,
    };
    assert!(passphrase_key(b"x", &[0; 16], cost).is_err());
    let cost = Argon2Parameters {
        memory_kib: 64,
        passes: 1,
        lanes: 0,
    };
    assert!(passphrase_key(b"x", &[0; 16], cost).is_err());
}
