//! Rotation: what is saved from now on is sealed under new keys, and nobody needs a new secret.
//!
//! Spec: `format-spec/04-keys.md`, duties. Ring n+1 → all slots under new names → read back →
//! statement → delete the old. Until the statement is there nothing is sealed under the new keys,
//! and until the old is deleted it opens: a crash anywhere leaves a working set, and the next
//! rotation takes away what it left.

use crate::crypto::{SecretKey, SigningKey};
use crate::env::Timestamp;
use crate::format::document::EpochStatement;
use crate::format::keyring::{Bundle, CredentialRecord, Keyring, RingKey};
use crate::format::layout;
use crate::format::slot::{Slot, SlotOwner, Unlock};
use crate::id::{ObjectId, SlotId};
use crate::limits;
use crate::repository::keys::create::{certify, new_epoch, put_ring, put_slot};
use crate::repository::keys::holdings::Holdings;
use crate::repository::keys::load::{ListedRing, listed_rings, slots, statements};
use crate::repository::keys::{Access, KeyError};
use crate::repository::{Repository, object_key};
use crate::store::{ObjectKey, StoreExt};
use std::collections::BTreeMap;

/// What a rotation would do, or did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// The new generation of the keyring's key.
    pub generation: u64,
    /// Credentials that get new slots.
    pub credentials: usize,
    /// Credentials of erasable domains, whose keys lie outside: they stay as they are.
    pub outside: Vec<String>,
    /// Whether an earlier rotation was interrupted, whose leftovers go too.
    pub resumes: bool,
}

/// Since when what is saved is sealed under the keys in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeysDrawn {
    /// The generation of the keyring's key, from 1.
    pub generation: u64,
    /// When, by the clock of who drew them.
    pub since: Timestamp,
    /// Whether a rotation was interrupted.
    pub is_unfinished: bool,
}

/// A rotation that is about to be made.
struct Plan {
    rotation: Rotation,
    number: u64,
    /// The slots that are replaced.
    slots: BTreeMap<SlotId, Slot>,
}

impl Repository {
    /// What a rotation would do; fails where it would. Changes nothing.
    pub fn check_rotation(&self) -> Result<Rotation, KeyError> {
        Ok(self.plan_rotation()?.rotation)
    }

    /// Since when the keys in use are in use, as far as the statements tell that are still there.
    pub fn keys_drawn(&self) -> Result<KeysDrawn, KeyError> {
        let generation = self.generation()?;
        let current = self.access.statement();
        let mut since = current.created;
        for signed in statements(self.store(), self.access.root())? {
            let statement = signed.content;
            if statement.maintenance.epoch == current.maintenance.epoch {
                since = since.min(statement.created);
            }
        }
        let rings = listed_rings(self.store(), &self.config, self.suite, self.access.root())?;
        Ok(KeysDrawn {
            generation,
            since,
            is_unfinished: rings.iter().any(|ring| ring.generation != generation),
        })
    }

    fn generation(&self) -> Result<u64, KeyError> {
        let key = self.access.ring_key();
        Ok(key.ok_or(KeyError::Missing("keyring"))?.generation)
    }

    fn plan_rotation(&self) -> Result<Plan, KeyError> {
        let ring = self.access.ring_to_change()?;
        let generation = self.generation()?;
        let mut begun = 0;
        let mut resumes = false;
        for listed in listed_rings(self.store(), &self.config, self.suite, self.access.root())? {
            resumes |= listed.generation != generation;
            let Some(later) = listed.generation.checked_sub(generation) else {
                continue;
            };
            let changes = listed.number.saturating_sub(ring.number);
            match (later, changes) {
                (0, 0) => {}
                (0, _) => return Err(KeyError::Concurrent),
                // What a rotation began, and nothing that was changed under its keys since.
                (later, changes) if changes <= later => begun = begun.max(later),
                _ => return Err(KeyError::RotatedElsewhere),
            }
        }
        let step = begun.checked_add(1);
        let next = |from: u64| step.and_then(|step| from.checked_add(step));
        let (Some(generation), Some(number)) = (next(generation), next(ring.number)) else {
            return Err(KeyError::RotatedElsewhere);
        };
        let mut found = BTreeMap::new();
        for (_, slot) in slots(self.store(), &self.config, self.suite)? {
            if slot.is_signed_by(self.access.root()) {
                found.insert(slot.id, slot);
            }
        }
        let (mut rotated, mut outside) = (BTreeMap::new(), Vec::new());
        for record in &ring.credentials {
            if is_outside(record, &ring) {
                outside.push(record.label.clone());
                continue;
            }
            let missing = || KeyError::SlotMissing(record.label.clone());
            rotated.insert(record.slot, found.remove(&record.slot).ok_or_else(missing)?);
        }
        Ok(Plan {
            rotation: Rotation {
                generation,
                credentials: rotated.len(),
                outside,
                resumes,
            },
            number,
            slots: rotated,
        })
    }

    /// Draws new keys: the keyring's, of every domain whose keys are in it, maintenance's, and
    /// every credential's signing key. `unlock` is what the credential in use is opened with, to
    /// read back what was written.
    ///
    /// What was sealed before stays readable, also to who has the old keys.
    pub fn rotate_keys(&mut self, unlock: &Unlock) -> Result<Rotation, KeyError> {
        let Plan {
            rotation,
            number,
            slots: old,
        } = self.plan_rotation()?;
        let key = RingKey {
            generation: rotation.generation,
            key: SecretKey::random(&*self.entropy)?,
        };
        let (ring, statement) = self.next_epoch(number)?;
        let ring_id = self.put_new_ring(&ring, &key)?;
        let (names, own) = self.put_new_slots(&ring, &key, &old)?;
        self.store().barrier()?;
        self.read_back(&names, &ring, &key, unlock)?;
        self.publish(statement)?;
        let (root, slot) = (*self.access.root(), self.access.slot);
        let statement = self.access.statement.clone();
        self.access = Access::new(root, slot, own, Some(ring), statement);
        self.delete_replaced(ring_id, &names)?;
        Ok(rotation)
    }

    /// The keyring and the statement with a new epoch of everything. The statement's number is set
    /// when it is published.
    fn next_epoch(&self, number: u64) -> Result<(Keyring, EpochStatement), KeyError> {
        let mut ring = self.access.ring_to_change()?;
        let mut statement = self.access.statement().clone();
        ring.number = number;
        let (secret, public) = new_epoch(&*self.entropy)?;
        ring.maintenance.push(secret);
        statement.maintenance = public;
        for domain in ring.domains.iter_mut().filter(|domain| !domain.erasable) {
            let current = statement.domains.iter_mut();
            let mut current = current.filter(|public| public.tag == domain.tag);
            if let Some(current) = current.next() {
                let (secret, public) = new_epoch(&*self.entropy)?;
                domain.epochs.push(secret);
                current.current = public;
            }
        }
        Ok((ring, statement))
    }

    /// Of two rotations at the same time one finds the other's ring and takes its own back.
    fn put_new_ring(&self, ring: &Keyring, key: &RingKey) -> Result<ObjectId, KeyError> {
        let (store, repository) = (self.store(), self.config.repository);
        let id = put_ring(store, ring, self.suite, repository, key, &*self.entropy)?;
        store.barrier()?;
        let rings = listed_rings(store, &self.config, self.suite, self.access.root())?;
        let is_rival = |other: &ListedRing| other.generation >= key.generation && other.id != id;
        match rings.iter().any(is_rival) {
            false => Ok(id),
            true => {
                store.delete(&object_key(layout::numbered(
                    layout::RINGS,
                    ring.number,
                    &id,
                ))?)?;
                Err(KeyError::Concurrent)
            }
        }
    }

    /// Stores a slot with a new bundle for each credential. Returns their names, and the bundle of
    /// the credential in use.
    fn put_new_slots(
        &self,
        ring: &Keyring,
        key: &RingKey,
        old: &BTreeMap<SlotId, Slot>,
    ) -> Result<(BTreeMap<SlotId, ObjectId>, Bundle), KeyError> {
        let root = SigningKey::from_seed(ring.root.clone());
        let (mut names, mut own) = (BTreeMap::new(), None);
        for record in &ring.credentials {
            let Some(slot) = old.get(&record.slot) else {
                continue;
            };
            let bundle = self.new_bundle(record, ring, key, &root)?;
            let sealed =
                SlotOwner::of(slot).seal(self.suite, &bundle.encode(), &root, &*self.entropy)?;
            names.insert(record.slot, put_slot(self.store(), &sealed)?);
            if record.slot == self.access.slot {
                own = Some(bundle);
            }
        }
        // The credential in use is in the ring: it is a full one.
        Ok((names, own.ok_or(KeyError::Missing("slot"))?))
    }

    /// A bundle for a credential whose own one nobody else can open: the same writer, with a new
    /// signing key. The statement is the current one: the next is not there yet.
    fn new_bundle(
        &self,
        record: &CredentialRecord,
        ring: &Keyring,
        key: &RingKey,
        root: &SigningKey,
    ) -> Result<Bundle, KeyError> {
        let holdings = Holdings::of(record.capabilities, &record.domains, ring, key);
        let (signing, certificate) = certify(
            self.config.repository,
            record.writer,
            record.capabilities,
            record.domains.clone(),
            self.clock.now(),
            root,
            &*self.entropy,
        )?;
        Ok(Bundle {
            label: record.label.clone(),
            writer: record.writer,
            signing,
            certificate,
            ring: holdings.ring,
            domains: holdings.domains,
            maintenance: holdings.maintenance,
            statement: self.access.statement().number,
        })
    }

    /// Before anything counts on the new slots: all are there as they were made, and the one of the
    /// credential in use opens, and opens the new ring.
    fn read_back(
        &self,
        names: &BTreeMap<SlotId, ObjectId>,
        ring: &Keyring,
        key: &RingKey,
        unlock: &Unlock,
    ) -> Result<(), KeyError> {
        for (slot, name) in names {
            let key_of_slot = object_key(layout::by_content(layout::SLOTS, name))?;
            let bytes = self
                .store()
                .get(&key_of_slot, limits::KEY_OBJECT_BYTES_MAX)?;
            let read = Slot::decode(&bytes, self.suite, self.config.repository)
                .map_err(|error| KeyError::Format("slot", error))?;
            let is_whole = blake3::hash(&bytes).as_bytes() == name.as_bytes()
                && read.id == *slot
                && read.is_signed_by(self.access.root());
            if !is_whole {
                return Err(KeyError::Missing("slot"));
            }
            if *slot == self.access.slot {
                let opened = read.open(unlock).map_err(KeyError::Slot)?;
                let bundle = Bundle::decode(opened.bundle.expose())
                    .map_err(|error| KeyError::Format("credential", error))?;
                if bundle.ring.map(|held| held.generation) != Some(key.generation) {
                    return Err(KeyError::Missing("keyring"));
                }
            }
        }
        let rings = listed_rings(self.store(), &self.config, self.suite, self.access.root())?;
        let there = |listed: &ListedRing| {
            listed.number == ring.number && listed.generation == key.generation
        };
        match rings.iter().any(there) {
            true => Ok(()),
            false => Err(KeyError::Missing("keyring")),
        }
    }

    /// Deletes every other slot of the rotated credentials, then every other ring.
    fn delete_replaced(
        &self,
        ring: ObjectId,
        names: &BTreeMap<SlotId, ObjectId>,
    ) -> Result<(), KeyError> {
        let store = self.store();
        let is_replaced = |key: &ObjectKey, slot: &Slot| {
            let name = names.get(&slot.id).map(ToString::to_string);
            name.is_some_and(|name| name != key.file_name())
        };
        for (key, slot) in slots(store, &self.config, self.suite)? {
            if is_replaced(&key, &slot) {
                store.delete(&key)?;
            }
        }
        for info in store.list_all(layout::RINGS)? {
            let named = layout::parse_numbered(info.key.file_name());
            if named.is_some_and(|(_, id)| id != ring) {
                store.delete(&info.key)?;
            }
        }
        Ok(store.barrier()?)
    }
}

/// Whether a credential holds what is nowhere else, so that nobody can seal it anew.
fn is_outside(record: &CredentialRecord, ring: &Keyring) -> bool {
    let erasable = |tag| ring.domains.iter().any(|d| d.tag == tag && d.erasable);
    record.domains.iter().any(|tag| erasable(*tag))
}
