//! Opening a repository's keys: slots, then the keyring, then the newest statement.

use crate::crypto::{Suite, VerifyingKey};
use crate::format::document::Config;
use crate::format::keyring::{Bundle, Keyring, RingKey};
use crate::format::layout;
use crate::format::slot::{Slot, SlotError, SlotKdf, Unlock};
use crate::id::{ObjectId, SlotId};
use crate::limits;
use crate::repository::keys::memory::SignedStatement;
use crate::repository::keys::{Access, KeyError};
use crate::store::{ObjectKey, Store, StoreExt};

/// Opens the slot that `unlock` fits, and all that follows from it.
///
/// Errors: [`KeyError::WrongKey`] and [`KeyError::NoSuchSlot`] mean that what was given is not a
/// credential of this repository; everything else that the repository is damaged.
pub fn open_access(
    store: &dyn Store,
    config: &Config,
    suite: Suite,
    unlock: &Unlock,
) -> Result<Access, KeyError> {
    let (slot, root, bundle) = open_slot(store, config, suite, unlock)?;
    if !config.is_rooted_in(&root) {
        return Err(KeyError::ForeignRoot);
    }
    let ring = match &bundle.ring {
        Some(key) => Some(newest_ring(store, config, suite, key, &root)?),
        None => None,
    };
    let statement = newest_statement(store, &root, bundle.statement)?;
    Ok(Access::new(root, slot, bundle, ring, statement))
}

/// All slots that decode. A damaged one is passed over: another may still open.
pub(super) fn slots(
    store: &dyn Store,
    config: &Config,
    suite: Suite,
) -> Result<Vec<(ObjectKey, Slot)>, KeyError> {
    let mut slots = Vec::new();
    for info in store.list_all(layout::SLOTS)? {
        let bytes = store.get(&info.key, limits::KEY_OBJECT_BYTES_MAX)?;
        if let Ok(slot) = Slot::decode(&bytes, suite, config.repository) {
            slots.push((info.key, slot));
        }
    }
    Ok(slots)
}

fn open_slot(
    store: &dyn Store,
    config: &Config,
    suite: Suite,
    unlock: &Unlock,
) -> Result<(SlotId, VerifyingKey, Bundle), KeyError> {
    let fits = |slot: &Slot| {
        matches!(
            (slot.kdf, unlock),
            (SlotKdf::Argon2id(_), Unlock::Passphrase(_)) | (SlotKdf::Secret, Unlock::Key(_))
        )
    };
    let all = slots(store, config, suite)?;
    let (fitting, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, slot)| fits(slot));
    if fitting.is_empty() {
        return Err(KeyError::NoSuchSlot {
            kind: match unlock {
                Unlock::Passphrase(_) => "passphrase",
                Unlock::Key(_) => "key",
            },
            others: others.len(),
        });
    }
    let mut changed = None;
    let mut newest: Option<(SlotId, VerifyingKey, Bundle)> = None;
    for (_, slot) in &fitting {
        // A rotation that is under way, or was interrupted, leaves a slot in two objects.
        if newest.as_ref().is_some_and(|(id, ..)| *id != slot.id) {
            continue;
        }
        match open_bundle(slot, unlock) {
            Ok((root, bundle)) => {
                if newest
                    .as_ref()
                    .is_none_or(|(_, _, other)| is_newer(&bundle, other))
                {
                    newest = Some((slot.id, root, bundle));
                }
            }
            Err(KeyError::Slot(SlotError::WrongKey(_))) => {}
            Err(error) => changed = Some(error),
        }
    }
    match (newest, changed) {
        (Some(opened), _) => Ok(opened),
        (None, Some(error)) => Err(error),
        (None, None) => Err(KeyError::WrongKey {
            slots: fitting.len(),
        }),
    }
}

fn open_bundle(slot: &Slot, unlock: &Unlock) -> Result<(VerifyingKey, Bundle), KeyError> {
    let opened = slot.open(unlock).map_err(KeyError::Slot)?;
    let bundle = Bundle::decode(opened.bundle.expose())
        .map_err(|error| KeyError::Format("credential", error))?;
    Ok((opened.root, bundle))
}

/// Whether one bundle of a slot was sealed after another: it holds the newer keys, or as many and
/// was issued later.
fn is_newer(bundle: &Bundle, other: &Bundle) -> bool {
    let age = |bundle: &Bundle| {
        let epochs: usize = bundle.domains.iter().map(|d| d.epochs.len()).sum();
        (
            bundle.ring.as_ref().map(|ring| ring.generation),
            epochs + bundle.maintenance.len(),
            bundle.statement,
            bundle.certificate.issued(),
        )
    };
    age(bundle) > age(other)
}

/// A keyring as its name and its front say.
#[derive(Debug, Clone, Copy)]
pub(super) struct ListedRing {
    /// The number in its name: who can write to the store may have chosen it.
    pub(super) number: u64,
    pub(super) id: ObjectId,
    pub(super) generation: u64,
}

/// The keyrings that the root signed, of all generations.
pub(super) fn listed_rings(
    store: &dyn Store,
    config: &Config,
    suite: Suite,
    root: &VerifyingKey,
) -> Result<Vec<ListedRing>, KeyError> {
    let mut rings = Vec::new();
    for info in store.list_all(layout::RINGS)? {
        let Some((number, id)) = layout::parse_numbered(info.key.file_name()) else {
            continue;
        };
        let bytes = match store.get(&info.key, limits::KEY_OBJECT_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) if error.is_not_found() => continue,
            Err(error) => return Err(error.into()),
        };
        let generation = Keyring::generation_of(&bytes, suite, config.repository, root);
        rings.extend(generation.ok().map(|generation| ListedRing {
            number,
            id,
            generation,
        }));
    }
    Ok(rings)
}

/// All statements that the root signed under the numbers that they say.
pub(super) fn statements(
    store: &dyn Store,
    root: &VerifyingKey,
) -> Result<Vec<SignedStatement>, KeyError> {
    let mut found = Vec::new();
    for (number, name) in numbered(store, layout::STATEMENTS)? {
        let bytes = store.get(&name, limits::KEY_OBJECT_BYTES_MAX)?;
        let signed = SignedStatement::decode(bytes, root).ok();
        found.extend(signed.filter(|statement| statement.content.number == number));
    }
    Ok(found)
}

/// The objects of a numbered prefix, highest number first, with the number in their names. Whoever
/// can write to the store chooses names: a number counts only once the signed content repeats it.
fn numbered(store: &dyn Store, prefix: &str) -> Result<Vec<(u64, ObjectKey)>, KeyError> {
    let found = store.list_all(prefix)?.into_iter().rev();
    Ok(found
        .filter_map(|info| {
            let (number, _) = layout::parse_numbered(info.key.file_name())?;
            Some((number, info.key))
        })
        .collect())
}

fn newest_ring(
    store: &dyn Store,
    config: &Config,
    suite: Suite,
    key: &RingKey,
    root: &VerifyingKey,
) -> Result<Keyring, KeyError> {
    let mut damage = None;
    for (number, name) in numbered(store, layout::RINGS)? {
        let bytes = store.get(&name, limits::KEY_OBJECT_BYTES_MAX)?;
        match Keyring::open(&bytes, suite, config.repository, key, root) {
            Ok(Some(ring)) if ring.number == number => return Ok(ring),
            // An old ring under a new name: a replay.
            Ok(Some(_)) => {}
            // Sealed under another generation's M: a rotation that did not get to this slot.
            Ok(None) => {}
            Err(error) => damage = damage.or(Some(error)),
        }
    }
    Err(damage.map_or(KeyError::Missing("keyring"), |error| {
        KeyError::Format("keyring", error)
    }))
}

fn newest_statement(
    store: &dyn Store,
    root: &VerifyingKey,
    lowest: u64,
) -> Result<SignedStatement, KeyError> {
    let mut damage = None;
    let mut older = None;
    for (number, name) in numbered(store, layout::STATEMENTS)? {
        let bytes = store.get(&name, limits::KEY_OBJECT_BYTES_MAX)?;
        match SignedStatement::decode(bytes, root) {
            // An old statement under a new name: a replay.
            Ok(statement) if statement.content.number != number => {}
            Ok(statement) if number >= lowest => return Ok(statement),
            Ok(_) => older = older.or(Some(number)),
            Err(error) => damage = damage.or(Some(error)),
        }
    }
    Err(match (damage, older) {
        (Some(error), _) => KeyError::Format("statement", error),
        (None, Some(shown)) => KeyError::Replayed {
            shown,
            seen: lowest,
        },
        (None, None) => KeyError::Missing("statement"),
    })
}
