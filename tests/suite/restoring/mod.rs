#![allow(clippy::unwrap_used, clippy::expect_used)]
//! Restores over what is there, from damaged repositories, and with proof.

mod flags;
mod in_place;
mod origin;
mod proven;

use crate::cli::{TestEnvironment, tree};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A number of a summary.
fn number(summary: &Value, field: &str) -> u64 {
    let number = summary[field].as_u64();
    number.unwrap_or_else(|| panic!("no {field} in {summary}"))
}

/// Changes 100 bytes of a page of 4 KiB.
fn spoil(path: &Path, page: u64) {
    let file = File::options().write(true).open(path).unwrap();
    file.write_all_at(&[0xA5; 100], page * 4096 + 1000).unwrap();
}

/// Runs a command that succeeds, and reads its summary.
fn summary_of(world: &TestEnvironment, arguments: &[&str]) -> Value {
    let json = [arguments, &["--json"]].concat();
    world.run(&json).expect(0).summary()
}

/// The packs there are.
fn packs(world: &TestEnvironment) -> BTreeSet<PathBuf> {
    packs_in(world, "repo")
}

/// The packs of a repository.
fn packs_in(world: &TestEnvironment, repository: &str) -> BTreeSet<PathBuf> {
    let packs = world.path(repository).join("packs");
    let found = tree(&packs).into_iter();
    found.map(|(path, _)| path).collect()
}

/// Flips a byte in the middle of every pack of data that is not among `spared`.
fn flip_in_packs(packs: &BTreeSet<PathBuf>, spared: &BTreeSet<PathBuf>) {
    let is_data = |path: &&PathBuf| path.components().all(|part| part.as_os_str() != "meta");
    for pack in packs.difference(spared).filter(is_data) {
        let mut bytes = fs::read(pack).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::set_permissions(pack, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(pack, bytes).unwrap();
    }
}
