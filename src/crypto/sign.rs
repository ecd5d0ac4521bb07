//! Signatures: Ed25519 (RFC 8032), strict verification, over a context and the message.

use crate::crypto::recall::recall;
use crate::crypto::secret::SecretKey;
use crate::env::{Entropy, EntropyError};
use crate::id::cbor_bytes;
use ed25519_dalek::Signer;

/// Bytes of a signature.
pub const SIGNATURE_LENGTH: usize = 64;

/// A signature or a public key is not valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify")]
pub struct SignError;

/// The secret half of a signing pair.
#[derive(Clone, Debug)]
pub struct SigningKey(SecretKey);

impl SigningKey {
    /// Draws a new pair.
    pub fn random(entropy: &dyn Entropy) -> Result<Self, EntropyError> {
        SecretKey::random(entropy).map(Self)
    }

    /// Takes an existing seed.
    pub fn from_seed(seed: SecretKey) -> Self {
        Self(seed)
    }

    /// The seed, for sealing.
    pub fn seed(&self) -> &SecretKey {
        &self.0
    }

    /// The public half.
    pub fn verifying_key(&self) -> VerifyingKey {
        let key = ed25519_dalek::SigningKey::from_bytes(self.0.expose());
        VerifyingKey(key.verifying_key().to_bytes())
    }

    /// sig = Ed25519(sk, "icecore 1 " ‖ context ‖ 0x00 ‖ message). The context keeps a signature
    /// for one kind of object from being valid for another.
    pub fn sign(&self, context: &str, message: &[u8]) -> [u8; SIGNATURE_LENGTH] {
        let key = ed25519_dalek::SigningKey::from_bytes(self.0.expose());
        key.sign(&signed_bytes(context, message)).to_bytes()
    }
}

/// The public half of a signing pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VerifyingKey(pub [u8; 32]);

impl VerifyingKey {
    /// Verifies strictly: no small-order keys, no malleable signatures.
    pub fn verify(
        &self,
        context: &str,
        message: &[u8],
        signature: &[u8; SIGNATURE_LENGTH],
    ) -> Result<(), SignError> {
        let asked: [&[u8]; 4] = [&self.0, context.as_bytes(), message, signature];
        let verified = recall(&asked, || {
            ed25519_dalek::VerifyingKey::from_bytes(&self.0)
                .and_then(|key| {
                    let signature = ed25519_dalek::Signature::from_bytes(signature);
                    key.verify_strict(&signed_bytes(context, message), &signature)
                })
                .map(|()| [1; 32])
        });
        verified.map(drop).map_err(|_| SignError)
    }
}

fn signed_bytes(context: &str, message: &[u8]) -> Vec<u8> {
    [b"icecore 1 ", context.as_bytes(), &[0], message].concat()
}

cbor_bytes!(VerifyingKey, 32);
