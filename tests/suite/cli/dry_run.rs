//! `-n`: says what would be done, fails where that would fail, and changes nothing.

use super::TestEnvironment;
use super::environment::tree;
use std::path::PathBuf;

/// Everything but the local cache, which every command may bring up to date.
fn files(world: &TestEnvironment) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = tree(&world.path(""));
    files.retain(|(path, _)| !path.starts_with(world.path("home/.cache")));
    files
}

/// Two snapshots, one forgotten and one held; a second credential; an erasable domain.
fn world() -> TestEnvironment {
    let world = TestEnvironment::new();
    for key in ["key", "people", "spare"] {
        world.run(&["key", "generate", key]).expect(0);
    }
    world
        .run(&["key", "add", "--label", "second", "--new-key-file", "key"])
        .expect(0);
    let erasable = ["domain", "create", "people", "--erasable"];
    world
        .run(&[&erasable[..], &["--new-key-file", "people"]].concat())
        .expect(0);
    for content in ["1", "2", "3"] {
        world.write("data/a", content);
        world.run(&["snapshot", "data"]).expect(0);
    }
    world.run(&["hold", "add", "latest"]).expect(0);
    world.run(&["forget", "latest~2"]).expect(0);
    let init = ["init", "-r", "nas", "--like", "repo", "--kit", "kit-nas"];
    world
        .run(&[&init[..], &["--kdf-memory", "8MiB"]].concat())
        .expect(0);
    world
}

#[test]
fn nothing_is_changed() {
    let world = world();
    let before = files(&world);
    let listed = world.run(&["snapshots", "--json"]).expect(0);
    let latest = listed.objects()[1]["id"].as_str().map(str::to_owned);
    let latest = latest.expect("an id of the newest snapshot");
    let new_key = ["--new-key-file", "spare", "-n"];
    let commands: [(&[&str], &str); 20] = [
        (&["copy", "--to", "nas", "-n"], "would copy 2"),
        (&["mirror", "--to", "new", "-n"], "would copy"),
        (&["init", "-r", "new", "--like", "repo", "-n"], "a sibling"),
        (&["init", "-r", "new", "-n"], "would create a repository"),
        (&["key", "add", "--label", "third"], "would add third"),
        (&["key", "passwd"], "would replace slot"),
        (
            &["key", "remove", "second", "--revoke", "-n"],
            "and revoke it",
        ),
        (&["key", "generate", "new", "-n"], "would write a new key"),
        (
            &["key", "export", "--kit", "new", "-n"],
            "would write the recovery kit",
        ),
        (&["domain", "create", "more", "-n"], "would create domain"),
        (&["domain", "create", "x", "--erasable"], "would create"),
        (&["domain", "destroy", "people", "-n"], "would destroy"),
        (&["hold", "add", &latest, "-n"], "would hold"),
        (&["hold", "release", "latest", "-n"], "would release 1 hold"),
        (&["forget", "latest~1", "-n"], "would forget 1 snapshot"),
        (&["forget", "--keep-last", "1", "--prune", "-n"], "prune"),
        (&["cleanup", "--older-than", "1d", "-n"], "would forget 0"),
        (&["prune", "-n"], ""),
        (&["snapshot", "data", "-n"], ""),
        (&["restore", "latest", "--target", "new", "-n"], ""),
    ];
    for (command, said) in commands {
        let command = match command.ends_with(&["-n"]) {
            true => command.to_vec(),
            false => [command, &new_key].concat(),
        };
        let run = world.run(&command).expect(0);
        assert!(run.stdout.contains(said), "{command:?}: {}", run.stdout);
        assert!(files(&world) == before, "{command:?} changed something");
    }
}

#[test]
fn what_would_fail_fails() {
    let world = world();
    let before = files(&world);
    for (command, code) in [
        (&["key", "remove", "nobody", "-n"][..], 2),
        (&["key", "remove", "first", "--revoke", "-n"], 11),
        (&["key", "generate", "key", "-n"], 1),
        (&["key", "generate", "repo/key", "-n"], 2),
        (&["key", "export", "--kit", "key", "-n"], 1),
        (&["key", "export", "--kit", "repo/kit", "-n"], 2),
        (&["domain", "create", "main", "-n"], 2),
        (&["domain", "destroy", "main", "-n"], 11),
        (&["domain", "destroy", "nowhere", "-n"], 2),
        (&["hold", "add", "12345678", "-n"], 2),
        (&["hold", "release", "latest~1", "-n"], 2),
        (&["init", "-n"], 11),
    ] {
        world.run(command).expect(code);
    }
    let taken = ["key", "add", "--label", "second", "--new-key-file", "spare"];
    let taken = world.run(&[&taken[..], &["-n"]].concat()).expect(2);
    assert!(taken.stderr.contains("already"), "{}", taken.stderr);
    assert!(files(&world) == before);
}

#[test]
fn a_cache_is_only_shown() {
    let world = world();
    let cache = || tree(&world.path("home/.cache"));
    let before = cache();
    let shown = world.run(&["cache", "clear", "-n"]).expect(0);
    assert!(shown.stdout.contains("would clear"), "{}", shown.stdout);
    assert!(!before.is_empty() && cache() == before);
    world.run(&["cache", "clear"]).expect(0);
    assert!(cache().is_empty());
}
