//! What earlier sessions stored, and whether this one may build on it.
//!
//! Spec: `format-spec/11-ordering.md`, writer, step 3.

use crate::format::blob::BlobKind;
use crate::id::{BlobId, PackId};
use crate::planted::{self, Bug};
use crate::repository::index::{Cache, Located};
use crate::repository::writer::{WriteError, WriteSession};
use std::collections::HashSet;

/// Places of one blob by other writers that are opened before it is stored again.
const FOREIGN_PLACES_MAX: usize = 4;

/// Where a usable blob is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Carriers {
    /// On its way in this session, or in packs that others list.
    Unsettled,
    /// In these packs, its bases and its group included; this writer lists all of them.
    Own(Vec<PackId>),
}

impl WriteSession<'_> {
    /// Whether a blob is usable, without promising to store it.
    pub fn is_known(&self, id: BlobId, kind: BlobKind) -> Result<bool, WriteError> {
        Ok(self.state().pending.contains_key(&id) || self.rely_on(id, kind)?)
    }

    /// Like [`Self::is_known`]; tells also which packs a usable blob is in.
    pub fn carriers(&self, id: BlobId, kind: BlobKind) -> Result<Option<Carriers>, WriteError> {
        if self.state().pending.contains_key(&id) {
            return Ok(Some(Carriers::Unsettled));
        }
        let Some(chain) = self.usable_chain(id, kind)? else {
            return Ok(None);
        };
        let writer = self.repository().access.writer();
        Ok(Some(match chain.iter().all(|row| row.author == writer) {
            true => Carriers::Own(chain.iter().map(|row| row.pack).collect()),
            false => Carriers::Unsettled,
        }))
    }

    /// Whether blobs that [`Self::carriers`] once found in these packs still are: a pack never
    /// changes, so that it is enough that this writer lists all of them and no prune names one.
    /// They must then be there at the commit.
    pub fn rely_on_packs(&self, packs: &[PackId]) -> Result<bool, WriteError> {
        for pack in packs {
            let known = self.state().own_packs.get(pack).copied();
            let is_usable = match known {
                Some(is_usable) => is_usable,
                None => {
                    let writer = self.repository().access.writer();
                    let is_usable = self.is_acceptable_pack(pack)
                        && self.reader.index().is_listed_by(pack, writer)?;
                    self.state().own_packs.insert(*pack, is_usable);
                    is_usable
                }
            };
            if !is_usable {
                return Ok(false);
            }
        }
        self.state().relied_on.extend(packs);
        Ok(true)
    }

    /// Asks for the pack of a blob that is on its way in this session: [`Self::settled`] tells it.
    /// Returns whether the blob is on its way.
    pub fn await_pack(&self, id: BlobId) -> bool {
        let mut state = self.state();
        let is_pending = state.pending.contains_key(&id);
        if is_pending {
            state.awaited.insert(id, None);
        }
        is_pending
    }

    /// The pack that holds all of a blob that was asked for, once a segment lists it. None before,
    /// and for a blob that rests on others.
    pub fn settled(&self, id: &BlobId) -> Option<PackId> {
        self.state().awaited.get(id).copied().flatten()
    }

    /// Drops the questions for the packs of these blobs.
    pub fn cease_to_await(&self, ids: impl Iterator<Item = BlobId>) {
        let mut state = self.state();
        for id in ids {
            state.awaited.remove(&id);
        }
    }

    /// Whether a stored blob is usable.
    pub(super) fn rely_on(&self, id: BlobId, kind: BlobKind) -> Result<bool, WriteError> {
        Ok(self.usable_chain(id, kind)?.is_some())
    }

    /// The chain below a usable blob, from its own form down to the full one: all of it is in packs
    /// that no prune names, and a blob of another writer was opened once. These packs must then be
    /// there at the commit.
    pub(super) fn usable_chain(
        &self,
        id: BlobId,
        kind: BlobKind,
    ) -> Result<Option<Vec<Located>>, WriteError> {
        let chain = self.trusted_chain(id, kind)?;
        if let Some(chain) = &chain {
            let packs = chain.iter().map(|located| located.pack);
            self.state().relied_on.extend(packs);
        }
        Ok(chain)
    }

    /// Own rows before any others: what a foreign row says must cost nothing where there is one.
    fn trusted_chain(
        &self,
        id: BlobId,
        kind: BlobKind,
    ) -> Result<Option<Vec<Located>>, WriteError> {
        let index = self.reader.index();
        let writer = self.repository().access.writer();
        let is_own = |located: &Located| located.author == writer;
        let fits = |chain: &[Located]| chain.first().is_some_and(|top| top.row.kind == kind);
        let mut chain = match index.chain(&id, &|row| self.is_acceptable(row))? {
            None => return Ok(None),
            Some(chain) => chain,
        };
        if chain.iter().all(is_own) {
            return Ok(fits(&chain).then_some(chain));
        }
        let own = index.chain(&id, &|row| is_own(row) && self.is_acceptable(row))?;
        if let Some(own) = own.filter(|own| fits(own)) {
            return Ok(Some(own));
        }
        let mut refused = HashSet::new();
        for _ in 0..FOREIGN_PLACES_MAX {
            if fits(&chain) && self.is_verified(&chain)? {
                return Ok(Some(chain));
            }
            refused.extend(chain.first().map(|top| top.pack));
            let acceptable =
                |row: &Located| !refused.contains(&row.pack) && self.is_acceptable(row);
            match index.chain(&id, &acceptable)? {
                None => break,
                Some(next) => chain = next,
            }
        }
        Ok(None)
    }

    pub(super) fn is_acceptable(&self, located: &Located) -> bool {
        self.is_acceptable_pack(&located.pack)
    }

    fn is_acceptable_pack(&self, pack: &PackId) -> bool {
        let is_named =
            self.flags.named_packs.contains(pack) && !planted::has(Bug::NamedPacksTrusted);
        !is_named && !self.distrusted.contains(pack)
    }

    /// Opens a blob of another writer in this very place, once: the cache remembers the place.
    /// Another place of the same id says nothing about it.
    fn is_verified(&self, chain: &[Located]) -> Result<bool, WriteError> {
        if !self.repository().access.may_read(self.domain.tag) {
            return Ok(false);
        }
        let mut place = blake3::Hasher::new();
        for located in chain {
            place.update(located.row.id.as_bytes());
            place.update(located.pack.as_bytes());
            place.update(&located.row.offset.to_le_bytes());
        }
        let place = place.finalize();
        let index = self.reader.index();
        if index.cache_get(Cache::Verified, place.as_bytes()).is_some() {
            return Ok(true);
        }
        let opened = match chain {
            [only] => self.reader.read_at(only),
            // A member is read from whichever place of its group is whole: this one has to be.
            [.., group] if group.row.kind == BlobKind::Group => {
                if !self.is_verified(std::slice::from_ref(group))? {
                    return Ok(false);
                }
                self.reader.read_chain(chain)
            }
            chain => self.reader.read_chain(chain),
        };
        match opened {
            Ok(_) => {
                let entry = (place.as_bytes().to_vec(), Vec::new());
                index.cache_put(Cache::Verified, &[entry]);
                Ok(true)
            }
            Err(error) if error.is_damage() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
