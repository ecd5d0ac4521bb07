//! HK: wrapping one key to a public key with X-Wing (X25519 and ML-KEM-768).
//!
//! Source: draft-connolly-cfrg-xwing-kem. Each encapsulation wraps exactly one key, so the wrap's
//! nonce is zero and never repeats under the shared secret.

use crate::crypto::kdf::Role;
use crate::crypto::recall::recall;
use crate::crypto::secret::SecretKey;
use crate::crypto::suite::{NONCE_LENGTH, OpenError, Suite, TAG_LENGTH};
use crate::env::{Entropy, EntropyError};
use minicbor::{Decode, Encode};
use x_wing::{Decapsulate, Decapsulator, KeyExport};
use zeroize::Zeroizing;

/// Bytes of a public key.
pub const PUBLIC_LENGTH: usize = x_wing::ENCAPSULATION_KEY_SIZE;

/// Bytes of an encapsulation.
pub const ENCAPSULATED_LENGTH: usize = x_wing::CIPHERTEXT_SIZE;

/// Bytes of an encapsulation with the wrapped key and its tag behind it.
pub const WRAPPED_LENGTH: usize = ENCAPSULATED_LENGTH + 32 + TAG_LENGTH;

/// A key could not be wrapped or unwrapped.
#[derive(Debug, thiserror::Error)]
pub enum KemError {
    /// The bytes are no X-Wing public key.
    #[error("not an X-Wing public key")]
    BadPublicKey,
    /// The wrapped key is not for this secret, or was changed.
    #[error("the wrapped key does not open")]
    Unwrap(#[source] OpenError),
    /// No randomness.
    #[error("cannot draw a key")]
    Entropy(#[source] EntropyError),
}

/// The public half: anyone may wrap a key to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KemPublic(Box<[u8; PUBLIC_LENGTH]>);

impl KemPublic {
    /// Takes encoded bytes; checked when first used.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KemError> {
        let bytes = <[u8; PUBLIC_LENGTH]>::try_from(bytes).map_err(|_| KemError::BadPublicKey)?;
        Ok(Self(Box::new(bytes)))
    }

    /// The encoding.
    pub fn as_bytes(&self) -> &[u8; PUBLIC_LENGTH] {
        &self.0
    }

    /// wrap(pk, K) = ct ‖ AEAD(ss, nonce = 0, aad = "icecore 1 wrap" ‖ context, K),
    /// (ct, ss) = X-Wing.Encaps(pk). `context` names what the key is for.
    pub fn wrap(
        &self,
        suite: Suite,
        context: &[u8],
        key: &SecretKey,
        entropy: &dyn Entropy,
    ) -> Result<Box<[u8; WRAPPED_LENGTH]>, KemError> {
        let public =
            x_wing::EncapsulationKey::try_from(&self.0[..]).map_err(|_| KemError::BadPublicKey)?;
        let mut randomness = Zeroizing::new([0u8; 64]);
        entropy
            .fill(randomness.as_mut())
            .map_err(KemError::Entropy)?;
        let randomness: &[u8; 64] = &randomness;
        let (ciphertext, shared) = public.encapsulate_deterministic(randomness.into());
        let shared = SecretKey::from_bytes(shared.into());
        let mut wrapped = Box::new([0; WRAPPED_LENGTH]);
        let (encapsulated, rest) = wrapped.split_at_mut(ENCAPSULATED_LENGTH);
        encapsulated.copy_from_slice(&ciphertext);
        let (sealed, tag) = rest.split_at_mut(32);
        sealed.copy_from_slice(key.expose());
        tag.copy_from_slice(&suite.seal(&shared, &[0; NONCE_LENGTH], &wrap_data(context), sealed));
        Ok(wrapped)
    }
}

impl<C> minicbor::Encode<C> for KemPublic {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(&self.0[..])?;
        Ok(())
    }
}

impl<'b, C> minicbor::Decode<'b, C> for KemPublic {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        Self::from_bytes(d.bytes()?).map_err(minicbor::decode::Error::custom)
    }
}

/// The secret half: a 32-byte seed.
#[derive(Clone, Encode, Decode)]
#[cbor(transparent)]
pub struct KemSecret(#[n(0)] SecretKey);

impl std::fmt::Debug for KemSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KemSecret(..)")
    }
}

impl KemSecret {
    /// Takes an existing seed.
    pub fn from_seed(seed: SecretKey) -> Self {
        Self(seed)
    }

    /// Draws a new pair.
    pub fn random(entropy: &dyn Entropy) -> Result<Self, EntropyError> {
        SecretKey::random(entropy).map(Self)
    }

    /// The seed, for sealing.
    pub fn seed(&self) -> &SecretKey {
        &self.0
    }

    /// The public half.
    pub fn public(&self) -> KemPublic {
        let key = x_wing::DecapsulationKey::from(*self.0.expose());
        let mut bytes = Box::new([0; PUBLIC_LENGTH]);
        bytes.copy_from_slice(&key.encapsulation_key().to_bytes());
        KemPublic(bytes)
    }

    /// Undoes [`KemPublic::wrap`] with the same suite and context.
    pub fn unwrap(
        &self,
        suite: Suite,
        context: &[u8],
        wrapped: &[u8; WRAPPED_LENGTH],
    ) -> Result<SecretKey, KemError> {
        let (encapsulated, rest) = wrapped.split_at(ENCAPSULATED_LENGTH);
        let (sealed, tag) = rest.split_at(32);
        let ciphertext =
            x_wing::Ciphertext::try_from(encapsulated).map_err(|_| KemError::Unwrap(OpenError))?;
        let shared = recall(&[self.0.expose(), encapsulated], || {
            let key = x_wing::DecapsulationKey::from(*self.0.expose());
            Ok(key.decapsulate(&ciphertext).into())
        });
        let shared = SecretKey::from_bytes(shared?);
        let mut data = Zeroizing::new([0u8; 32]);
        data.copy_from_slice(sealed);
        let mut tag_bytes = [0; TAG_LENGTH];
        tag_bytes.copy_from_slice(tag);
        suite
            .open(
                &shared,
                &[0; NONCE_LENGTH],
                &wrap_data(context),
                data.as_mut(),
                &tag_bytes,
            )
            .map_err(KemError::Unwrap)?;
        Ok(SecretKey::from_bytes(*data))
    }
}

/// What every wrapped key is bound to.
pub(crate) fn wrap_data(context: &[u8]) -> Vec<u8> {
    [&b"icecore 1 wrap"[..], context].concat()
}

impl Role {
    /// Whether a session's data key (rather than its link key) protects this role.
    pub fn uses_data_key(self) -> bool {
        matches!(
            self,
            Self::Chunk | Self::Group | Self::NodeBody | Self::SnapshotBody
        )
    }
}
