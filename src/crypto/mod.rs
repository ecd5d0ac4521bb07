//! Cryptographic constructions, each in one file, none of our own invention.
//!
//! Bytes in, bytes out: no file, no clock; randomness comes in through [`crate::env::Entropy`].
//! Spec: `format-spec/04-keys.md` and `05-envelope.md`.

mod kdf;
mod kem;
pub mod recall;
mod secret;
mod sign;
mod suite;
#[cfg(test)]
mod tests;

pub use kdf::{
    Argon2Parameters, IdKey, KdfError, Role, derive_role_key, key_commitment, passphrase_key,
    slot_key_from_secret,
};
pub(crate) use kem::wrap_data;
pub use kem::{ENCAPSULATED_LENGTH, KemError, KemPublic, KemSecret, PUBLIC_LENGTH, WRAPPED_LENGTH};
pub use secret::{SecretBytes, SecretKey};
pub use sign::{SIGNATURE_LENGTH, SignError, SigningKey, VerifyingKey};
pub use suite::{NONCE_LENGTH, OpenError, Suite, TAG_LENGTH};
