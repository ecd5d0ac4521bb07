#![allow(clippy::unwrap_used, clippy::expect_used)]
//! The vectors of `format-spec/vectors/`: made here, compared with the tree, read back.
//!
//! `make` is a deterministic generator; `read` decodes a vector as the spec says. A change of the
//! format shows as a difference to the files in the tree: `ICECORE_WRITE_VECTORS=1 cargo test
//! --test suite vectors` writes them anew, and the diff is what to review.

mod describe;
mod keys;
mod make;
mod read;

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("format-spec/vectors")
}

/// The folders of vectors, one for each structure. Beside them lies the checker, which may leave
/// a folder of compiled Python.
fn structures() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder()).unwrap().map(Result::unwrap);
    let is_structure = |name: &str| !name.starts_with('_');
    entries
        .filter(|entry| entry.path().is_dir() && is_structure(entry.file_name().to_str().unwrap()))
        .map(|entry| entry.path())
        .collect()
}

/// Every file below the folder by its path, `structure/NAME.bin` or `.json`.
fn files() -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for structure in structures() {
        for file in std::fs::read_dir(&structure).unwrap().map(Result::unwrap) {
            let (directory, name) = (structure.file_name().unwrap(), file.file_name());
            let path = format!("{}/{}", directory.to_str().unwrap(), name.to_str().unwrap());
            found.insert(path, std::fs::read(file.path()).unwrap());
        }
    }
    found
}

fn write_all(made: &BTreeMap<String, Vec<u8>>) {
    for structure in structures() {
        std::fs::remove_dir_all(structure).unwrap();
    }
    for (path, bytes) in made {
        let path = folder().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

#[test]
fn the_vectors_in_the_tree_are_the_ones_that_are_made() {
    let made = make::all();
    if std::env::var_os("ICECORE_WRITE_VECTORS").is_some() {
        write_all(&made);
    }
    let found = files();
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&made), names(&found), "files are missing or too many");
    let changed = made.iter().filter(|(path, bytes)| found[*path] != **bytes);
    let changed: Vec<_> = changed.map(|(path, _)| path).collect();
    assert!(changed.is_empty(), "the format changed: {changed:?}");
}

#[test]
fn good_vectors_decode_to_their_fields_and_defects_are_refused() {
    let files = files();
    let mut wrong = Vec::new();
    let mut counts = [0, 0];
    for (path, json) in files.iter().filter(|(path, _)| path.ends_with(".json")) {
        let vector: Value = serde_json::from_slice(json).unwrap();
        let stem = path.strip_suffix(".json").unwrap();
        let bytes = &files[&format!("{stem}.bin")];
        let structure = vector["structure"].as_str().unwrap();
        let got = read::vector(structure, &vector["input"], bytes);
        let expected = match vector.get("refused") {
            Some(class) => Err(class.as_str().unwrap().to_owned()),
            None => Ok(vector["expect"].clone()),
        };
        counts[usize::from(got.is_err())] += 1;
        if got != expected {
            wrong.push(format!("{stem}: {expected:?}, not {got:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(counts.iter().all(|count| *count > 30), "{counts:?}");
}

/// No nonce serves twice under one key, in all that is made from one set of keys.
#[test]
fn no_vector_repeats_a_nonce() {
    let mut seen = std::collections::HashSet::new();
    for (path, bytes) in make::sealed_samples() {
        for nonce in bytes {
            assert!(seen.insert(nonce), "{path} repeats a nonce");
        }
    }
}
