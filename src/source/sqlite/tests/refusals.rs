use crate::entry::{Entry, EntryKind, Metadata};
use crate::monitor::Cancel;
use crate::source::sqlite::open_for_tree;
use crate::source::sqlite::tests::child::{Other, Role};
use crate::source::sqlite::tests::support::{capture, create, fill, read_all, refusal, transfer};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn some_entry() -> Entry {
    Entry {
        name: b"x".to_vec(),
        kind: EntryKind::Fifo,
        metadata: Metadata::default(),
    }
}

#[test]
fn nothing_is_created_and_nothing_else_is_captured() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing.db");
    let (message, _) = refusal(capture(&missing));
    assert!(message.contains("missing.db"), "{message}");
    assert!(!missing.exists());

    let (message, _) = refusal(capture(directory.path()));
    assert!(message.contains("not a regular file"), "{message}");

    let text = directory.path().join("text.db");
    fs::write(&text, "no database at all ".repeat(300)).unwrap();
    let (message, remedy) = refusal(capture(&text));
    assert!(message.contains("not a database"), "{message}");
    assert!(remedy.contains("encrypted"), "{remedy}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn a_symbolic_link_leads_to_the_database() {
    let directory = tempfile::tempdir().unwrap();
    let real = directory.path().join("real.db");
    let writer = create(&real, 4096, "wal");
    transfer(&writer, 3).unwrap();
    let link = directory.path().join("link.db");
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let captured = capture(&link).unwrap();
    assert_eq!(captured.entry.name, b"link.db");
    assert_eq!(captured.rows("log"), Some(1));
}

#[test]
fn a_wal_database_that_cannot_have_an_index_is_refused_with_a_remedy() {
    let directory = tempfile::tempdir().unwrap();
    let inside = directory.path().join("data");
    fs::create_dir(&inside).unwrap();
    let path = inside.join("app.db");
    drop(create(&path, 4096, "wal"));
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(directory.path(), 0o755);
    mode(&path, 0o644);
    mode(&inside, 0o555);
    let refused = Other::start(Role::Refused, &path);
    assert!(refused.said.contains("-shm"), "{}", refused.said);
    drop(refused);
    mode(&inside, 0o755);
    assert_eq!(fs::read_dir(&inside).unwrap().count(), 1);
}

#[test]
fn a_hot_journal_is_not_rolled_back_by_a_backup() {
    let directory = tempfile::tempdir().unwrap();
    let live = directory.path().join("live.db");
    let crashed = directory.path().join("crashed.db");
    let writer = create(&live, 1024, "delete");
    fill(&writer, 300);
    writer
        .execute_batch("PRAGMA cache_size = 5; BEGIN; UPDATE log SET filler = zeroblob(700)")
        .unwrap();
    fs::copy(&live, &crashed).unwrap();
    let journal = directory.path().join("crashed.db-journal");
    fs::copy(directory.path().join("live.db-journal"), &journal).unwrap();
    let before = (fs::read(&crashed).unwrap(), fs::read(&journal).unwrap());
    let (_, remedy) = refusal(capture(&crashed));
    assert!(remedy.contains("journal must be rolled back"), "{remedy}");
    assert!(before == (fs::read(&crashed).unwrap(), fs::read(&journal).unwrap()));
}

#[test]
fn trees_recognise_live_databases_only() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let cancel = Cancel::default();
    fs::write(at("text"), vec![b'x'; 4096]).unwrap();
    fs::write(at("short"), b"SQLite format 3\0").unwrap();
    fs::write(at("empty"), b"").unwrap();
    let mut garbage = b"SQLite format 3\0".to_vec();
    garbage.resize(4096, 0xFF);
    fs::write(at("garbage"), garbage).unwrap();
    for name in ["text", "short", "empty", "garbage", "missing"] {
        assert!(
            open_for_tree(&at(name), &cancel).unwrap().is_none(),
            "{name}"
        );
    }

    let writer = create(&at("app.db"), 4096, "wal");
    fill(&writer, 30);
    let content = open_for_tree(&at("app.db"), &cancel).unwrap().unwrap();
    let captured = read_all(content, some_entry(), 1 << 16, &mut || {}).unwrap();
    assert_eq!(captured.entry.name, b"app.db");
    assert_eq!(captured.rows("log"), Some(30));
    drop(writer);
    assert!(captured.image == fs::read(at("app.db")).unwrap());
}
