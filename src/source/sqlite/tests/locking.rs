use crate::source::sqlite::tests::child::{Other, Role};
use crate::source::sqlite::tests::support::create;
use crate::source::sqlite::{
    Claim, ExclusiveFile, Occupant, is_companion, is_database, lock_probe,
};
use rusqlite::Connection;
use std::fs;
use std::io::ErrorKind;

fn locked_by(other: &Other) -> Occupant {
    Occupant::Locked {
        process: Some(other.id()),
    }
}

#[test]
fn the_probe_sees_who_has_the_database_open() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("wal.db");
    drop(create(&path, 4096, "wal"));
    assert_eq!(lock_probe(&path).unwrap(), None);
    let idle = Other::start(Role::Idle, &path);
    assert_eq!(lock_probe(&path).unwrap(), Some(locked_by(&idle)));
    idle.stop();
    assert_eq!(lock_probe(&path).unwrap(), None);

    let path = directory.path().join("rollback.db");
    drop(create(&path, 4096, "delete"));
    let locking = Other::start(Role::Locking, &path);
    assert_eq!(lock_probe(&path).unwrap(), Some(locked_by(&locking)));
    locking.stop();
    let idle = Other::start(Role::Idle, &path);
    let process = Occupant::Process(idle.id());
    assert_eq!(lock_probe(&path).unwrap(), Some(process));
    idle.stop();

    let claim = Claim::connection(&path).unwrap();
    assert_eq!(lock_probe(&path).unwrap(), Some(Occupant::ThisProcess));
    drop(claim);
    assert_eq!(lock_probe(&path).unwrap(), None);
}

#[test]
fn the_exclusive_lock_keeps_other_processes_out() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    drop(create(&path, 4096, "wal"));
    let before = fs::metadata(&path).unwrap().modified().unwrap();
    let lock = ExclusiveFile::acquire(&path).unwrap().unwrap();
    assert_eq!(
        Claim::connection(&path).unwrap_err().kind(),
        ErrorKind::ResourceBusy
    );
    let reading = Other::start(Role::Reading, &path);
    assert!(reading.said.contains("DatabaseBusy"), "{}", reading.said);
    reading.stop();
    drop(lock);
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), before);
    drop(Claim::connection(&path).unwrap());
}

#[test]
fn looking_at_a_header_keeps_the_locks_of_this_process() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    let connection = create(&path, 4096, "delete");
    connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    let claim = Claim::connection(&path).unwrap();
    assert!(is_database(&path).unwrap());
    // Were a descriptor closed, another process could now lock the file.
    let linked = directory.path().join("linked.db");
    fs::hard_link(&path, &linked).unwrap();
    assert!(is_database(&linked).unwrap());
    let probe = std::process::Command::new("/proc/self/exe")
        .args([
            "--exact",
            "source::sqlite::tests::locking::probe_in_another_process",
        ])
        .env("ICECORE_TEST_PROBE", &path)
        .status()
        .unwrap();
    assert!(probe.success());
    drop(claim);
}

/// Not a test by itself: the second half of the one above.
#[test]
fn probe_in_another_process() {
    if let Some(path) = std::env::var_os("ICECORE_TEST_PROBE") {
        let occupant = lock_probe(path.as_ref()).unwrap();
        assert!(
            matches!(occupant, Some(Occupant::Locked { .. })),
            "{occupant:?}"
        );
    }
}

#[test]
fn companions_belong_to_a_database_beside_them() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    drop(Connection::open(at("unused")).unwrap());
    let _open = create(&at("app.db"), 4096, "wal");
    fs::write(at("notes-wal"), b"the wal of notes").unwrap();
    fs::write(at("notes"), vec![7; 4096]).unwrap();
    assert!(is_companion(&at("app.db-wal")));
    assert!(is_companion(&at("app.db-shm")));
    assert!(is_companion(&at("app.db-journal")));
    assert!(!is_companion(&at("app.db")));
    assert!(!is_companion(&at("notes-wal")));
    assert!(!is_companion(&at("missing-wal")));
}
