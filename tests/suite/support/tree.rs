//! Trees of files: made, read back, compared.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Content of regular files by path, parts joined by `/`.
pub type Tree = BTreeMap<String, Vec<u8>>;

/// The first bytes of a SQLite database: what follows is cut at page boundaries.
pub const DATABASE_MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Bytes that do not compress, the same for the same seed.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let mut stream = blake3::Hasher::new()
        .update(&seed.to_le_bytes())
        .finalize_xof();
    stream.fill(&mut bytes);
    bytes
}

/// Writes all files below `directory`, which is made.
pub fn write(directory: &Path, tree: &Tree) {
    for (path, bytes) in tree {
        let path = directory.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// Reads all regular files below `directory`.
pub fn read(directory: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut waiting = vec![directory.to_path_buf()];
    while let Some(current) = waiting.pop() {
        for entry in fs::read_dir(&current).unwrap().map(Result::unwrap) {
            let path = entry.path();
            match entry.file_type().unwrap() {
                kind if kind.is_dir() => waiting.push(path),
                kind if kind.is_file() => {
                    let name = path.strip_prefix(directory).unwrap().to_str().unwrap();
                    tree.insert(name.to_owned(), fs::read(&path).unwrap());
                }
                _ => {}
            }
        }
    }
    tree
}

/// The paths that differ, for a message that can be read.
pub fn differences(expected: &Tree, found: &Tree) -> Vec<String> {
    let missing = expected.keys().filter(|path| !found.contains_key(*path));
    let missing = missing.map(|path| format!("{path} is missing"));
    let other = found.iter().filter_map(|(path, bytes)| {
        let wanted = expected.get(path)?;
        (wanted != bytes).then(|| format!("{path} differs"))
    });
    let extra = found.keys().filter(|path| !expected.contains_key(*path));
    let extra = extra.map(|path| format!("{path} is too many"));
    missing.chain(other).chain(extra).collect()
}
