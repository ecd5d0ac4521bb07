//! The two cipher suites. Both take a 256-bit key and a random 192-bit nonce, and add 16 bytes.

use crate::crypto::secret::SecretKey;
use aes_gcm::Aes256Gcm;
use chacha20poly1305::XChaCha20Poly1305;
use chacha20poly1305::aead::{AeadInOut, KeyInit, Tag};

/// Bytes of a nonce. Random: 192 bits never collide under a key that lives one session.
pub const NONCE_LENGTH: usize = 24;

/// Bytes of an authentication tag.
pub const TAG_LENGTH: usize = 16;

/// A cipher suite, chosen once per repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Suite {
    /// XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha).
    #[default]
    XChaCha20Poly1305,
    /// XAES-256-GCM (C2SP): AES-256-GCM under a sub-key derived from the nonce's first half, so
    /// that random nonces are safe.
    Xaes256Gcm,
}

/// The ciphertext, its associated data, or the key is not what was sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the seal does not open: wrong key, or changed bytes")]
pub struct OpenError;

impl Suite {
    /// The number stored in envelopes.
    pub fn number(self) -> u8 {
        match self {
            Self::XChaCha20Poly1305 => 1,
            Self::Xaes256Gcm => 2,
        }
    }

    /// The suite with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::XChaCha20Poly1305),
            2 => Some(Self::Xaes256Gcm),
            _ => None,
        }
    }

    /// The name used on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::XChaCha20Poly1305 => "xchacha20-poly1305",
            Self::Xaes256Gcm => "aes-256-gcm",
        }
    }

    /// Encrypts `data` in place and returns the tag. `nonce` must never repeat under `key`.
    pub fn seal(
        self,
        key: &SecretKey,
        nonce: &[u8; NONCE_LENGTH],
        associated: &[u8],
        data: &mut [u8],
    ) -> [u8; TAG_LENGTH] {
        let tag: Result<[u8; TAG_LENGTH], _> = match self {
            Self::XChaCha20Poly1305 => XChaCha20Poly1305::new(key.expose().into())
                .encrypt_inout_detached(nonce.into(), associated, data.into())
                .map(Into::into),
            Self::Xaes256Gcm => {
                let (cipher, rest) = xaes(key, nonce);
                cipher
                    .encrypt_inout_detached((&rest).into(), associated, data.into())
                    .map(Into::into)
            }
        };
        // Both ciphers refuse only messages of 64 GiB and more; every caller is below
        // `limits::RECORD_BYTES_MAX`. An all-zero tag would fail to open, never leak.
        tag.unwrap_or([0; TAG_LENGTH])
    }

    /// Decrypts `data` in place. On failure `data` holds nothing that may be used.
    pub fn open(
        self,
        key: &SecretKey,
        nonce: &[u8; NONCE_LENGTH],
        associated: &[u8],
        data: &mut [u8],
        tag: &[u8; TAG_LENGTH],
    ) -> Result<(), OpenError> {
        match self {
            Self::XChaCha20Poly1305 => {
                let tag: &Tag<XChaCha20Poly1305> = tag.into();
                XChaCha20Poly1305::new(key.expose().into()).decrypt_inout_detached(
                    nonce.into(),
                    associated,
                    data.into(),
                    tag,
                )
            }
            Self::Xaes256Gcm => {
                let (cipher, rest) = xaes(key, nonce);
                let tag: &Tag<Aes256Gcm> = tag.into();
                cipher.decrypt_inout_detached((&rest).into(), associated, data.into(), tag)
            }
        }
        .map_err(|_| OpenError)
    }
}

/// XAES-256-GCM key derivation: K1 = double(AES(K, 0)); Kx = AES(K, M1 ⊕ K1) ‖ AES(K, M2 ⊕ K1)
/// with Mi = 0 i 'X' 0 ‖ N[..12]; the message is sealed by AES-256-GCM(Kx, N[12..]).
fn xaes(key: &SecretKey, nonce: &[u8; NONCE_LENGTH]) -> (Aes256Gcm, [u8; 12]) {
    use aes::cipher::BlockCipherEncrypt;
    let aes = aes::Aes256::new(key.expose().into());
    let mut k1 = [0u8; 16];
    aes.encrypt_block((&mut k1).into());
    double(&mut k1);
    let mut derived = zeroize::Zeroizing::new([0u8; 32]);
    for (counter, half) in (1u8..).zip(derived.chunks_exact_mut(16)) {
        let mut block = [0u8; 16];
        block[..4].copy_from_slice(&[0, counter, b'X', 0]);
        block[4..].copy_from_slice(&nonce[..12]);
        for (byte, mask) in block.iter_mut().zip(k1) {
            *byte ^= mask;
        }
        aes.encrypt_block((&mut block).into());
        half.copy_from_slice(&block);
    }
    let mut rest = [0; 12];
    rest.copy_from_slice(&nonce[12..]);
    let derived: &[u8; 32] = &derived;
    (Aes256Gcm::new(derived.into()), rest)
}

/// Doubling in GF(2^128) as CMAC does (NIST SP 800-38B).
fn double(block: &mut [u8; 16]) {
    let value = u128::from_be_bytes(*block);
    let carry = (value >> 127) * 0x87;
    *block = ((value << 1) ^ carry).to_be_bytes();
}
