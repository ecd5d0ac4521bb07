//! What cannot be read, found by reading everything: knows nothing of the check.

use crate::check::{CheckReport, Extent};
use crate::format::blob::BlobKind;
use crate::format::node::Child;
use crate::id::{BlobId, SnapshotId};
use crate::monitor::Silent;
use crate::repository::{ReadError, Reader, Repository};
use crate::testing_repository::{Files, empty_index};
use crate::tree;
use std::collections::BTreeMap;

/// By snapshot and path of a file, the bytes that cannot be read: ranges, joined, in order.
pub(super) type Lost = BTreeMap<(SnapshotId, String), Vec<(u64, u64)>>;

fn whole(files: &Files, path: &str) -> Vec<(u64, u64)> {
    vec![(0, files[path].1.len() as u64)]
}

fn below<'f>(files: &'f Files, directory: &'f str) -> impl Iterator<Item = &'f String> {
    files.keys().filter(move |path| {
        directory.is_empty()
            || path
                .strip_prefix(directory)
                .is_some_and(|rest| rest.starts_with('/'))
    })
}

/// Sorted ranges with adjacent ones joined.
fn joined(mut ranges: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    ranges.sort_unstable();
    let mut joined: Vec<(u64, u64)> = Vec::new();
    for (start, end) in ranges {
        match joined.last_mut() {
            Some(last) if last.1 >= start => last.1 = last.1.max(end),
            _ => joined.push((start, end)),
        }
    }
    joined
}

/// Reads all that was ever taken.
pub(super) fn lost(repository: &Repository, taken: &[(SnapshotId, Files)]) -> Lost {
    let index = empty_index();
    let (list, _) = repository.list_snapshots().unwrap();
    repository.refresh_index(&index, &Silent).unwrap();
    let reader = Reader::new(repository, &index);
    let mut lost = Lost::new();
    for (id, files) in taken {
        match list.visible.iter().find(|snapshot| snapshot.id == *id) {
            Some(snapshot) => directory(&reader, *id, files, snapshot.root, "", &mut lost),
            None => lose_below(*id, files, "", &mut lost),
        }
    }
    lost
}

fn lose_below(id: SnapshotId, files: &Files, path: &str, lost: &mut Lost) {
    lost.extend(below(files, path).map(|path| ((id, path.clone()), whole(files, path))));
}

fn directory(
    reader: &Reader<'_>,
    id: SnapshotId,
    files: &Files,
    blob: BlobId,
    path: &str,
    lost: &mut Lost,
) {
    let mut nodes = Vec::new();
    let read = tree::read_directory::<ReadError>(reader, blob, &mut |node| {
        nodes.push(node);
        Ok(())
    });
    if read.is_err() {
        return lose_below(id, files, path, lost);
    }
    for node in nodes {
        let name = String::from_utf8(node.name().to_vec()).unwrap();
        let path = match path.is_empty() {
            true => name,
            false => format!("{path}/{name}"),
        };
        match node.child {
            Child::Links { id: child, .. } if node.is_directory() => {
                directory(reader, id, files, child, &path, lost);
            }
            child => {
                let ranges = content(reader, child, &files[&path].1);
                if !ranges.is_empty() {
                    lost.insert((id, path), joined(ranges));
                }
            }
        }
    }
}

fn content(reader: &Reader<'_>, child: Child, expected: &[u8]) -> Vec<(u64, u64)> {
    let mut ranges = Vec::new();
    let mut length = 0;
    let read = tree::for_each_piece::<ReadError>(reader, child, &mut |piece| {
        let end = piece.offset + piece.length;
        length = end;
        let plain = piece.chunk.map(|chunk| reader.read(chunk, BlobKind::Chunk));
        match plain {
            Some(Ok(plain)) => {
                assert_eq!(plain, expected[piece.offset as usize..end as usize]);
            }
            Some(Err(_)) => ranges.push((piece.offset, end)),
            None => {}
        }
        Ok(())
    });
    match read {
        Ok(()) => assert_eq!(length, expected.len() as u64),
        Err(_) => ranges.push((length, expected.len() as u64)),
    }
    ranges
}

/// What a report says about the same files.
pub(super) fn reported(report: &CheckReport, taken: &[(SnapshotId, Files)]) -> Lost {
    let mut reported = Lost::new();
    for hurt in report.damage.iter().flat_map(|damage| &damage.hurts) {
        let (_, files) = taken.iter().find(|(id, _)| *id == hurt.snapshot).unwrap();
        let path = String::from_utf8(hurt.path.clone()).unwrap();
        match &hurt.extent {
            Extent::Subtree => {
                for path in below(files, &path) {
                    let ranges = reported.entry((hurt.snapshot, path.clone())).or_default();
                    ranges.extend(whole(files, path));
                }
            }
            Extent::Content(ranges) => {
                let found = reported.entry((hurt.snapshot, path)).or_default();
                found.extend(ranges.iter().map(|range| (range.start, range.end)));
            }
        }
    }
    reported
        .into_iter()
        .map(|(key, ranges)| (key, joined(ranges)))
        .collect()
}
