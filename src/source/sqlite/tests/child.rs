//! Other processes that use a database: this very test program, started again. POSIX locks are a
//! matter between processes, threads cannot stand in for them.

use crate::source::sqlite::tests::support::{capture, refusal, transfer};
use rusqlite::Connection;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const ROLE: &str = "ICECORE_TEST_CHILD_ROLE";
const DATABASE: &str = "ICECORE_TEST_CHILD_DATABASE";
const MARK: &str = "child says: ";

/// Number of the user nobody.
const NOBODY: u32 = 65_534;

/// What another process does with the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Has it open and does nothing.
    Idle,
    /// Is in the middle of a write transaction.
    Locking,
    /// Commits transfers as fast as it can.
    Writing,
    /// Tries to read it, without patience, and says what happened.
    Reading,
    /// Tries to capture it and says how that was refused; without the rights of root.
    Refused,
}

/// A process in its role. Ends when dropped.
pub(crate) struct Other {
    child: Child,
    /// What it said when it was ready.
    pub(crate) said: String,
}

impl Other {
    pub(crate) fn start(role: Role, database: &Path) -> Self {
        // Through /proc so that a user without access to the build directory can run it too.
        let mut command = Command::new("/proc/self/exe");
        if role == Role::Refused && rustix::process::geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        let mut child = command
            .args(["--exact", "source::sqlite::tests::child::run_role"])
            .args(["--nocapture", "--test-threads=1"])
            .env(ROLE, format!("{role:?}"))
            .env(DATABASE, database)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let said = lines
            .find_map(|line| Some(line.unwrap().split_once(MARK)?.1.to_owned()))
            .expect("the child was ready");
        // The pipe stays open: the test runner in the child prints its summary into it.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, said }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn stop(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        drop(self.child.wait());
    }
}

fn say(text: &str) {
    let mut out = std::io::stdout();
    writeln!(out, "\n{MARK}{text}").unwrap();
    out.flush().unwrap();
}

fn wait_for_parent() {
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

/// Not a test by itself: what [`Other::start`] runs.
#[test]
fn run_role() {
    let (Some(role), Some(database)) = (std::env::var_os(ROLE), std::env::var_os(DATABASE)) else {
        return;
    };
    let database = Path::new(&database);
    match role.to_str().unwrap() {
        "Refused" => {
            let (message, remedy) = refusal(capture(database));
            say(&format!("{message} | {remedy}"));
        }
        "Reading" => {
            let connection = connect(database);
            connection.busy_timeout(Duration::ZERO).unwrap();
            let query = "SELECT count(*) FROM ledger";
            let result = connection.query_row(query, [], |row| row.get::<_, i64>(0));
            say(&format!("{result:?}"));
        }
        "Writing" => write(&connect(database)),
        "Locking" => {
            let connection = connect(database);
            connection.execute_batch("BEGIN IMMEDIATE").unwrap();
            say("locked");
            wait_for_parent();
        }
        _ => {
            let connection = connect(database);
            connection
                .query_row("SELECT count(*) FROM ledger", [], |_| Ok(()))
                .unwrap();
            say("idle");
            wait_for_parent();
        }
    }
}

fn connect(database: &Path) -> Connection {
    let connection = Connection::open(database).unwrap();
    connection.busy_timeout(Duration::from_secs(20)).unwrap();
    connection
}

fn write(connection: &Connection) {
    connection
        .execute_batch("PRAGMA synchronous = OFF; PRAGMA wal_autocheckpoint = 50")
        .unwrap();
    let stopped = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&stopped);
    std::thread::spawn(move || {
        wait_for_parent();
        stop.store(true, Ordering::Relaxed);
    });
    for round in 0.. {
        transfer(connection, round).unwrap();
        if round == 20 {
            say("writing");
        }
        if round % 500 == 499 {
            // Waits for whoever reads: beside a reader that is held up the log has no bound, and
            // one that is too long is read in another way.
            connection
                .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
                .unwrap();
        }
        if stopped.load(Ordering::Relaxed) {
            break;
        }
    }
}
