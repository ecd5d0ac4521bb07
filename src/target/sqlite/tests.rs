#![allow(clippy::unwrap_used, clippy::expect_used)]

use crate::entry::{Fact, Facts};
use crate::monitor::Cancel;
use crate::source::sqlite::tests::child::{Other, Role};
use crate::source::sqlite::tests::support::{assert_invariant, capture, create, fill, transfer};
use crate::source::sqlite::{Check, Occupant, companion};
use crate::target::sqlite::{ReplaceError, Replacement, ReplacementReport, replace_database};
use rusqlite::Connection;
use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A directory with a finished image of a database of 50 log rows, and its facts.
struct Restored {
    directory: TempDir,
    image: PathBuf,
    facts: Facts,
}

fn restored(journal_mode: &str) -> Restored {
    let origin = tempfile::tempdir().unwrap();
    let path = origin.path().join("origin.db");
    let writer = create(&path, 1024, journal_mode);
    fill(&writer, 50);
    let captured = capture(&path).unwrap();
    let directory = tempfile::tempdir().unwrap();
    // A name that a URI would have to escape.
    let image = directory.path().join("image #1?50%.tmp");
    fs::write(&image, &captured.image).unwrap();
    fs::set_permissions(&image, fs::Permissions::from_mode(0o600)).unwrap();
    Restored {
        directory,
        image,
        facts: captured.facts,
    }
}

impl Restored {
    fn target(&self) -> PathBuf {
        self.directory.path().join("app.db")
    }

    fn request<'a>(&'a self, target: &'a Path) -> Replacement<'a> {
        Replacement {
            image: &self.image,
            target,
            recorded: &self.facts,
            recorded_mode: Some(0o644),
            accept_damage: false,
            check: Check::Integrity,
        }
    }

    fn replace(&self) -> Result<ReplacementReport, ReplaceError> {
        replace_database(&self.request(&self.target()), &Cancel::default())
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// An old database whose last commits are only in its `-wal`, as after a crash: nobody has it
/// open. Returns its log rows.
fn crashed_database(target: &Path) -> i64 {
    let elsewhere = tempfile::tempdir().unwrap();
    let live = elsewhere.path().join("live.db");
    let writer = create(&live, 4096, "wal");
    fill(&writer, 7);
    for suffix in ["", "-wal", "-shm"] {
        fs::copy(companion(&live, suffix), companion(target, suffix)).unwrap();
    }
    7
}

#[test]
fn a_database_appears_where_none_was() {
    for journal_mode in ["wal", "delete"] {
        let restored = restored(journal_mode);
        let report = restored.replace().unwrap();
        assert!(report.proof.is_sound());
        assert_eq!(report.proof.tables_compared, 2);
        assert_eq!(report.proof.rows_compared, 53);
        assert!(!report.replaced && report.owner_kept);
        assert_eq!(mode(&restored.target()), 0o644);
        assert_eq!(restored.names(), ["app.db"]);
        assert_eq!(assert_invariant(&restored.target()), 50);
    }
}

#[test]
fn without_any_known_mode_only_the_owner_may_read() {
    let restored = restored("wal");
    let target = restored.target();
    let request = Replacement {
        recorded_mode: None,
        ..restored.request(&target)
    };
    assert_eq!(
        replace_database(&request, &Cancel::default()).unwrap().mode,
        0o600
    );
    assert_eq!(mode(&target), 0o600);
}

#[test]
fn stale_companions_go_and_the_mode_stays() {
    let restored = restored("wal");
    let target = restored.target();
    crashed_database(&target);
    fs::set_permissions(&target, fs::Permissions::from_mode(0o660)).unwrap();
    let report = restored.replace().unwrap();
    assert!(report.replaced);
    assert_eq!(report.mode, 0o660);
    assert_eq!(mode(&target), 0o660);
    assert_eq!(restored.names(), ["app.db"]);
    assert_eq!(assert_invariant(&target), 50);
}

#[test]
fn companions_without_a_database_are_not_adopted() {
    let restored = restored("wal");
    let target = restored.target();
    crashed_database(&target);
    fs::remove_file(&target).unwrap();
    let report = restored.replace().unwrap();
    assert_eq!(report.removed.len(), 2);
    assert_eq!(restored.names(), ["app.db"]);
    assert_eq!(assert_invariant(&target), 50);
}

#[test]
fn the_old_database_is_whole_by_itself_before_its_companions_go() {
    let restored = restored("wal");
    let target = restored.target();
    let rows = crashed_database(&target);
    drop(super::settle_and_lock(&target, &Cancel::default()).unwrap());
    let removed = super::remove_companions(&target).unwrap();
    assert!(
        !removed.contains(&companion(&target, "-wal")),
        "{removed:?}"
    );
    assert_eq!(assert_invariant(&target), rows);
}

#[test]
fn a_hot_journal_is_rolled_back_before_it_goes() {
    let restored = restored("wal");
    let target = restored.target();
    let elsewhere = tempfile::tempdir().unwrap();
    let live = elsewhere.path().join("live.db");
    let writer = create(&live, 1024, "delete");
    fill(&writer, 300);
    writer
        .execute_batch("PRAGMA cache_size = 5; BEGIN; UPDATE log SET filler = zeroblob(700)")
        .unwrap();
    for suffix in ["", "-journal"] {
        fs::copy(companion(&live, suffix), companion(&target, suffix)).unwrap();
    }
    drop(super::settle_and_lock(&target, &Cancel::default()).unwrap());
    super::remove_companions(&target).unwrap();
    assert_eq!(assert_invariant(&target), 300);
    let connection = Connection::open(&target).unwrap();
    let zeroed = "SELECT count(*) FROM log WHERE filler = zeroblob(700)";
    let zeroed: i64 = connection.query_row(zeroed, [], |row| row.get(0)).unwrap();
    assert_eq!(zeroed, 0);
    drop(connection);
    restored.replace().unwrap();
    assert_eq!(assert_invariant(&target), 50);
}

#[test]
fn what_is_no_database_any_more_is_replaced() {
    let restored = restored("wal");
    let target = restored.target();
    fs::write(&target, vec![0x5A; 9000]).unwrap();
    fs::write(companion(&target, "-wal"), vec![0x5A; 9000]).unwrap();
    restored.replace().unwrap();
    assert_eq!(restored.names(), ["app.db"]);
    assert_eq!(assert_invariant(&target), 50);
}

#[test]
fn a_database_in_use_is_not_replaced() {
    for (journal_mode, role) in [
        ("wal", Role::Idle),
        ("delete", Role::Idle),
        ("delete", Role::Locking),
    ] {
        let restored = restored("wal");
        let target = restored.target();
        transfer(&create(&target, 4096, journal_mode), 1).unwrap();
        let other = Other::start(role, &target);
        let error = restored.replace().unwrap_err();
        assert!(matches!(error, ReplaceError::InUse { .. }), "{error:?}");
        assert!(error.remedy().unwrap().contains("stop the programs"));
        assert!(restored.image.exists());
        other.stop();
        assert_eq!(assert_invariant(&target), 1);
        restored.replace().unwrap();
        assert_eq!(assert_invariant(&target), 50);
    }
}

#[test]
fn a_database_open_in_this_process_is_not_replaced() {
    let restored = restored("wal");
    let target = restored.target();
    drop(create(&target, 4096, "wal"));
    let source = crate::source::sqlite::open_for_tree(&target, &Cancel::default()).unwrap();
    let error = restored.replace().unwrap_err();
    assert!(matches!(
        error,
        ReplaceError::InUse {
            occupant: Occupant::ThisProcess,
            ..
        }
    ));
    drop(source);
    restored.replace().unwrap();
}

#[test]
fn a_damaged_image_leaves_the_old_database_untouched() {
    let restored = restored("wal");
    let target = restored.target();
    crashed_database(&target);
    let before = (
        fs::read(&target).unwrap(),
        fs::read(companion(&target, "-wal")).unwrap(),
    );
    let image = fs::OpenOptions::new()
        .write(true)
        .open(&restored.image)
        .unwrap();
    for page in 10..20 {
        image.write_all_at(&[0xA5; 1024], page * 1024).unwrap();
    }
    drop(image);
    let error = restored.replace().unwrap_err();
    let ReplaceError::Damaged { proof, .. } = &error else {
        panic!("{error:?}");
    };
    assert!(!proof.faults.is_empty());
    let after = (
        fs::read(&target).unwrap(),
        fs::read(companion(&target, "-wal")).unwrap(),
    );
    assert!(before == after);
    assert!(restored.image.exists());

    let request = Replacement {
        accept_damage: true,
        ..restored.request(&target)
    };
    let report = replace_database(&request, &Cancel::default()).unwrap();
    assert!(!report.proof.is_sound());
}

#[test]
fn what_differs_from_the_record_is_refused() {
    let refused = |restored: &Restored| {
        let error = restored.replace().unwrap_err();
        assert!(!restored.target().exists());
        match error {
            ReplaceError::Damaged { proof, .. } => proof.differences,
            other => panic!("{other:?}"),
        }
    };
    let mut fewer_rows = restored("delete");
    if let Some(Fact::Counts(tables)) = fewer_rows.facts.get_mut("tables") {
        tables.insert("log".into(), 51);
        tables.insert("lost".into(), 1);
    }
    assert_eq!(
        refused(&fewer_rows),
        [
            "table log had 51 rows, the image has 50",
            "table lost had 1 rows, the image cannot count it"
        ]
    );

    let longer = restored("delete");
    let mut bytes = fs::read(&longer.image).unwrap();
    bytes.extend([0; 1024]);
    fs::write(&longer.image, bytes).unwrap();
    assert!(refused(&longer)[0].starts_with("the header says"));

    let shorter = restored("delete");
    let bytes = fs::read(&shorter.image).unwrap();
    fs::write(&shorter.image, &bytes[..bytes.len() - 1024]).unwrap();
    assert!(matches!(
        shorter.replace(),
        Err(ReplaceError::Damaged { .. })
    ));
}

#[test]
fn an_empty_database_is_restored_empty() {
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("image");
    fs::write(&image, b"").unwrap();
    let facts = capture(&image).unwrap().facts;
    let target = directory.path().join("app.db");
    let request = Replacement {
        image: &image,
        target: &target,
        recorded: &facts,
        recorded_mode: None,
        accept_damage: false,
        check: Check::Integrity,
    };
    replace_database(&request, &Cancel::default()).unwrap();
    assert_eq!(fs::read(&target).unwrap(), b"");
}

#[test]
fn links_directories_and_distant_images_are_refused() {
    let restored = restored("wal");
    let directory = restored.directory.path();
    let link = directory.join("link.db");
    std::os::unix::fs::symlink("/nonexistent", &link).unwrap();
    for target in [link, directory.join("missing/../")] {
        let result = replace_database(&restored.request(&target), &Cancel::default());
        assert!(result.is_err(), "{target:?}");
    }
    let elsewhere = tempfile::tempdir().unwrap();
    let target = elsewhere.path().join("app.db");
    assert!(matches!(
        replace_database(&restored.request(&target), &Cancel::default()),
        Err(ReplaceError::Elsewhere { .. })
    ));
}
