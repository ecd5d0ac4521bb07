//! Only what differs is fetched: whatever else the repository holds may be gone.

use super::{number, spoil, summary_of};
use crate::cli::{PASSPHRASE, TestEnvironment};
use crate::support::library::empty_index;
use crate::support::{is_long, tree};
use icecore::crypto::SecretBytes;
use icecore::env::{SystemClock, SystemEntropy};
use icecore::format::blob::Form;
use icecore::format::layout;
use icecore::format::pack::PackClass;
use icecore::format::slot::Unlock;
use icecore::monitor::Silent;
use icecore::repository::{ReadError, Reader, Repository};
use icecore::store::LocalStore;
use icecore::tree::{find, for_each_piece};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the restore of some pages of a file needs.
struct Needed {
    /// Plaintext bytes of the chunks that hold the pages.
    bytes: u64,
    /// How many of these are deltas.
    deltas: usize,
    /// Packs with the chunks and their bases, and all with metadata.
    packs: BTreeSet<PathBuf>,
}

/// Finds out through the library; `path` in the newest snapshot of `source`.
fn needed(world: &TestEnvironment, source: &str, path: &str, pages: &[u64]) -> Needed {
    let repo = world.path("repo");
    let unlock = Unlock::Passphrase(SecretBytes::new(PASSPHRASE.as_bytes().to_vec()));
    let repository = Repository::open(
        Arc::new(LocalStore::open(&repo).unwrap()),
        &unlock,
        Arc::new(SystemEntropy),
        Arc::new(SystemClock),
    )
    .unwrap();
    let index = empty_index();
    repository.refresh_index(&index, &Silent).unwrap();
    let reader = Reader::new(&repository, &index);
    let (list, _) = repository.list_snapshots().unwrap();
    let of_source =
        |snapshot: &&icecore::repository::Snapshot| snapshot.label.source.ends_with(source);
    let snapshot = list.visible.iter().rfind(of_source).unwrap();
    let node = find(&reader, snapshot.root, path.as_bytes())
        .unwrap()
        .unwrap();
    let mut needed = Needed {
        bytes: 0,
        deltas: 0,
        packs: BTreeSet::new(),
    };
    for_each_piece::<ReadError>(&reader, node.child, &mut |piece| {
        let range = piece.offset..piece.offset + piece.length;
        let is_hit = pages
            .iter()
            .any(|page| range.contains(&(page * 4096 + 1000)));
        if let Some(chunk) = piece.chunk.filter(|_| is_hit) {
            needed.bytes += piece.length;
            let chain = index.chain(&chunk, &|_| true).unwrap().unwrap();
            needed.deltas += usize::from(matches!(chain[0].row.form, Form::Delta { .. }));
            for located in chain {
                let key = layout::pack(located.class, &located.pack);
                needed.packs.insert(repo.join(key));
            }
        }
        Ok(())
    })
    .unwrap();
    index
        .packs(&mut |listing| {
            if listing.class == PackClass::Metadata {
                let key = layout::pack(listing.class, &listing.pack);
                needed.packs.insert(repo.join(key));
            }
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    needed
}

/// Moves every pack away that is not in `kept`; returns how many.
fn move_away(world: &TestEnvironment, kept: &BTreeSet<PathBuf>) -> usize {
    let away = world.path("away");
    fs::create_dir_all(&away).unwrap();
    let mut moved = 0;
    for (path, _) in crate::cli::tree(&world.path("repo/packs")) {
        if !kept.contains(&path) {
            fs::rename(&path, away.join(path.file_name().unwrap())).unwrap();
            moved += 1;
        }
    }
    moved
}

fn hash(path: &Path) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(fs::File::open(path).unwrap()).unwrap();
    hasher.finalize()
}

/// A database of about so many bytes, of rows that compress to a half or so.
fn make_database(path: &Path, bytes: u64) {
    let connection = rusqlite::Connection::open(path).unwrap();
    let rows = bytes / 2080;
    connection
        .execute_batch(&format!(
            "PRAGMA synchronous=OFF; CREATE TABLE t(id INTEGER PRIMARY KEY, body TEXT, more BLOB);
             INSERT INTO t WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n \
             WHERE i<{rows}) SELECT i, hex(randomblob(500)), randomblob(1000) FROM n;"
        ))
        .unwrap();
}

#[test]
fn a_spoiled_file_needs_only_the_packs_of_its_spoiled_pieces() {
    let (bytes, count) = if is_long() {
        (1 << 30, 40)
    } else {
        (44 << 20, 4)
    };
    let world = TestEnvironment::new();
    let file = world.write("data/file.bin", tree::noise(5, bytes));
    world.run(&["snapshot", "data"]).expect(0);
    let (whole, modified) = (
        hash(&file),
        fs::metadata(&file).unwrap().modified().unwrap(),
    );
    // All in the first third or half: the packs of the rest are not needed.
    let last = bytes as u64 / 4096 / if is_long() { 2 } else { 3 };
    let pages: Vec<u64> = (1..=count)
        .map(|number| last * number / count - 7)
        .collect();
    pages.iter().for_each(|page| spoil(&file, *page));
    // Nothing shows from outside that it was touched.
    fs::File::options()
        .write(true)
        .open(&file)
        .unwrap()
        .set_modified(modified)
        .unwrap();
    let needed = needed(&world, "data", "data/file.bin", &pages);
    assert!(move_away(&world, &needed.packs) > 0, "all packs are needed");
    let restore = ["restore", "latest", "--target", ".", "--in-place"];
    let summary = summary_of(&world, &restore);
    assert_eq!(hash(&file), whole);
    let fetched = number(&summary, "bytes_fetched");
    println!(
        "{count} pages of {bytes} bytes: fetched {fetched}, chunks of {}",
        needed.bytes
    );
    assert!(fetched <= needed.bytes * 105 / 100, "{summary}");
    assert_eq!(number(&summary, "bytes_differed"), needed.bytes);
    assert_eq!(number(&summary, "bytes_written"), needed.bytes);
    assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), modified);
    // With nothing but metadata left, what is whole stays whole.
    fs::rename(world.path("repo/packs/full"), world.path("away/full")).unwrap();
    let nothing = summary_of(&world, &restore);
    assert_eq!(number(&nothing, "bytes_differed"), 0);
    spoil(&file, 3);
    let damaged = world.run(&restore).expect(4);
    assert!(damaged.stdout.contains("no file at"), "{}", damaged.stdout);
}

#[test]
fn a_spoiled_database_is_made_anew_from_what_is_equal() {
    let world = TestEnvironment::new();
    let path = world.path("app.db");
    make_database(&path, 16 << 20);
    world.write("other/file", tree::noise(9, 3 << 20));
    world.run(&["snapshot", "other"]).expect(0);
    world.run(&["snapshot", "sqlite:app.db"]).expect(0);
    for step in 0..3 {
        let connection = rusqlite::Connection::open(&path).unwrap();
        let change = "UPDATE t SET more = randomblob(1000) WHERE id % 40 = ?1";
        connection.execute(change, [step]).unwrap();
        drop(connection);
        world.run(&["snapshot", "sqlite:app.db"]).expect(0);
    }
    let whole = fs::read(&path).unwrap();
    let pages = [500, 501, 1500, 3100];
    let needed = needed(&world, "app.db", "app.db", &pages);
    assert!(needed.deltas > 0, "no chunk is a delta");
    pages.iter().for_each(|page| spoil(&path, *page));
    // What a program that crashed left behind must not be replayed into the restored database.
    fs::write(world.path("app.db-journal"), b"stale").unwrap();
    assert!(move_away(&world, &needed.packs) > 0, "all packs are needed");
    let restore = [
        "restore",
        "latest",
        "--source",
        "app.db",
        "--target",
        "app.db",
        "--in-place",
    ];
    let holder = rusqlite::Connection::open(&path).unwrap();
    let refused = world.run(&restore).expect(11);
    assert!(refused.stderr.contains("has it open"), "{}", refused.stderr);
    drop(holder);
    let summary = summary_of(&world, &restore);
    assert!(fs::read(&path).unwrap() == whole);
    assert_eq!(number(&summary, "bytes_differed"), needed.bytes);
    assert!(
        number(&summary, "bytes_fetched") < needed.bytes,
        "{summary}"
    );
    assert_eq!(summary["databases"][0]["sound"], true);
    assert_eq!(summary["databases"][0]["replaced"], true);
    let beside = fs::read_dir(world.path(".")).unwrap();
    let left: Vec<_> = beside
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("app.db") && name != "app.db")
        .collect();
    assert_eq!(left, Vec::<String>::new());
    let shown = world.run(&restore).expect(0);
    assert!(shown.stdout.contains("0 B of"), "{}", shown.stdout);
    assert!(
        shown.stdout.contains("integrity_check ok"),
        "{}",
        shown.stdout
    );
}

#[test]
fn a_tree_in_place_keeps_what_is_its_own() {
    use std::os::unix::fs::MetadataExt;
    let world = TestEnvironment::new();
    world.write("data/same", tree::noise(1, 100_000));
    world.write("data/changed", tree::noise(2, 100_000));
    world.write("data/shorter", tree::noise(3, 100_000));
    world.write("data/gone", b"gone");
    world.write("data/linked", b"one content");
    fs::hard_link(world.path("data/linked"), world.path("data/second")).unwrap();
    let before = tree::read(&world.path("data"));
    world.run(&["snapshot", "data"]).expect(0);
    let inode = |name: &str| fs::metadata(world.path(name)).unwrap().ino();
    let inodes = (inode("data/same"), inode("data/changed"));
    spoil(&world.path("data/changed"), 1);
    world.write("data/shorter", b"no more than this");
    fs::remove_file(world.path("data/gone")).unwrap();
    fs::write(world.path("data/linked"), b"two content").unwrap();
    fs::rename(world.path("data/second"), world.path("kept")).unwrap();
    world.write("data/extra", b"of no snapshot");
    let summary = summary_of(
        &world,
        &["restore", "latest", "--target", ".", "--in-place"],
    );
    let mut after = tree::read(&world.path("data"));
    assert_eq!(after.remove("extra"), Some(b"of no snapshot".to_vec()));
    assert_eq!(tree::differences(&before, &after), Vec::<String>::new());
    assert_eq!(inodes, (inode("data/same"), inode("data/changed")));
    assert_eq!(inode("data/linked"), inode("data/second"));
    // The other name of what was there is not written through.
    assert_eq!(fs::read(world.path("kept")).unwrap(), b"two content");
    assert_eq!(number(&summary, "files"), 6);
    assert!(number(&summary, "bytes_differed") < 300_000, "{summary}");
}
