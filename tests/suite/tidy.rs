//! House rules as a test: the layers of ARCHITECTURE.md, and what no review should have to find.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Layers, lowest first. A module may name modules of lower layers, and those of its own layer
/// that are listed behind it in `SAME_LAYER`.
const LAYERS: &[&[&str]] = &[
    &[
        "entry", "env", "event", "explain", "id", "limits", "monitor", "planted", "units",
    ],
    &[
        "chunker",
        "codec",
        "config",
        "cost",
        "crypto",
        "delta",
        "format",
        "metrics",
        "notice",
        "report",
        "retention",
        "schedule",
        "selector",
        "stats",
        "status",
    ],
    &["claim", "notify", "source", "spill", "store", "target"],
    &["repository"],
    &["tree"],
    &[
        "archiver", "check", "compare", "copy", "diff", "forget", "mirror", "mount", "prune",
        "restorer",
    ],
    &["cli"],
];

/// Neighbours that may be named, one way only.
const SAME_LAYER: &[(&str, &str)] = &[
    ("entry", "env"),
    ("event", "env"),
    ("event", "id"),
    ("units", "env"),
    ("codec", "format"),
    ("format", "crypto"),
    ("retention", "selector"),
    ("config", "retention"),
    ("status", "selector"),
    ("report", "retention"),
    ("report", "stats"),
    ("report", "status"),
    ("config", "schedule"),
    ("config", "cost"),
    ("cost", "retention"),
    ("notice", "config"),
    ("notice", "status"),
    ("store", "claim"),
    // A database is proven and locked by what captures it.
    ("target", "source"),
    // A prune that forgets and a forget that prunes share the plan of what is hidden.
    ("prune", "forget"),
];

/// Calls that belong to one place only, and the files that may make them.
const BANNED: &[(&str, &[&str])] = &[
    ("SystemTime::now(", &["src/env.rs"]),
    ("thread_rng", &[]),
    ("to_ne_bytes", &[]),
    ("usize::to_le_bytes", &[]),
    ("println!(", &["src/cli/"]),
    ("eprintln!(", &["src/cli/"]),
    ("dbg!(", &[]),
    ("todo!(", &[]),
    ("unimplemented!(", &[]),
    ("super::super", &[]),
    ("env::var", &["src/cli/"]),
];

const LINES_MAX: usize = 600;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries.map(|entry| entry.expect("a directory entry")) {
        let path = entry.path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Every source file: its path from the root, and its text.
fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    files(&root().join("src"), &mut found);
    found.sort();
    let relative = |path: &Path| {
        let path = path.strip_prefix(root()).expect("below the root");
        path.to_str().expect("a UTF-8 name").to_owned()
    };
    found
        .iter()
        .map(|path| {
            (
                relative(path),
                fs::read_to_string(path).expect("a source file"),
            )
        })
        .collect()
}

fn is_test(path: &str) -> bool {
    path.contains("/tests") || path.contains("_tests.rs") || path.contains("/testing")
}

/// The part of a file before its own tests.
fn production(text: &str) -> &str {
    let end = text.find("#[cfg(test)]\nmod tests {");
    &text[..end.unwrap_or(text.len())]
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// Top-level modules that a text names through `crate::`.
fn named(text: &str) -> BTreeSet<String> {
    let code = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let mut modules = BTreeSet::new();
    for line in code {
        for rest in line.split("crate::").skip(1) {
            let word: String = rest
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                .collect();
            modules.insert(word);
        }
    }
    modules
}

#[test]
fn dependencies_point_down() {
    let mut faults = Vec::new();
    for (path, text) in sources().iter().filter(|(path, _)| !is_test(path)) {
        let module = path.trim_start_matches("src/").split(['/', '.']).next();
        let module = module.expect("a module");
        if matches!(module, "lib" | "main") {
            continue;
        }
        let Some(own) = layer(module) else {
            faults.push(format!("{path}: module {module} is in no layer"));
            continue;
        };
        for other in named(production(text)) {
            let Some(theirs) = layer(&other) else {
                continue;
            };
            let neighbour = SAME_LAYER.contains(&(module, other.as_str()));
            let allowed = other == module || theirs < own || theirs == own && neighbour;
            if !allowed {
                faults.push(format!("{path} names {other}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_neighbour_rule_is_needed_and_one_way() {
    for (from, to) in SAME_LAYER {
        assert_eq!(layer(from), layer(to), "{from} and {to}");
        assert!(
            !SAME_LAYER.contains(&(to, from)),
            "{from} and {to} form a circle"
        );
    }
}

#[test]
fn banned_calls_stay_where_they_belong() {
    let mut faults = Vec::new();
    for (path, text) in sources().iter().filter(|(path, _)| !is_test(path)) {
        for (number, line) in production(text).lines().enumerate() {
            if line.trim_start().starts_with("//") {
                continue;
            }
            for (call, homes) in BANNED {
                let at_home = homes.iter().any(|home| path.starts_with(home));
                if line.contains(call) && !at_home {
                    faults.push(format!("{path}:{}: {call}", number + 1));
                }
            }
            if line.trim_start().starts_with("use ") && line.trim_end().ends_with("::*;") {
                faults.push(format!("{path}:{}: a glob import", number + 1));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn files_stay_one_room() {
    let long: Vec<String> = sources()
        .iter()
        .filter(|(path, text)| !is_test(path) && production(text).lines().count() > LINES_MAX)
        .map(|(path, text)| format!("{path}: {} lines", production(text).lines().count()))
        .collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn modules_say_what_they_own() {
    let silent: Vec<String> = sources()
        .into_iter()
        .filter(|(path, _)| !is_test(path) && path != "src/lib.rs")
        .filter(|(_, text)| !text.starts_with("//!"))
        .map(|(path, _)| path)
        .collect();
    assert!(silent.is_empty(), "{}", silent.join("\n"));
}

#[test]
fn no_test_file_is_forgotten() {
    let suite = root().join("tests/suite");
    let main = fs::read_to_string(suite.join("main.rs")).expect("tests/suite/main.rs");
    for entry in fs::read_dir(&suite).expect("tests/suite") {
        let path = entry.expect("a directory entry").path();
        let name = path
            .file_stem()
            .and_then(|name| name.to_str())
            .expect("a name");
        if name != "main" {
            assert!(
                main.contains(&format!("mod {name};")),
                "{name} is not in main.rs"
            );
        }
    }
}

#[test]
fn no_machine_is_named() {
    let mut faults = Vec::new();
    for (path, text) in sources() {
        for word in ["work", "root", "farm"].map(|name| format!("/{name}/")) {
            if text.contains(&word) && path != "tests/suite/tidy.rs" {
                faults.push(format!("{path}: {word}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
