//! What there is to be saved: databases, files of variables, what compose files start.

use crate::source::sqlite;
use std::path::{Path, PathBuf};

/// Most entries that are looked at.
const ENTRIES_MAX: usize = 100_000;

/// Most levels of directories.
const DEPTH_MAX: usize = 6;

/// Directories that hold nothing of one's own, and why they can be left out.
pub const REBUILT: [(&str, &str); 7] = [
    ("node_modules", "npm ci"),
    (".next", "next build"),
    ("__pycache__", "python writes it anew"),
    (".venv", "pip install"),
    ("target", "cargo build"),
    (".git", "the remote has it"),
    ("dist", "the build writes it anew"),
];

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// SQLite databases.
    pub databases: Vec<PathBuf>,
    /// Files of variables.
    pub secrets: Vec<PathBuf>,
    /// Compose files, with the images of databases they start.
    pub compose: Vec<(PathBuf, Vec<String>)>,
    /// Names of [`REBUILT`] that are there.
    pub rebuilt: Vec<&'static str>,
}

/// Looks through a directory. What cannot be read is passed by.
pub fn find(directory: &Path) -> Found {
    let mut found = Found::default();
    let mut left = ENTRIES_MAX;
    walk(directory, DEPTH_MAX, &mut left, &mut found);
    found.databases.sort();
    found.secrets.sort();
    found.compose.sort();
    found.rebuilt.sort_unstable();
    found.rebuilt.dedup();
    found
}

fn walk(directory: &Path, depth: usize, left: &mut usize, found: &mut Found) {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return;
    };
    for entry in entries.flatten() {
        let Some(fewer) = left.checked_sub(1) else {
            return;
        };
        *left = fewer;
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        if kind.is_dir() {
            let rebuilt = REBUILT.iter().find(|(own, _)| *own == name);
            match rebuilt {
                Some((own, _)) => found.rebuilt.push(own),
                None if depth > 0 => walk(&path, depth - 1, left, found),
                None => {}
            }
        } else if kind.is_file() {
            look(&path, &name, found);
        }
    }
}

fn look(path: &Path, name: &str, found: &mut Found) {
    let is_compose = ["docker-compose", "compose"].iter().any(|stem| {
        let end = name.strip_prefix(stem);
        end.is_some_and(|end| end.ends_with(".yml") || end.ends_with(".yaml"))
    });
    if name == ".env" || (name.starts_with(".env.") && !name.ends_with(".example")) {
        found.secrets.push(path.to_owned());
    } else if is_compose {
        found.compose.push((path.to_owned(), images(path)));
    } else if matches!(sqlite::is_database(path), Ok(true)) {
        found.databases.push(path.to_owned());
    }
}

/// The images of databases that a compose file names.
fn images(path: &Path) -> Vec<String> {
    const ENGINES: [&str; 5] = [
        "postgres",
        "redis",
        "valkey",
        "prom/prometheus",
        "timescale",
    ];
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines = text.lines().filter_map(|line| {
        let image = line.trim().strip_prefix("image:")?;
        let image = image.trim().trim_matches(['"', '\'']);
        let is_engine = ENGINES.iter().any(|engine| image.contains(engine));
        is_engine.then(|| image.to_owned())
    });
    lines.take(50).collect()
}
