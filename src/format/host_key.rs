//! C_w: a key that never leaves its host. It wraps the link keys of the host's own sessions, so that
//! a host which may not open what it stores still finds what it stored.
//!
//! Spec: `format-spec/05-envelope.md`, recipient of kind 3.

use crate::crypto::{KemError, NONCE_LENGTH, OpenError, SecretKey, Suite, TAG_LENGTH, wrap_data};
use crate::env::{Entropy, EntropyError};
use crate::format::envelope::{
    EpochPublic, KeyEntry, KeyKind, Recipient, SYMMETRIC_LENGTH, SessionKey, draw_session_key,
    wrap_context,
};
use crate::format::wire::{FormatError, Reader};
use crate::id::{DomainTag, EpochTag, RepositoryId};
use zeroize::Zeroizing;

/// Bytes of [`HostKey::encode`].
const ENCODED_LENGTH: usize = 48;

/// A host's own key and the tag that envelopes name it by.
#[derive(Debug, Clone)]
pub struct HostKey {
    tag: EpochTag,
    key: SecretKey,
}

impl HostKey {
    /// Draws a new one.
    pub fn random(entropy: &dyn Entropy) -> Result<Self, EntropyError> {
        Ok(Self {
            tag: EpochTag(entropy.array()?),
            key: SecretKey::random(entropy)?,
        })
    }

    /// The tag in envelopes.
    pub fn tag(&self) -> EpochTag {
        self.tag
    }

    /// Tag 16 ‖ key 32: for the host's own disk, never for a repository.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(ENCODED_LENGTH));
        bytes.extend_from_slice(self.tag.as_bytes());
        bytes.extend_from_slice(self.key.expose());
        bytes
    }

    /// Undoes [`Self::encode`].
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new("host key", bytes);
        let tag = EpochTag(reader.array()?);
        let key = SecretKey::from_bytes(reader.array()?);
        reader.end()?;
        Ok(Self { tag, key })
    }

    /// nonce 24 ‖ AEAD(C_w, nonce, "icecore 1 wrap" ‖ context, key).
    pub fn wrap(
        &self,
        suite: Suite,
        context: &[u8],
        key: &SecretKey,
        entropy: &dyn Entropy,
    ) -> Result<[u8; SYMMETRIC_LENGTH], EntropyError> {
        let nonce: [u8; NONCE_LENGTH] = entropy.array()?;
        let mut sealed = Zeroizing::new(*key.expose());
        let tag = suite.seal(&self.key, &nonce, &wrap_data(context), &mut sealed[..]);
        let mut wrapped = [0; SYMMETRIC_LENGTH];
        wrapped[..NONCE_LENGTH].copy_from_slice(&nonce);
        wrapped[NONCE_LENGTH..NONCE_LENGTH + 32].copy_from_slice(&sealed[..]);
        wrapped[NONCE_LENGTH + 32..].copy_from_slice(&tag);
        Ok(wrapped)
    }

    /// Undoes [`Self::wrap`] with the same suite and context.
    pub fn unwrap(
        &self,
        suite: Suite,
        context: &[u8],
        wrapped: &[u8; SYMMETRIC_LENGTH],
    ) -> Result<SecretKey, KemError> {
        let mut reader = Reader::new("wrapped key", wrapped);
        let mut fields = || -> Result<_, FormatError> {
            let nonce: [u8; NONCE_LENGTH] = reader.array()?;
            let key: [u8; 32] = reader.array()?;
            let tag: [u8; TAG_LENGTH] = reader.array()?;
            Ok((nonce, Zeroizing::new(key), tag))
        };
        let (nonce, mut key, tag) = fields().map_err(|_| KemError::Unwrap(OpenError))?;
        suite
            .open(&self.key, &nonce, &wrap_data(context), &mut key[..], &tag)
            .map_err(KemError::Unwrap)?;
        Ok(SecretKey::from_bytes(*key))
    }
}

/// Draws a link key and wraps it to the domain, to maintenance and to the host itself.
pub fn new_host_link_key(
    suite: Suite,
    repository: RepositoryId,
    domain: DomainTag,
    readers: &EpochPublic,
    maintenance: &EpochPublic,
    host: &HostKey,
    entropy: &dyn Entropy,
) -> Result<(KeyEntry, SessionKey), KemError> {
    let drawn = draw_session_key(
        suite,
        repository,
        domain,
        KeyKind::Link,
        readers,
        maintenance,
        entropy,
    )?;
    let (mut entry, session_key, key) = drawn;
    let (number, tag) = (Recipient::HOST, host.tag);
    let context = wrap_context(repository, domain, entry.id, entry.kind, number, tag);
    let wrapped = host
        .wrap(suite, &context, &key, entropy)
        .map_err(KemError::Entropy)?;
    entry.recipients.push(Recipient::Host(tag, wrapped));
    Ok((entry, session_key))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::testing::SeededEntropy;

    #[test]
    fn a_key_comes_back_in_its_own_context_only() {
        let entropy = SeededEntropy::new("host key");
        let host = HostKey::random(&entropy).unwrap();
        let key = SecretKey::random(&entropy).unwrap();
        for suite in [Suite::XChaCha20Poly1305, Suite::Xaes256Gcm] {
            let wrapped = host.wrap(suite, b"here", &key, &entropy).unwrap();
            let kept = HostKey::decode(&host.encode()).unwrap();
            assert_eq!(kept.unwrap(suite, b"here", &wrapped).unwrap(), key);
            assert!(kept.unwrap(suite, b"there", &wrapped).is_err());
            let mut changed = wrapped;
            changed[30] ^= 1;
            assert!(kept.unwrap(suite, b"here", &changed).is_err());
            let other = HostKey::random(&entropy).unwrap();
            assert!(other.unwrap(suite, b"here", &wrapped).is_err());
        }
        assert!(HostKey::decode(&host.encode()[1..]).is_err());
    }
}
