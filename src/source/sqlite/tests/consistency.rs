use crate::entry::{EntryKind, Fact};
use crate::monitor::Cancel;
use crate::source::sqlite::tests::child::{Other, Role};
use crate::source::sqlite::tests::support::{
    assert_invariant, capture, capture_with, create, fill, transfer,
};
use crate::source::sqlite::{Check, Counts, SqliteOptions, library};
use crate::source::{CaptureError, Consistency};
use rusqlite::Connection;
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};

#[test]
fn the_library_streams_pages_and_has_no_wal_reset_bug() {
    let library = library();
    assert!(library.page_stream);
    assert!(library.version_number >= 3_051_003, "{}", library.version);
}

#[test]
fn image_is_the_checkpointed_file_at_every_page_size() {
    let directory = tempfile::tempdir().unwrap();
    for shift in 9..=16 {
        for journal_mode in ["wal", "delete"] {
            for buffer_bytes in [1000, 1 << 18] {
                let path = directory
                    .path()
                    .join(format!("{shift}-{journal_mode}-{buffer_bytes}.db"));
                let writer = create(&path, 1 << shift, journal_mode);
                fill(&writer, 300);
                transfer(&writer, 1).unwrap();
                let options = SqliteOptions::default();
                let captured =
                    capture_with(&path, options, &Cancel::default(), buffer_bytes, &mut || {})
                        .unwrap();
                assert_eq!(captured.consistency, Consistency::Consistent);
                assert_eq!(captured.integer("sqlite.page_size"), 1 << shift);
                assert_eq!(captured.text("sqlite.journal_mode"), journal_mode);
                drop(writer);
                assert!(captured.image == fs::read(&path).unwrap(), "{path:?}");
            }
        }
    }
}

#[test]
fn commits_during_the_capture_are_not_in_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("live.db");
    let writer = create(&path, 4096, "wal");
    fill(&writer, 500);
    let captured = capture_with(
        &path,
        SqliteOptions::default(),
        &Cancel::default(),
        64 << 10,
        &mut || {
            (0..50).for_each(|round| transfer(&writer, round).unwrap());
            // A checkpoint must not disturb the reader either, as far as it may go.
            writer
                .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
                .unwrap();
        },
    )
    .unwrap();
    assert_eq!(captured.rows("log"), Some(500));
    assert_eq!(captured.integer("rows"), 503);
    assert_eq!(captured.facts["sqlite.written_meanwhile"], Fact::Bool(true));
    assert!(captured.integer("sqlite.wal_bytes_end") > captured.integer("sqlite.wal_bytes"));
    let restored = directory.path().join("restored.db");
    fs::write(&restored, &captured.image).unwrap();
    assert_eq!(assert_invariant(&restored), 500);
}

#[test]
fn another_process_writes_all_the_time() {
    for journal_mode in ["wal", "delete"] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("live.db");
        fill(&create(&path, 1024, journal_mode), 1000);
        let writer = Other::start(Role::Writing, &path);
        let mut last = 0;
        for round in 0..5 {
            let captured = capture(&path).unwrap();
            assert_eq!(captured.consistency, Consistency::Consistent);
            let restored = directory.path().join(format!("restored-{round}.db"));
            fs::write(&restored, &captured.image).unwrap();
            let counter = assert_invariant(&restored);
            assert_eq!(captured.rows("log"), u64::try_from(counter).ok());
            assert!(counter >= last);
            last = counter;
        }
        writer.stop();
        assert!(assert_invariant(&path) >= last);
    }
}

#[test]
fn facts_agree_with_an_independent_connection() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    let writer = create(&path, 2048, "wal");
    writer
        .execute_batch(
            "CREATE VIRTUAL TABLE words USING fts5(text);
             INSERT INTO words VALUES ('one'), ('two');
             CREATE TABLE \"odd \"\" name\"(x); INSERT INTO \"odd \"\" name\" VALUES (1);",
        )
        .unwrap();
    fill(&writer, 40);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let captured = capture(&path).unwrap();

    for pragma in [
        "page_size",
        "page_count",
        "application_id",
        "user_version",
        "schema_version",
    ] {
        let value: i64 = writer
            .query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0))
            .unwrap();
        assert_eq!(captured.integer(&format!("sqlite.{pragma}")), value);
    }
    assert_eq!(captured.text("engine"), "sqlite");
    assert_eq!(captured.text("sqlite.encoding"), "UTF-8");
    assert_eq!(captured.text("sqlite.auto_vacuum"), "none");
    assert_eq!(captured.text("check"), "quick_check");
    assert_eq!(captured.text("check.result"), "ok");
    let wal = fs::metadata(directory.path().join("app.db-wal")).unwrap();
    assert_eq!(
        captured.integer("sqlite.wal_bytes"),
        i64::try_from(wal.len()).unwrap()
    );
    assert_eq!(
        captured.facts["sqlite.written_meanwhile"],
        Fact::Bool(false)
    );
    assert_eq!(captured.integer("sqlite.table_count"), 3);
    assert_eq!(captured.integer("rows"), 3 + 40 + 1);
    assert_eq!(captured.rows("odd \" name"), Some(1));
    assert_eq!(captured.rows("words_content"), None);
    assert_eq!(captured.entry.name, b"app.db");
    assert_eq!(captured.entry.metadata.mode, 0o640);
    let size = u64::try_from(captured.image.len()).unwrap();
    assert_eq!(captured.entry.kind, EntryKind::File { size });

    let before = captured.text("sqlite.schema_blake3").to_owned();
    fill(&writer, 1);
    assert_eq!(capture(&path).unwrap().text("sqlite.schema_blake3"), before);
    writer
        .execute_batch("CREATE INDEX more ON log(id)")
        .unwrap();
    assert_ne!(capture(&path).unwrap().text("sqlite.schema_blake3"), before);
}

#[test]
fn a_capture_leaves_database_and_log_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    let wal = directory.path().join("app.db-wal");
    let writer = create(&path, 4096, "wal");
    fill(&writer, 100);
    let seen = || {
        let stamp = |path| {
            let metadata = fs::metadata(path).unwrap();
            (metadata.len(), metadata.mtime(), metadata.mtime_nsec())
        };
        (stamp(&path), stamp(&wal))
    };
    let before = seen();
    assert!(before.1.0 > 0);
    capture(&path).unwrap();
    assert_eq!(seen(), before);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 3);
}

#[test]
fn damage_is_kept_and_marked() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    let writer = create(&path, 1024, "delete");
    fill(&writer, 200);
    drop(writer);
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    let pages = file.metadata().unwrap().len() / 1024;
    for page in 20..30.min(pages) {
        file.write_all_at(&[0xA5; 1024], page * 1024).unwrap();
    }
    drop(file);
    for check in [Check::Quick, Check::Integrity] {
        let options = SqliteOptions {
            check,
            ..SqliteOptions::default()
        };
        let captured =
            capture_with(&path, options, &Cancel::default(), 1 << 16, &mut || {}).unwrap();
        let Consistency::Suspect(message) = &captured.consistency else {
            panic!("{:?}", captured.consistency);
        };
        assert!(message.starts_with(check.name().unwrap()), "{message}");
        assert_ne!(captured.text("check.result"), "ok");
        assert!(captured.image == fs::read(&path).unwrap());
    }
    let options = SqliteOptions {
        check: Check::None,
        counts: Counts::Off,
        ..SqliteOptions::default()
    };
    let captured = capture_with(&path, options, &Cancel::default(), 1 << 16, &mut || {}).unwrap();
    assert_eq!(captured.consistency, Consistency::Consistent);
    assert!(!captured.facts.contains_key("check"));
}

#[test]
fn a_missing_collation_is_no_damage() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    let writer = create(&path, 4096, "wal");
    writer
        .execute_batch(
            "CREATE TABLE named(name TEXT); CREATE INDEX by_name ON named(name);
             INSERT INTO named VALUES ('a'), ('b');
             PRAGMA writable_schema = ON;
             UPDATE sqlite_schema SET sql = replace(sql, 'TEXT)', 'TEXT COLLATE theirs)')
             WHERE name = 'named';",
        )
        .unwrap();
    drop(writer);
    let captured = capture(&path).unwrap();
    assert_eq!(captured.consistency, Consistency::Consistent);
    let result = captured.text("check.result");
    assert!(result.starts_with("not possible"), "{result}");
}

#[test]
fn an_empty_file_is_an_empty_database() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("empty.db");
    fs::write(&path, b"").unwrap();
    let captured = capture(&path).unwrap();
    assert_eq!(captured.image, b"");
    assert_eq!(captured.entry.kind, EntryKind::File { size: 0 });
    assert_eq!(captured.consistency, Consistency::Consistent);
    assert_eq!(captured.integer("sqlite.page_count"), 0);
}

#[test]
fn cancelling_stops_reading_and_checking() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    fill(&create(&path, 512, "wal"), 2000);
    let cancel = Cancel::default();
    let result = capture_with(&path, SqliteOptions::default(), &cancel, 4096, &mut || {
        cancel.cancel();
    });
    assert!(matches!(result, Err(CaptureError::Interrupted(_))));

    // One buffer takes the whole image: the request comes just before the checks.
    let cancel = Cancel::default();
    let image_bytes = usize::try_from(fs::metadata(&path).unwrap().len()).unwrap();
    let result = capture_with(
        &path,
        SqliteOptions::default(),
        &cancel,
        2 * image_bytes,
        &mut || cancel.cancel(),
    );
    assert!(matches!(result, Err(CaptureError::Interrupted(_))));
    assert!(Connection::open(&path).is_ok());
}
