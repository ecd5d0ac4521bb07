//! A world of its own for the program: empty environment, temporary home, fixed zone and width.

use serde_json::Value;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// The passphrase of every test's repository: must appear nowhere.
pub const PASSPHRASE: &str = "never-shown-horse-battery";

/// What a run gave.
pub struct Finished {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    pub stdout_bytes: Vec<u8>,
}

impl Finished {
    /// Asserts the exit code; shows everything when it differs.
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(
            self.code, code,
            "stdout:\n{}\nstderr:\n{}",
            self.stdout, self.stderr
        );
        self
    }

    /// Standard output as JSON lines.
    pub fn objects(&self) -> Vec<Value> {
        let lines = self.stdout.lines();
        lines
            .map(|line| serde_json::from_str(line).expect("a JSON line"))
            .collect()
    }

    /// The last JSON line.
    pub fn summary(&self) -> Value {
        self.objects().pop().expect("a summary")
    }
}

/// A directory with a home, and the program.
pub struct TestEnvironment {
    directory: TempDir,
    variables: Vec<(String, String)>,
}

impl TestEnvironment {
    /// Without a repository.
    pub fn bare() -> Self {
        let directory = TempDir::new().unwrap();
        fs::create_dir(directory.path().join("home")).unwrap();
        Self {
            directory,
            variables: Vec::new(),
        }
    }

    /// With a repository that a passphrase from the environment opens.
    pub fn new() -> Self {
        let mut world = Self::bare();
        world.set("ICECORE_REPO", "repo");
        world.set("ICECORE_PASSPHRASE", PASSPHRASE);
        world.init(&[]).expect(0);
        world
    }

    /// `repo init` with a derivation that takes no time.
    pub fn init(&self, options: &[&str]) -> Finished {
        let cheap = ["repo", "init", "--kdf-memory", "8MiB", "--kdf-passes", "1"];
        self.run(&[&cheap, options].concat())
    }

    /// Sets a variable for the runs that follow.
    pub fn set(&mut self, name: &str, value: &str) {
        self.unset(name);
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// Takes one away.
    pub fn unset(&mut self, name: &str) {
        self.variables.retain(|(other, _)| other != name);
    }

    /// A path inside.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file and its parents.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// Permission bits of a file.
    pub fn mode(&self, name: &str) -> u32 {
        let metadata = fs::metadata(self.path(name)).unwrap();
        metadata.permissions().mode() & 0o7777
    }

    /// The program, ready to be started.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_icecore"));
        command
            .env_clear()
            .env("HOME", self.path("home"))
            .env("TZ", "UTC")
            .env("PATH", "/usr/bin:/bin")
            .envs(self.variables.iter().cloned())
            .current_dir(self.directory.path())
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    /// Runs the program.
    pub fn run(&self, arguments: &[&str]) -> Finished {
        finished(self.command(arguments).output().unwrap())
    }

    /// Runs it with standard input.
    pub fn run_with_input(&self, arguments: &[&str], input: &[u8]) -> Finished {
        let mut command = self.command(arguments);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        finished(child.wait_with_output().unwrap())
    }

    /// What changes from run to run, made equal: ids, this directory, times of day, sizes of
    /// what is stored.
    pub fn stable(&self, text: &str) -> String {
        let here = self.directory.path().display().to_string();
        let text = text.replace(&here, "HERE");
        let words = text.split_inclusive([' ', '\n']).map(|word| {
            let bare = word.trim_end().trim_end_matches([',', ')', ':', '.', ';']);
            let hexadecimal = bare.len() >= 8
                && bare
                    .chars()
                    .all(|c| c.is_ascii_hexdigit() && !c.is_ascii_uppercase());
            let clock = bare.len() == 8 && bare.matches(':').count() == 2;
            match (hexadecimal, clock) {
                (true, _) => word.replace(bare, "ID"),
                (_, true) => word.replace(bare, "TIME"),
                _ => word.to_owned(),
            }
        });
        words.collect()
    }

    /// A live SQLite database with rows.
    pub fn database(&self, name: &str, rows: u32) -> PathBuf {
        let path = self.path(name);
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection
            .execute_batch(&format!(
                "PRAGMA journal_mode=WAL; CREATE TABLE t(a, b);
                 INSERT INTO t WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n \
                 WHERE i<{rows}) SELECT i, hex(zeroblob(50)) FROM n;"
            ))
            .unwrap();
        path
    }
}

/// What a run left.
pub fn finished(output: std::process::Output) -> Finished {
    use std::os::unix::process::ExitStatusExt;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let signal = output.status.signal().map_or(-1, |signal| -signal);
    let finished = Finished {
        code: output.status.code().unwrap_or(signal),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
        stdout_bytes: output.stdout,
    };
    for shown in [&finished.stdout, &finished.stderr] {
        assert!(!shown.contains(PASSPHRASE), "a secret is shown:\n{shown}");
    }
    finished
}

/// All files below a directory with their content.
pub fn tree(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(tree(&path)),
            false => found.push((path.clone(), fs::read(&path).unwrap())),
        }
    }
    found.sort();
    found
}
