//! Copies, mirrors, repair from them, and restoring from whichever is whole.

use super::TestEnvironment;
use super::environment::{PASSPHRASE, tree};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};

const CHEAP: [&str; 6] = [
    "--kdf-memory",
    "8MiB",
    "--kdf-passes",
    "1",
    "--kit",
    "kit-nas",
];

/// A repository with two snapshots, and a sibling.
fn world() -> TestEnvironment {
    let world = TestEnvironment::new();
    for content in ["one", "two"] {
        world.write("data/a", content.repeat(50_000));
        world.write("data/sub/b", format!("{content} of b"));
        world.run(&["snapshot", "data", "--tag", "t=1"]).expect(0);
    }
    let init = [&["init", "-r", "nas", "--like", "repo"], &CHEAP[..]].concat();
    world.run(&init).expect(0);
    world
}

fn packs(world: &TestEnvironment, repository: &str) -> Vec<PathBuf> {
    let files = tree(&world.path(repository))
        .into_iter()
        .map(|(path, _)| path);
    files
        .filter(|path| path.components().any(|part| part.as_os_str() == "packs"))
        .collect()
}

/// Changes a pack behind its keys.
fn spoil(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let end = (bytes.len() - 200).min(3800);
    bytes[3720..end].iter_mut().for_each(|byte| *byte ^= 1);
    let mut permissions = fs::metadata(path).unwrap().permissions();
    #[allow(clippy::permissions_set_readonly_false)]
    permissions.set_readonly(false);
    fs::set_permissions(path, permissions).unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_copy_brings_what_is_not_there_and_keeps_what_it_says() {
    let mut world = world();
    let dry = world.run(&["copy", "--to", "nas", "-n"]).expect(0);
    assert!(
        dry.stdout.contains("would copy 2 snapshots"),
        "{}",
        dry.stdout
    );
    assert!(packs(&world, "nas").is_empty());
    let copied = world.run(&["copy", "--to", "nas", "--json"]).expect(0);
    assert_eq!(copied.summary()["snapshots_copied"], 2);
    assert_eq!(copied.objects()[0]["type"], "copied");
    let again = world
        .run(&["copy", "--to", "nas", "--json"])
        .expect(0)
        .summary();
    assert_eq!(
        (
            &again["snapshots_copied"],
            &again["snapshots_already_there"]
        ),
        (&json!(0), &json!(2))
    );
    assert_eq!(again["bytes_fetched"], 0);
    let listed = |repository| {
        let listed = world
            .run(&["snapshots", "-r", repository, "--json"])
            .expect(0)
            .objects();
        let fields = ["taken", "source", "host", "tags", "set_id", "bytes"];
        let of = |snapshot: &serde_json::Value| fields.map(|field| snapshot[field].clone());
        listed[..2].iter().map(of).collect::<Vec<_>>()
    };
    assert_eq!(listed("repo"), listed("nas"));
    world.run(&["check", "--read-data", "-r", "nas"]).expect(0);
    world
        .run(&["restore", "latest", "--target", "out", "-r", "nas"])
        .expect(0);
    assert_eq!(fs::read(world.path("out/data/sub/b")).unwrap(), b"two of b");
    // One by name, with its own passphrase; and a stranger.
    world.set("ICECORE_TO_PASSPHRASE", "another-one-for-it");
    world.run(&["copy", "--to", "nas", "latest"]).expect(12);
    world.unset("ICECORE_TO_PASSPHRASE");
    let stranger = [&["init", "-r", "other"], &CHEAP[..5], &["kit-other"]].concat();
    world.run(&stranger).expect(0);
    let copied = world.run(&["copy", "--to", "other", "latest"]).expect(0);
    assert!(copied.stderr.contains("is no sibling"), "{}", copied.stderr);
    world
        .run(&["restore", "latest", "--target", "out2", "-r", "other"])
        .expect(0);
    assert_eq!(
        fs::read(world.path("out2/data/sub/b")).unwrap(),
        b"two of b"
    );
}

#[test]
fn a_copy_to_nowhere_or_to_itself_says_what_to_do() {
    let mut world = world();
    let same = world.run(&["copy", "--to", "repo"]).expect(2);
    assert!(same.stderr.contains("--to"), "{}", same.stderr);
    world.run(&["copy", "--to", "nowhere"]).expect(10);
    world.run(&["copy"]).expect(2);
    world.run(&["mirror", "--to", "repo"]).expect(2);
    world.set("ICECORE_TO_PASSPHRASE", "not-that-of-the-nas");
    let wrong = world.run(&["copy", "--to", "nas"]).expect(12);
    assert!(!wrong.stderr.contains("not-that-of"), "{}", wrong.stderr);
}

#[test]
fn a_mirror_needs_no_key_and_opens_with_the_same() {
    let mut world = world();
    world.unset("ICECORE_PASSPHRASE");
    let dry = world.run(&["mirror", "--to", "mirror", "-n"]).expect(0);
    assert!(dry.stdout.contains("would copy"), "{}", dry.stdout);
    assert!(!world.path("mirror").exists());
    let first = world
        .run(&["mirror", "--to", "mirror", "--json"])
        .expect(0)
        .summary();
    assert!(first["objects_copied"].as_u64().unwrap() > 5, "{first}");
    let again = world
        .run(&["mirror", "--to", "mirror", "--json"])
        .expect(0)
        .summary();
    assert_eq!(again["objects_copied"], 0);
    world.run(&["check", "--no-key", "-r", "mirror"]).expect(0);
    let occupied = world.run(&["mirror", "--to", "nas"]).expect(11);
    assert!(
        occupied.stderr.contains("earlier mirror"),
        "{}",
        occupied.stderr
    );
    world.set("ICECORE_PASSPHRASE", PASSPHRASE);
    world
        .run(&["check", "--read-data", "-r", "mirror"])
        .expect(0);
    world
        .run(&["restore", "latest", "--target", "out", "-r", "mirror"])
        .expect(0);
    assert_eq!(fs::read(world.path("out/data/sub/b")).unwrap(), b"two of b");
    // What is damaged does not travel.
    spoil(&packs(&world, "repo")[0]);
    fs::remove_dir_all(world.path("mirror")).unwrap();
    let damaged = world.run(&["mirror", "--to", "mirror"]).expect(4);
    assert!(damaged.stdout.contains("DAMAGE"), "{}", damaged.stdout);
}

#[test]
fn a_repair_brings_back_what_is_damaged() {
    let world = world();
    world.run(&["copy", "--to", "nas"]).expect(0);
    world.run(&["mirror", "--to", "mirror"]).expect(0);
    for from in ["nas", "mirror"] {
        for pack in packs(&world, "repo") {
            spoil(&pack);
        }
        let found = world.run(&["check", "--read-data"]).expect(4);
        assert!(
            found.stdout.contains("check --repair --from"),
            "{}",
            found.stdout
        );
        let command = ["check", "--read-data", "--repair", "--from", from];
        world.run(&[&command[..], &["-n"]].concat()).expect(4);
        let repaired = world.run(&command).expect(0);
        assert!(repaired.stdout.contains("no damage"), "{}", repaired.stdout);
        world.run(&["check", "--read-data"]).expect(0);
        let summary = world
            .run(&[&command[..], &["--json"]].concat())
            .expect(0)
            .summary();
        assert_eq!(summary["damage"], json!([]));
    }
    // What a repair removes is removed as by a prune, and told as one.
    let told = world.run(&["audit", "show", "--json"]).expect(0).objects();
    for event in ["prune_start", "prune_complete"] {
        assert!(told.iter().any(|told| told["event"] == event), "{event}");
    }
    world.run(&["check", "--repair"]).expect(2);
    world.run(&["check", "--from", "nas"]).expect(2);
}

#[test]
fn a_restore_takes_each_piece_from_whichever_copy_is_whole() {
    let world = world();
    world.run(&["copy", "--to", "nas"]).expect(0);
    for pack in packs(&world, "repo") {
        spoil(&pack);
    }
    world
        .run(&["restore", "latest", "--target", "out"])
        .expect(4);
    let both = ["restore", "latest", "--target", "out2", "-r", "repo,nas"];
    let restored = world.run(&both).expect(0);
    assert!(restored.stderr.contains("came from"), "{}", restored.stderr);
    assert_eq!(
        fs::read(world.path("out2/data/sub/b")).unwrap(),
        b"two of b"
    );
    world
        .run(&["cat", "latest:data/sub/b", "-r", "repo,nas"])
        .expect(0);
    world
        .run(&["ls", "latest", "-R", "-r", "repo,nas"])
        .expect(0);
    // An absent mount is a warning.
    let absent = ["restore", "latest", "--target", "out3", "-r", "gone,nas"];
    let restored = world.run(&absent).expect(0);
    assert!(restored.stderr.contains("gone"), "{}", restored.stderr);
    let one = world.run(&["snapshot", "data", "-r", "repo,nas"]).expect(2);
    assert!(one.stderr.contains("takes one"), "{}", one.stderr);
    world
        .run(&["restore", "latest", "--target", "x", "-r", "gone,away"])
        .expect(10);
    let info = world
        .run(&["info", "-r", "repo,nas", "--json"])
        .expect(0)
        .summary();
    assert_eq!(info["rule_3_2_1"]["copies"], 3);
    assert_eq!(info["rule_3_2_1"]["kept"], false);
}
