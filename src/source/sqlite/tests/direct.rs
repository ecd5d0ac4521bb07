//! What is read from the file itself is what SQLite reads, whatever others do meanwhile.
use crate::monitor::Cancel;
use crate::source::sqlite::connection::Database;
use crate::source::sqlite::direct::Direct;
use crate::source::sqlite::pages::Pages;
use crate::source::sqlite::tests::child::{Other, Role};
use crate::source::sqlite::tests::support::{create, fill, transfer};
use std::fs::File;
use std::path::Path;

/// Both images of one read transaction; the first is none where SQLite alone can read it. `between`
/// runs when half of it is read from the file.
fn both(path: &Path, between: &mut dyn FnMut()) -> (Option<Vec<u8>>, Vec<u8>) {
    let database = Database::open(path, &Cancel::default()).unwrap();
    let connection = &database.connection;
    connection.execute_batch("BEGIN").unwrap();
    connection
        .query_row("SELECT count(*) FROM ledger", [], |_| Ok(()))
        .unwrap();
    let mut pages = Pages::of(connection).unwrap();
    let log = File::open(path.with_extension("db-wal")).ok();
    let file = database.claim.file(path).unwrap().unwrap();
    let direct = Direct::of(connection, &pages, file, log.as_ref()).unwrap();
    let size = usize::try_from(pages.image_bytes()).unwrap();
    let image = direct.map(|mut direct| {
        let mut image = vec![0xaa; size];
        let (first, second) = image.split_at_mut(size / 2 + 100);
        assert_eq!(direct.read(first).unwrap(), first.len());
        between();
        assert_eq!(direct.read(second).unwrap(), second.len());
        assert_eq!(direct.read(&mut [0; 10]).unwrap(), 0);
        image
    });
    let mut queried = vec![0; size];
    assert_eq!(pages.read(connection, &mut queried).unwrap(), size);
    (image, queried)
}

#[test]
fn others_write_and_checkpoint_all_the_time() {
    for journal_mode in ["wal", "delete"] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("live.db");
        fill(&create(&path, 1024, journal_mode), 1000);
        let writer = Other::start(Role::Writing, &path);
        let wait = || std::thread::sleep(std::time::Duration::from_millis(5));
        for _ in 0..20 {
            let (direct, queried) = both(&path, &mut || wait());
            assert!(direct.expect("the log is short") == queried);
            wait();
        }
        writer.stop();
    }
}

#[test]
fn commits_and_checkpoints_between_two_reads_do_not_show() {
    let directory = tempfile::tempdir().unwrap();
    for is_settled in [false, true] {
        let path = directory.path().join(format!("{is_settled}.db"));
        let writer = create(&path, 4096, "wal");
        fill(&writer, 500);
        let checkpoint = |mode: &str| {
            let pragma = format!("PRAGMA wal_checkpoint({mode})");
            writer.query_row(&pragma, [], |_| Ok(())).unwrap();
        };
        if is_settled {
            // All of the log is in the file: readers do without it, and it is begun anew.
            checkpoint("PASSIVE");
        }
        let (direct, queried) = both(&path, &mut || {
            (0..50).for_each(|round| transfer(&writer, round).unwrap());
            checkpoint("PASSIVE");
            (0..50).for_each(|round| transfer(&writer, round).unwrap());
        });
        assert!(direct.unwrap() == queried, "settled: {is_settled}");
    }
}

#[test]
fn a_log_that_is_too_long_or_not_one_is_left_to_the_engine() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("long.db");
    let writer = create(&path, 4096, "wal");
    fill(&writer, 30_000);
    let (direct, queried) = both(&path, &mut || {});
    assert_eq!(direct, None);
    assert!(queried.len() > 20 << 20);
    writer
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .unwrap();
    assert_eq!(both(&path, &mut || {}), (Some(queried.clone()), queried));
}
