//! Proofs: what was verified, when and by whom.
//!
//! Spec: `format-spec/07-record.md`. The content is sealed under a link key of its own, so that
//! maintenance can read it too.

use crate::crypto::Role;
use crate::format::certificate::Capabilities;
use crate::format::envelope::{ObjectType, UnwrapError};
use crate::format::layout;
use crate::format::protocol::{Proof, ProofKind};
use crate::format::record::RecordError;
use crate::id::{DomainTag, ObjectId, SnapshotId, WriterId};
use crate::repository::{LinkRecordError, RecordLoadError, Repository};
use crate::store::StoreExt;

/// Most packs that one proof names: keeps it well below [`crate::limits::RECORD_BYTES_MAX`].
pub const PROOF_PACKS_MAX: usize = 100_000;

/// A proof whose signature holds and whose content this credential opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedProof {
    /// Its name.
    pub id: ObjectId,
    /// Who vouches for it.
    pub writer: WriterId,
    /// What it says.
    pub proof: Proof,
    /// Whether its writer can have read what it says it read, and is not revoked. A write-only host
    /// can sign a proof, but not know what is in a pack.
    pub credible: bool,
    /// What it can have read: domains of its writer's certificate; none means all.
    domains: Vec<DomainTag>,
}

impl SignedProof {
    /// Whether it is to be believed about what is in a domain.
    pub fn vouches_for(&self, domain: DomainTag) -> bool {
        self.credible && (self.domains.is_empty() || self.domains.contains(&domain))
    }
}

/// What `proofs/` holds.
#[derive(Debug, Default)]
pub struct ProofList {
    /// Proofs, in the order of their names.
    pub proofs: Vec<SignedProof>,
    /// Those that are damaged.
    pub damaged: Vec<RecordLoadError>,
}

impl Repository {
    /// Seals, signs and stores a proof of this credential, durably. It names at most
    /// [`PROOF_PACKS_MAX`] packs.
    pub fn put_proof(&self, proof: &Proof) -> Result<ObjectId, LinkRecordError> {
        self.put_link_record(ObjectType::Proof, layout::PROOFS, &[], &proof.encode())
    }

    /// Records that every pack these snapshots need was read and is whole, now or, as `remark` says,
    /// lately. One proof for each [`PROOF_PACKS_MAX`] snapshots.
    pub fn prove_read_back(
        &self,
        snapshots: &[SnapshotId],
        milliseconds: u64,
        remark: &str,
    ) -> Result<(), LinkRecordError> {
        for snapshots in snapshots.chunks(PROOF_PACKS_MAX) {
            self.put_proof(&Proof {
                kind: ProofKind::ReadData,
                finished: self.clock.now(),
                packs: Vec::new(),
                snapshots: snapshots.to_vec(),
                milliseconds,
                remark: remark.to_owned(),
            })?;
        }
        Ok(())
    }

    /// Whether a proof is to be believed about every domain that this credential holds: of which of them
    /// a pack is, its name does not say, and who reads less cannot speak for it.
    pub fn believes(&self, signed: &SignedProof) -> bool {
        let mut domains = self.access.domains();
        signed.credible && domains.all(|domain| signed.vouches_for(domain.tag))
    }

    /// Loads all proofs that this credential opens. One that is removed meanwhile is passed over.
    pub fn load_proofs(&self) -> Result<ProofList, RecordLoadError> {
        let mut list = ProofList::default();
        for info in self.store.list_all(layout::PROOFS)? {
            let Ok(id) = info.key.file_name().parse::<ObjectId>() else {
                continue;
            };
            match self.load_proof(&info.key, id) {
                Ok(Some(proof)) => list.proofs.push(proof),
                Ok(None) => {}
                Err(error) if error.is_not_found() => {}
                Err(error) if error.is_damage() => list.damaged.push(error),
                Err(error) => return Err(error),
            }
        }
        Ok(list)
    }

    fn load_proof(
        &self,
        key: &crate::store::ObjectKey,
        id: ObjectId,
    ) -> Result<Option<SignedProof>, RecordLoadError> {
        let record = self.load_record(key, ObjectType::Proof, Some(id))?;
        let content = match record.open_part(Role::Record, &self.access) {
            Ok(content) => content,
            Err(RecordError::Key(_, UnwrapError::NotARecipient(_))) => return Ok(None),
            Err(source) => {
                let key = key.to_string();
                return Err(RecordLoadError::Record { key, source });
            }
        };
        let proof = Proof::decode(&content).map_err(|source| RecordLoadError::Content {
            key: key.to_string(),
            source,
        })?;
        let writer = record.authorship.writer;
        let can_read = record
            .certificate
            .capabilities()
            .includes(Capabilities::READ);
        Ok(Some(SignedProof {
            id,
            writer,
            proof,
            domains: record.certificate.domains().to_vec(),
            credible: can_read && !self.access.statement().revoked.contains(&writer),
        }))
    }
}
