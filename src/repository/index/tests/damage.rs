//! Everything that can be wrong with a cache directory costs time and one warning.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::{MANY, Warnings, blob, everything, full_pack, options, segment};
use crate::id::SegmentId;
use crate::monitor::{Monitor, Silent};
use crate::repository::index::{Cache, Index, IndexError, IndexMode, IndexOptions};
use std::fs;
use std::path::{Path, PathBuf};

const LISTED: [u8; 2] = [1, 2];

fn listed() -> Vec<SegmentId> {
    LISTED.map(segment).to_vec()
}

/// What a session does at its start; how many segments it had to load.
fn synchronise(index: &Index, warnings: &Warnings) -> usize {
    let missing = index.missing(&listed());
    for id in &missing {
        let number = id.as_bytes()[0];
        let packs = [full_pack(number, 0..if number == 1 { MANY } else { 100 })];
        index.load(*id, &packs).unwrap();
    }
    index.set_visible(&listed());
    if let Some(warning) = index.take_warning() {
        warnings.warn(&warning);
    }
    missing.len()
}

fn assert_whole(index: &Index) {
    assert_eq!(everything(index).unwrap().len() as u32, MANY + 100);
    assert_eq!(index.lookup(&blob(7)).unwrap().len(), 2);
}

fn filled(directory: &Path) -> IndexOptions {
    let options = options(Some(directory));
    let index = Index::open(&options, &Silent);
    assert_eq!(synchronise(&index, &Warnings::default()), 2);
    options
}

fn files(directory: &Path, matches: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory.join("rows")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let found: Vec<_> = paths
        .filter(|path| matches(path.file_name().unwrap().to_str().unwrap()))
        .collect();
    assert!(!found.is_empty());
    found
}

/// Damages a full cache, then expects it to be whole again after at most one repetition, on disk.
fn heals(damage: impl Fn(&Path)) {
    let directory = tempfile::tempdir().unwrap();
    let options = filled(directory.path());
    damage(directory.path());
    let warnings = Warnings::default();
    let index = Index::open(&options, &warnings);
    synchronise(&index, &warnings);
    if let Err(error) = everything(&index) {
        assert!(matches!(error, IndexError::Unreadable { .. }));
        let again = index.lookup(&blob(1_000_000));
        assert!(again.is_err(), "nothing is absent until it is cleared");
        index.recover();
        assert_eq!(synchronise(&index, &warnings), 2);
    }
    assert_whole(&index);
    assert_eq!(index.stats().mode, IndexMode::Disk);
    assert!(warnings.take().len() <= 1);
    drop(index);
    // Once more it may be built anew, where the damage was found by reading.
    let index = Index::open(&options, &warnings);
    synchronise(&index, &warnings);
    drop(index);
    warnings.take();
    let index = Index::open(&options, &warnings);
    assert_eq!(synchronise(&index, &warnings), 0);
    assert_whole(&index);
    assert_eq!(warnings.take(), Vec::<String>::new());
}

#[test]
fn garbled_tables() {
    heals(|directory| {
        for path in files(directory, |name| name.ends_with(".sst")) {
            let mut bytes = fs::read(&path).unwrap();
            let end = bytes.len() / 2;
            bytes[..end].iter_mut().step_by(97).for_each(|b| *b ^= 0x55);
            fs::write(&path, bytes).unwrap();
        }
    });
}

#[test]
fn truncated_tables() {
    heals(|directory| {
        for path in files(directory, |name| name.ends_with(".sst")) {
            let bytes = fs::read(&path).unwrap();
            fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        }
    });
}

#[test]
fn lost_tables() {
    heals(|directory| {
        for path in files(directory, |name| name.ends_with(".sst")) {
            fs::remove_file(path).unwrap();
        }
    });
}

#[test]
fn garbled_manifest() {
    heals(|directory| {
        for path in files(directory, |name| name.starts_with("MANIFEST")) {
            let mut bytes = fs::read(&path).unwrap();
            bytes.iter_mut().step_by(13).for_each(|b| *b ^= 0xff);
            fs::write(&path, bytes).unwrap();
        }
    });
}

#[test]
fn truncated_manifest() {
    heals(|directory| {
        for path in files(directory, |name| name.starts_with("MANIFEST")) {
            let bytes = fs::read(&path).unwrap();
            fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        }
    });
}

#[test]
fn lost_or_garbled_current() {
    heals(|directory| fs::remove_file(directory.join("rows/CURRENT")).unwrap());
    heals(|directory| fs::write(directory.join("rows/CURRENT"), b"nonsense\n").unwrap());
}

#[test]
fn a_second_one_reads_and_keeps_its_own_in_memory() {
    let directory = tempfile::tempdir().unwrap();
    let options = filled(directory.path());
    let first = Index::open(&options, &Silent);
    assert_eq!(synchronise(&first, &Warnings::default()), 0);
    let warnings = Warnings::default();
    let second = Index::open(&options, &warnings);
    assert_eq!(second.stats().mode, IndexMode::ReadOnly);
    assert_eq!(warnings.take().len(), 1);
    assert_eq!(synchronise(&second, &warnings), 0);
    assert_whole(&second);
    second.load(segment(3), &[full_pack(3, 0..10)]).unwrap();
    let mut three = listed();
    three.push(segment(3));
    second.set_visible(&three);
    assert_eq!(second.lookup(&blob(7)).unwrap().len(), 3);
    assert_eq!(everything(&second).unwrap().len() as u32, MANY + 110);
    second.cache_put(Cache::Stat, &[(vec![1], vec![2])]);
    assert_eq!(second.cache_get(Cache::Stat, &[1]), Some(vec![2]));
    assert_eq!(first.missing(&three), [segment(3)]);
    // The first replaces its tables; the second one still has the old ones.
    first.clear();
    assert_eq!(everything(&second).unwrap().len() as u32, MANY + 110);
    assert_eq!(warnings.take(), Vec::<String>::new());
}

#[test]
fn a_disk_that_takes_no_more() {
    let directory = tempfile::tempdir().unwrap();
    let warnings = Warnings::default();
    let index = Index::open(&options(Some(directory.path())), &warnings);
    // No table can be made here, as on a full disk; it works for root as well.
    fs::remove_dir(directory.path().join("staging")).unwrap();
    fs::write(directory.path().join("staging"), b"").unwrap();
    assert_eq!(synchronise(&index, &warnings), 2);
    assert_whole(&index);
    assert_eq!(index.stats().mode, IndexMode::ReadOnly);
    assert_eq!(warnings.take().len(), 1, "told once");
}

#[test]
fn a_disk_that_is_nearly_full() {
    let directory = tempfile::tempdir().unwrap();
    let nearly_full = IndexOptions {
        free_bytes_min: u64::MAX,
        ..options(Some(directory.path()))
    };
    let warnings = Warnings::default();
    let index = Index::open(&nearly_full, &warnings);
    assert_eq!(index.stats().mode, IndexMode::Memory, "nothing to read yet");
    assert_eq!(warnings.take().len(), 1);
    synchronise(&index, &warnings);
    assert_whole(&index);
    filled(directory.path());
    let index = Index::open(&nearly_full, &warnings);
    assert_eq!(index.stats().mode, IndexMode::ReadOnly);
    assert_eq!(synchronise(&index, &warnings), 0);
    assert_whole(&index);
    assert_eq!(warnings.take().len(), 1);
}

#[test]
fn a_directory_that_cannot_be_made() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, b"").unwrap();
    let warnings = Warnings::default();
    let index = Index::open(&options(Some(&file.join("index"))), &warnings);
    assert_eq!(index.stats().mode, IndexMode::Memory);
    assert_eq!(warnings.take().len(), 1);
    synchronise(&index, &warnings);
    assert_whole(&index);
}

#[test]
fn a_directory_removed_underneath() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("index");
    let options = options(Some(&place));
    let warnings = Warnings::default();
    let index = Index::open(&options, &warnings);
    synchronise(&index, &warnings);
    // Moved first: RocksDB may be making files in it right now.
    let gone = directory.path().join("gone");
    fs::rename(&place, &gone).unwrap();
    fs::remove_dir_all(&gone).unwrap();
    if everything(&index).is_err() {
        index.clear();
        synchronise(&index, &warnings);
    }
    assert_whole(&index);
    index.load(segment(9), &[full_pack(9, 0..MANY)]).unwrap();
    assert!(index.take_warning().is_some());
    drop(index);
    let index = Index::open(&options, &warnings);
    assert_eq!(synchronise(&index, &warnings), 2);
    assert_whole(&index);
}

#[test]
fn what_a_crash_left_half_loaded_belongs_to_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let options = filled(directory.path());
    let copy = tempfile::tempdir().unwrap();
    let index = Index::open(&options, &Silent);
    // A table is on disk at once, the mark of its segment is not: as if the machine stopped here.
    let packs = [full_pack(5, 0..MANY)];
    index.load(segment(5), &packs).unwrap();
    fs::create_dir(copy.path().join("rows")).unwrap();
    for path in files(directory.path(), |_| true) {
        let name = path.file_name().unwrap();
        fs::copy(&path, copy.path().join("rows").join(name)).unwrap();
    }
    drop(index);
    let warnings = Warnings::default();
    let index = Index::open(&super::options(Some(copy.path())), &warnings);
    let five = [segment(1), segment(2), segment(5), segment(6)];
    assert_eq!(index.missing(&five), [segment(5), segment(6)]);
    index.set_visible(&five);
    index.load(segment(6), &[full_pack(6, 0..3)]).unwrap();
    assert_eq!(index.lookup(&blob(1)).unwrap().len(), 3);
    assert_eq!(index.lookup(&blob(50)).unwrap().len(), 2);
    index.load(segment(5), &packs).unwrap();
    assert_eq!(index.lookup(&blob(50)).unwrap().len(), 3);
    assert_eq!(warnings.take(), Vec::<String>::new());
}
