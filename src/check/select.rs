//! Choosing the packs to read.

use crate::check::survey::Surveyed;
use crate::check::{CheckError, CheckOptions, ReadData, Subset};
use crate::env::Timestamp;
use crate::format::pack::PackClass;
use crate::format::protocol::ProofKind;
use crate::id::PackId;
use crate::repository::Repository;
use std::collections::HashMap;

/// A pack to read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chosen {
    pub(super) class: PackClass,
    pub(super) pack: PackId,
    pub(super) size: u64,
}

/// The packs to read.
#[derive(Debug, Default)]
pub(super) struct Selected {
    pub(super) packs: Vec<Chosen>,
    /// How many there were to choose from.
    pub(super) total: u64,
}

/// Chooses packs: those whose last proof is oldest first, unproven ones before all. A pack that the
/// store took after its proof was touched since: the proof does not count.
pub(super) fn select(
    repository: &Repository,
    surveyed: &Surveyed,
    options: &CheckOptions,
) -> Result<Selected, CheckError> {
    let is_needed = |pack: &PackId| {
        let needed = surveyed.needed.as_ref();
        needed.is_none_or(|needed| needed.contains(pack))
    };
    let packs = surveyed.view.packs.iter();
    let candidates: Vec<_> = packs.filter(|((_, pack), _)| is_needed(pack)).collect();
    let total = candidates.len() as u64;
    if options.read_data == ReadData::No {
        let packs = Vec::new();
        return Ok(Selected { packs, total });
    }
    let proven = last_proofs(repository)?;
    let mut dated: Vec<(Option<Timestamp>, Chosen)> = candidates
        .into_iter()
        .map(|((class, pack), stored)| {
            let proof = proven.get(pack).copied();
            let untouched = |proof: &Timestamp| stored.modified.is_none_or(|m| m <= *proof);
            let chosen = Chosen {
                class: *class,
                pack: *pack,
                size: stored.size,
            };
            (proof.filter(untouched), chosen)
        })
        .collect();
    if let Some(age) = options.older_than {
        let age = i64::try_from(age.as_nanos()).unwrap_or(i64::MAX);
        let oldest = Timestamp(repository.clock().now().0.saturating_sub(age));
        dated.retain(|(proof, _)| proof.is_none_or(|proof| proof < oldest));
    }
    // Packs are named by hashes: among equals the order is a random one.
    dated.sort_by_key(|(proof, chosen)| (*proof, chosen.pack));
    let packs: Vec<Chosen> = dated.into_iter().map(|(_, chosen)| chosen).collect();
    let all_bytes = surveyed.view.packs.values().map(|stored| stored.size).sum();
    let packs = match options.read_data {
        ReadData::Subset(Subset::Part { part, of }) => (packs.into_iter())
            .filter(|chosen| Subset::part_includes(part, of, &chosen.pack))
            .collect(),
        ReadData::Subset(Subset::Share(share)) => first_bytes(packs, share.of(all_bytes)),
        ReadData::Subset(Subset::Bytes(bytes)) => first_bytes(packs, bytes),
        ReadData::All | ReadData::No => packs,
    };
    Ok(Selected { packs, total })
}

/// The first packs that have no more than so many bytes together, but at least one.
fn first_bytes(mut packs: Vec<Chosen>, limit: u64) -> Vec<Chosen> {
    let mut sum = 0u64;
    let fitting = packs.iter().take_while(|chosen| {
        sum = sum.saturating_add(chosen.size);
        sum <= limit
    });
    let count = fitting.count().max(1);
    packs.truncate(count);
    packs
}

/// When each pack was proven last, by writers who can read. A proof from the future is a wrong
/// clock's: it would stand for ever.
fn last_proofs(repository: &Repository) -> Result<HashMap<PackId, Timestamp>, CheckError> {
    let now = repository.clock().now();
    let mut last = HashMap::new();
    for signed in repository.load_proofs()?.proofs {
        let is_believed = repository.believes(&signed);
        let proof = signed.proof;
        if !is_believed || proof.kind != ProofKind::ReadData || proof.finished > now {
            continue;
        }
        for (pack, _) in proof.packs {
            let newest = last.entry(pack).or_insert(proof.finished);
            *newest = proof.finished.max(*newest);
        }
    }
    Ok(last)
}
