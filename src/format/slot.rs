//! Slots: a credential, sealed for one person or host.
//!
//! Spec: `format-spec/04-keys.md`. The front, sealed under the owner's KEK, never changes when the
//! bundle is sealed anew; the bundle is sealed to the slot's own public key, so that a rotation
//! needs no passphrase of anybody.

use crate::crypto::{
    Argon2Parameters, KdfError, KemError, KemPublic, KemSecret, NONCE_LENGTH, OpenError,
    PUBLIC_LENGTH, Role, SIGNATURE_LENGTH, SecretBytes, SecretKey, SigningKey, Suite, TAG_LENGTH,
    VerifyingKey, WRAPPED_LENGTH, derive_role_key, key_commitment, passphrase_key,
    slot_key_from_secret,
};
use crate::env::{Entropy, EntropyError};
use crate::format::envelope::VERSION;
use crate::format::wire::{FormatError, Reader};
use crate::id::{RepositoryId, SlotId};
use crate::limits;

const MAGIC: [u8; 8] = *b"ICESLOT\0";

/// What a person holds.
#[derive(Debug, Clone)]
pub enum Unlock {
    /// Something remembered: made expensive to guess by Argon2id.
    Passphrase(SecretBytes),
    /// At least 256 random bits: a key file, a command's output.
    Key(SecretBytes),
}

/// How a slot turns what a person holds into its KEK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotKdf {
    /// A passphrase with this cost.
    Argon2id(Argon2Parameters),
    /// A high-entropy secret.
    Secret,
}

impl SlotKdf {
    fn number(self) -> u8 {
        match self {
            Self::Argon2id(_) => 1,
            Self::Secret => 2,
        }
    }
}

/// A slot, decoded but closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// Its identity, kept when its bundle is sealed anew.
    pub id: SlotId,
    /// How it is unlocked.
    pub kdf: SlotKdf,
    suite: Suite,
    salt: [u8; 16],
    commit: [u8; 32],
    /// The encoding up to the end of the owner's seal.
    front: Vec<u8>,
    /// Where the owner's seal begins in it.
    sealed_at: usize,
    public: KemPublic,
    wrapped: Box<[u8; WRAPPED_LENGTH]>,
    bundle: Vec<u8>,
    signed: Vec<u8>,
    signature: [u8; SIGNATURE_LENGTH],
}

/// A slot does not open.
#[derive(Debug, thiserror::Error)]
pub enum SlotError {
    /// What was given is not what this slot was made for: the wrong passphrase or key.
    #[error("the key does not open slot {0}")]
    WrongKey(SlotId),
    /// The derivation failed.
    #[error("cannot derive the key of slot {0}")]
    Derive(SlotId, #[source] KdfError),
    /// The right key, but the slot was changed.
    #[error("slot {0} was changed")]
    Changed(SlotId),
}

/// A slot could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SealSlotError {
    /// No randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// The cost parameters are invalid.
    #[error(transparent)]
    Derive(#[from] KdfError),
    /// The bundle's key could not be wrapped.
    #[error(transparent)]
    Wrap(#[from] KemError),
}

/// What an opened slot gives.
#[derive(Debug)]
pub struct OpenedSlot {
    /// The root key that the owner pinned when the slot was made.
    pub root: VerifyingKey,
    /// The credential bundle's encoding.
    pub bundle: SecretBytes,
}

/// Who a slot is sealed for, before there is one.
#[derive(Debug)]
pub struct SlotOwner {
    /// The new slot's identity.
    pub id: SlotId,
    front: Vec<u8>,
    public: KemPublic,
}

impl SlotOwner {
    /// Draws a slot's identity and key pair and seals the pair's seed and the pinned root under
    /// the owner's KEK:
    ///
    /// magic 8 ‖ version 1 ‖ suite 1 ‖ repository 16 ‖ slot 16 ‖ kdf 1 ‖ memory 4 ‖ passes 4 ‖
    /// lanes 4 ‖ salt 16 ‖ commit 32 ‖ length 4 ‖ nonce, seed 32 and root 32 sealed, tag.
    pub fn create(
        suite: Suite,
        repository: RepositoryId,
        unlock: &Unlock,
        cost: Argon2Parameters,
        root: &VerifyingKey,
        entropy: &dyn Entropy,
    ) -> Result<Self, SealSlotError> {
        let id = SlotId(entropy.array()?);
        let salt: [u8; 16] = entropy.array()?;
        let (kdf, kek) = match unlock {
            Unlock::Passphrase(passphrase) => (
                SlotKdf::Argon2id(cost),
                passphrase_key(passphrase.expose(), &salt, cost)?,
            ),
            Unlock::Key(secret) => (SlotKdf::Secret, slot_key_from_secret(&id, secret.expose())),
        };
        let pair = KemSecret::random(entropy)?;
        let cost = match kdf {
            SlotKdf::Argon2id(cost) => [cost.memory_kib, cost.passes, cost.lanes],
            SlotKdf::Secret => [0; 3],
        };
        let mut front = MAGIC.to_vec();
        front.extend_from_slice(&[VERSION, suite.number()]);
        front.extend_from_slice(repository.as_bytes());
        front.extend_from_slice(id.as_bytes());
        front.push(kdf.number());
        cost.iter()
            .for_each(|field| front.extend_from_slice(&field.to_le_bytes()));
        front.extend_from_slice(&salt);
        front.extend_from_slice(&key_commitment(&kek));
        let secret = zeroize::Zeroizing::new([pair.seed().expose().as_slice(), &root.0].concat());
        let key = derive_role_key(&kek, Role::Slot);
        seal_bytes(suite, &key, &secret, &mut front, entropy)?;
        Ok(Self {
            id,
            front,
            public: pair.public(),
        })
    }

    /// Where bundles for this slot are sealed to.
    pub fn public(&self) -> &KemPublic {
        &self.public
    }

    /// The owner of an existing slot, to seal a new bundle for.
    pub fn of(slot: &Slot) -> Self {
        Self {
            id: slot.id,
            front: slot.front.clone(),
            public: slot.public.clone(),
        }
    }

    /// Seals a bundle to the slot and has the root sign the whole:
    ///
    /// front ‖ public 1216 ‖ wrapped bundle key 1168 ‖ length 4 ‖ nonce, bundle sealed, tag ‖
    /// suite 1 ‖ root signature 64.
    pub fn seal(
        &self,
        suite: Suite,
        bundle: &SecretBytes,
        root: &SigningKey,
        entropy: &dyn Entropy,
    ) -> Result<Vec<u8>, SealSlotError> {
        let mut out = self.front.clone();
        out.extend_from_slice(self.public.as_bytes());
        let key = SecretKey::random(entropy)?;
        let wrapped = self.public.wrap(suite, self.id.as_bytes(), &key, entropy)?;
        out.extend_from_slice(&wrapped[..]);
        let key = derive_role_key(&key, Role::Slot);
        seal_bytes(suite, &key, bundle.expose(), &mut out, entropy)?;
        out.push(1);
        let signature = root.sign("slot", &out);
        out.extend_from_slice(&signature);
        Ok(out)
    }
}

/// The KEK, or `None` when a passphrase meets a slot for keys or the reverse.
fn derive(
    id: &SlotId,
    kdf: SlotKdf,
    salt: &[u8; 16],
    unlock: &Unlock,
) -> Result<Option<SecretKey>, KdfError> {
    match (kdf, unlock) {
        (SlotKdf::Argon2id(cost), Unlock::Passphrase(passphrase)) => {
            passphrase_key(passphrase.expose(), salt, cost).map(Some)
        }
        (SlotKdf::Secret, Unlock::Key(secret)) => {
            Ok(Some(slot_key_from_secret(id, secret.expose())))
        }
        _ => Ok(None),
    }
}

impl Slot {
    /// Decodes a slot of this repository.
    pub fn decode(
        bytes: &[u8],
        suite: Suite,
        repository: RepositoryId,
    ) -> Result<Self, FormatError> {
        let mut reader = Reader::new("slot", bytes);
        if bytes.len() > limits::KEY_OBJECT_BYTES_MAX || reader.array()? != MAGIC {
            return Err(reader.error("not a slot"));
        }
        if reader.array()? != [VERSION, suite.number()] || reader.array()? != repository.0 {
            return Err(reader.error("belongs to another repository"));
        }
        let id = SlotId(reader.array()?);
        let kdf = reader.u8()?;
        let cost = Argon2Parameters {
            memory_kib: reader.u32()?,
            passes: reader.u32()?,
            lanes: reader.u32()?,
        };
        let kdf = match kdf {
            1 => SlotKdf::Argon2id(cost),
            2 => SlotKdf::Secret,
            other => return Err(reader.error(format!("unknown key derivation {other}"))),
        };
        let salt = reader.array()?;
        let commit = reader.array()?;
        let sealed_at = reader.position();
        take_sealed(&mut reader)?;
        let front = bytes[..reader.position()].to_vec();
        let public = KemPublic::from_bytes(reader.take(PUBLIC_LENGTH)?)
            .map_err(|error| reader.error(error.to_string()))?;
        let wrapped = Box::new(reader.array()?);
        let bundle = take_sealed(&mut reader)?.to_vec();
        if reader.u8()? != 1 {
            return Err(reader.error("unknown signature suite"));
        }
        let signed = bytes[..reader.position()].to_vec();
        let signature = reader.array()?;
        reader.end()?;
        Ok(Self {
            id,
            kdf,
            suite,
            salt,
            commit,
            front,
            sealed_at,
            public,
            wrapped,
            bundle,
            signed,
            signature,
        })
    }

    /// Whether the whole of it is signed by `root`: what can be verified without its owner.
    pub fn is_signed_by(&self, root: &VerifyingKey) -> bool {
        root.verify("slot", &self.signed, &self.signature).is_ok()
    }

    /// Opens it with what its owner holds.
    pub fn open(&self, unlock: &Unlock) -> Result<OpenedSlot, SlotError> {
        let changed = || SlotError::Changed(self.id);
        let kek = derive(&self.id, self.kdf, &self.salt, unlock)
            .map_err(|error| SlotError::Derive(self.id, error))?
            .filter(|kek| key_commitment(kek) == self.commit)
            .ok_or(SlotError::WrongKey(self.id))?;
        let key = derive_role_key(&kek, Role::Slot);
        let (front, sealed) = self.front.split_at(self.sealed_at);
        let secret = open_bytes(self.suite, &key, front, sealed).map_err(|_| changed())?;
        let (seed, root) = secret.expose().split_at_checked(32).ok_or_else(changed)?;
        let seed = <[u8; 32]>::try_from(seed).map_err(|_| changed())?;
        let root = VerifyingKey(root.try_into().map_err(|_| changed())?);
        root.verify("slot", &self.signed, &self.signature)
            .map_err(|_| changed())?;
        let pair = KemSecret::from_seed(SecretKey::from_bytes(seed));
        let bundle_key = pair
            .unwrap(self.suite, self.id.as_bytes(), &self.wrapped)
            .map_err(|_| changed())?;
        let key = derive_role_key(&bundle_key, Role::Slot);
        let associated = &self.signed[..self.signed.len() - 1 - self.bundle.len()];
        let bundle =
            open_bytes(self.suite, &key, associated, &self.bundle).map_err(|_| changed())?;
        Ok(OpenedSlot { root, bundle })
    }
}

/// Appends length 4 ‖ nonce ‖ ciphertext ‖ tag; everything in `out` before is associated data.
pub(in crate::format) fn seal_bytes(
    suite: Suite,
    key: &SecretKey,
    plain: &[u8],
    out: &mut Vec<u8>,
    entropy: &dyn Entropy,
) -> Result<(), EntropyError> {
    let associated = out.clone();
    let length = (plain.len() + NONCE_LENGTH + TAG_LENGTH) as u32;
    out.extend_from_slice(&length.to_le_bytes());
    let nonce: [u8; NONCE_LENGTH] = entropy.array()?;
    out.extend_from_slice(&nonce);
    let mut data = zeroize::Zeroizing::new(plain.to_vec());
    let tag = suite.seal(key, &nonce, &associated, &mut data);
    out.extend_from_slice(&data);
    out.extend_from_slice(&tag);
    Ok(())
}

/// Undoes [`seal_bytes`]: `sealed` starts at the length.
pub(in crate::format) fn open_bytes(
    suite: Suite,
    key: &SecretKey,
    associated: &[u8],
    sealed: &[u8],
) -> Result<SecretBytes, OpenError> {
    let body = sealed.get(4 + NONCE_LENGTH..).ok_or(OpenError)?;
    let nonce = <[u8; NONCE_LENGTH]>::try_from(&sealed[4..4 + NONCE_LENGTH]);
    let nonce = nonce.map_err(|_| OpenError)?;
    let (data, tag) = body.split_last_chunk::<TAG_LENGTH>().ok_or(OpenError)?;
    let mut data = data.to_vec();
    suite.open(key, &nonce, associated, &mut data, tag)?;
    Ok(SecretBytes::new(data))
}

/// Length and sealed bytes, together.
fn take_sealed<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], FormatError> {
    let mut ahead = reader.clone();
    let length = ahead.count("sealed bytes", limits::KEY_OBJECT_BYTES_MAX)?;
    reader.take(4 + length)
}
