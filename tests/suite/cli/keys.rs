//! Passphrases, keys, kits: what they open, and that they show nowhere.

use super::TestEnvironment;
use super::environment::{PASSPHRASE, tree};
use std::fs;
use std::os::unix::fs::PermissionsExt;

const CHEAP: [&str; 4] = ["--kdf-memory", "8MiB", "--kdf-passes", "1"];

#[test]
fn the_kit_says_everything_but_the_secret() {
    let world = TestEnvironment::new();
    let kit = tree(&world.path(""))
        .into_iter()
        .find(|(path, _)| path.to_string_lossy().contains("recovery-kit-"));
    let (path, content) = kit.unwrap();
    let text = String::from_utf8(content).unwrap();
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let id = world.run(&["info", "--json"]).summary()["repository_id"].clone();
    for part in [
        id.as_str().unwrap(),
        "xchacha20-poly1305",
        "opened with a passphrase",
        "icecore restore",
    ] {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
    assert!(!text.contains(PASSPHRASE));
    world.run(&["key", "export", "--kit", "kit2"]).expect(0);
    world.run(&["key", "export", "--kit", "kit2"]).expect(1);
    world.run(&["key", "export", "--kit", "repo/kit"]).expect(2);
}

#[test]
fn a_key_file_is_made_and_opens() {
    let mut world = TestEnvironment::new();
    world.run(&["key", "generate", "key"]).expect(0);
    assert_eq!(world.mode("key"), 0o600);
    let text = fs::read_to_string(world.path("key")).unwrap();
    assert!(
        text.starts_with("icecore-key-1:") && text.len() == 14 + 64 + 1,
        "{text}"
    );
    world.run(&["key", "generate", "key"]).expect(1);
    world.run(&["key", "generate", "repo/key"]).expect(2);
    world
        .run(&["key", "add", "--label", "host", "--new-key-file", "key"])
        .expect(0);
    world.unset("ICECORE_PASSPHRASE");
    let opened = world.run(&["key", "test", "--key-file", "key"]).expect(0);
    assert!(opened.stdout.contains("as host"), "{}", opened.stdout);
    world
        .run(&["key", "test", "--passphrase-command", "cat key"])
        .expect(0);
    fs::copy(world.path("key"), world.path("repo/key")).unwrap();
    world
        .run(&["key", "test", "--key-file", "repo/key"])
        .expect(2);
    fs::set_permissions(world.path("key"), fs::Permissions::from_mode(0o640)).unwrap();
    let exposed = world.run(&["key", "test", "--key-file", "key"]).expect(12);
    assert!(
        exposed.stderr.contains("chmod 600 key"),
        "{}",
        exposed.stderr
    );
}

#[test]
fn every_source_of_a_passphrase_opens() {
    let mut world = TestEnvironment::new();
    world.unset("ICECORE_PASSPHRASE");
    world.write("pass", format!("{PASSPHRASE}\n"));
    fs::set_permissions(world.path("pass"), fs::Permissions::from_mode(0o600)).unwrap();
    world
        .run(&["key", "test", "--passphrase-file", "pass"])
        .expect(0);
    world
        .run(&["key", "test", "--passphrase-command", "cat 'pass'"])
        .expect(0);
    let input = format!("{PASSPHRASE}\n");
    let from_input = ["key", "test", "--passphrase-fd", "0"];
    world
        .run_with_input(&from_input, input.as_bytes())
        .expect(0);
    world.set("ICECORE_PASSPHRASE_FILE", "pass");
    world.run(&["key", "test"]).expect(0);
    fs::set_permissions(world.path("pass"), fs::Permissions::from_mode(0o644)).unwrap();
    let warned = world.run(&["key", "test"]).expect(0);
    assert!(warned.stderr.contains("chmod 600"), "{}", warned.stderr);
    world.unset("ICECORE_PASSPHRASE_FILE");
    world.set("ICECORE_PASSPHRASE_COMMAND", "cat pass");
    world.run(&["key", "test"]).expect(0);
}

#[test]
fn a_changed_passphrase_replaces_the_old_one() {
    let mut world = TestEnvironment::new();
    world.set("ICECORE_NEW_PASSPHRASE", "quite-another-one");
    world
        .run(&[&["key", "passwd"][..], &CHEAP].concat())
        .expect(0);
    world.unset("ICECORE_NEW_PASSPHRASE");
    world.run(&["key", "test"]).expect(12);
    world.set("ICECORE_PASSPHRASE", "quite-another-one");
    world.run(&["key", "test"]).expect(0);
}

#[test]
fn an_erasable_domain_has_its_own_key() {
    let mut world = TestEnvironment::new();
    world.run(&["key", "generate", "key"]).expect(0);
    let create = [
        "domain",
        "create",
        "people",
        "--erasable",
        "--new-key-file",
        "key",
    ];
    world.run(&create).expect(0);
    world.write("data/a", "1");
    world
        .run(&["snapshot", "data", "--domain", "people"])
        .expect(2);
    world.run(&["domain", "destroy", "people"]).expect(2);
    world
        .run(&["domain", "destroy", "people", "--dry-run"])
        .expect(0);
    world
        .run(&["domain", "destroy", "main", "--yes"])
        .expect(11);
    world
        .run(&["domain", "destroy", "people", "--yes"])
        .expect(0);
    world.unset("ICECORE_PASSPHRASE");
    world.run(&["key", "test", "--key-file", "key"]).expect(12);
}

#[test]
fn the_log_has_times_and_no_secrets() {
    let world = TestEnvironment::new();
    world.write("data/a", "1");
    world
        .run(&["snapshot", "data", "--log-file", "log.jsonl"])
        .expect(0);
    world
        .run(&["snapshot", "missing", "--log-file", "log.jsonl"])
        .expect(1);
    world.run(&["snapshots", "--log-file", "log.txt"]).expect(0);
    let log = fs::read_to_string(world.path("log.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(
        lines
            .iter()
            .all(|line| line["time"].as_str().unwrap().ends_with('Z'))
    );
    let errors: Vec<_> = lines
        .iter()
        .filter(|line| line["level"] == "error")
        .collect();
    assert_eq!(errors.len(), 1);
    assert_eq!(lines.last().unwrap()["exit_code"], 1);
    assert!(!log.contains(PASSPHRASE));
    let text = fs::read_to_string(world.path("log.txt")).unwrap();
    assert!(
        text.lines()
            .all(|line| line.contains("T") && line.contains("Z ")),
        "{text}"
    );
    assert_eq!(world.mode("log.txt"), 0o600);
}

#[test]
fn the_repository_is_for_its_owner_only() {
    let world = TestEnvironment::new();
    assert_eq!(world.mode("repo"), 0o700);
    for (path, content) in tree(&world.path("repo")) {
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}", path.display());
        let found = content
            .windows(PASSPHRASE.len())
            .any(|window| window == PASSPHRASE.as_bytes());
        assert!(!found);
    }
}

#[test]
fn keys_that_were_put_back_are_noticed() {
    let world = TestEnvironment::new();
    world.write("data/a", "1");
    world.run(&["snapshot", "data"]).expect(0);
    world.run(&["domain", "create", "other"]).expect(0);
    let mut statements = tree(&world.path("repo/keys/statements"));
    let (newest, _) = statements.pop().unwrap();
    fs::remove_file(newest).unwrap();
    let listed = world.run(&["snapshots"]).expect(0);
    assert!(listed.stderr.contains("2 was seen"), "{}", listed.stderr);
    world
        .run(&["restore", "latest", "--target", "out"])
        .expect(0);
    let before = tree(&world.path("repo"));
    for command in [
        &["snapshot", "data"][..],
        &["forget", "latest", "--force"],
        &["hold", "add", "latest"],
        &["prune"],
        &["domain", "create", "third"],
    ] {
        let refused = world.run(command).expect(11);
        assert!(refused.stderr.contains("cache clear"), "{}", refused.stderr);
    }
    assert!(tree(&world.path("repo")) == before);
    world.run(&["cache", "clear"]).expect(0);
    world.run(&["snapshot", "data"]).expect(0);
}

/// An empty home with the kit and the repository restores: by the kit's own lines.
#[test]
fn the_kit_and_the_repository_are_enough() {
    let mut world = TestEnvironment::bare();
    world.set("ICECORE_REPO", "repo");
    world.run(&["key", "generate", "key"]).expect(0);
    world.init(&["--key-file", "key", "--kit", "kit"]).expect(0);
    let database = world.database("app.db", 100);
    let snapshot = ["snapshot", "app.db", "--key-file", "key"];
    world.run(&snapshot).expect(0);
    let kit = fs::read_to_string(world.path("kit")).unwrap();

    // Another machine: nothing but the repository, the kit and the key.
    fs::remove_file(database).unwrap();
    fs::remove_dir_all(world.path("home")).unwrap();
    fs::create_dir(world.path("home")).unwrap();
    world.unset("ICECORE_REPO");
    let commands: Vec<&str> = kit
        .lines()
        .filter_map(|line| line.split_once(": ")?.1.trim().strip_prefix("icecore "))
        .collect();
    assert!(commands.len() >= 4, "{kit}");
    let mut ran = 0;
    for command in commands {
        let command = command.replace("--source NAME", "--source sqlite:app.db");
        let command = command.replace("KEY", "key").replace("DIRECTORY", "back");
        let words: Vec<&str> = command.split_whitespace().collect();
        let words: Vec<&str> = words.iter().map(|word| word.trim_matches('\'')).collect();
        world.run(&words).expect(0);
        ran += usize::from(words[0] == "restore");
    }
    assert_eq!(ran, 1, "{kit}");
    let back = world.path("back");
    let restored = match back.is_dir() {
        true => back.join("app.db"),
        false => back,
    };
    let rows: u32 = rusqlite::Connection::open(restored)
        .unwrap()
        .query_row("SELECT count(*) FROM t", [], |row| row.get(0))
        .unwrap();
    assert_eq!(rows, 100);
}
