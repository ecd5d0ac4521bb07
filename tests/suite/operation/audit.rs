//! `audit`: every act with user and host, in the chain and in its copy; tampering is named.

use crate::cli::{PASSPHRASE, TestEnvironment, tree};
use crate::jobs::configure;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// A secret that a job's source holds.
const MARKER: &str = "sesame-marker-7f3a";

fn world() -> TestEnvironment {
    let mut world = TestEnvironment::bare();
    world.set("USER", "ulugbek");
    world.database("app.db", 100);
    world.write("srv/secret-name.txt", "alpha");
    world.run(&["key", "generate", "host.key"]).expect(0);
    configure(&world, "");
    world.write("app.env", format!("TOKEN={MARKER}\n"));
    let text = fs::read_to_string(world.path("icecore.toml")).unwrap();
    let second = "[repository.nas]\nurl = \"nas\"\nkey = { file = \"host.key\" }\n\n[observe]\naudit = \"audit.log\"\n";
    let text = text.replace("[observe]\n", second);
    let text = text.replace("[\"local\"]", "[\"local\", \"nas\"]");
    world.write("icecore.toml", text);
    for name in ["local", "nas"] {
        let kit = format!("kit-{name}");
        world
            .run(&["repo", "init", "-r", name, "--kit", &kit])
            .expect(0);
    }
    world
}

/// The events of a repository's chain.
fn events(world: &TestEnvironment, options: &[&str]) -> Vec<Value> {
    let show = ["audit", "show", "--json", "--last", "1000"];
    let mut objects = world
        .run(&[&show[..], options].concat())
        .expect(0)
        .objects();
    objects.pop();
    objects
}

fn names(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .map(|event| event["event"].as_str().unwrap())
        .collect()
}

#[test]
fn every_act_is_in_the_chain_and_in_its_copy_and_no_secret() {
    let world = world();
    world.run(&["run", "nightly"]).expect(0);
    world
        .run(&[
            "restore",
            "latest:srv/secret-name.txt",
            "-r",
            "local",
            "--source",
            "srv",
            "--target",
            "back",
        ])
        .expect(0);
    world
        .run(&["drill", "latest", "-r", "local", "--source", "srv"])
        .expect(0);
    world.run(&["check", "-r", "local"]).expect(0);
    let listed = world.run(&["snapshots", "-r", "local", "--json"]).expect(0);
    let listed = listed.objects();
    let id = listed[0]["id"].as_str().unwrap();
    for held in ["add", "release"] {
        world.run(&["hold", held, id, "-r", "local"]).expect(0);
    }
    world
        .run(&[
            "forget",
            "latest",
            "-r",
            "local",
            "--source",
            "exec:dump.txt",
            "--force",
        ])
        .expect(0);
    world.run(&["prune", "-r", "local"]).expect(0);
    world.run(&["key", "generate", "second.key"]).expect(0);
    let add = ["key", "add", "-r", "local", "--label", "second"];
    world
        .run(&[&add[..], &["--new-key-file", "second.key"]].concat())
        .expect(0);
    world.run(&["key", "rotate", "-r", "local"]).expect(0);
    world
        .run(&["key", "remove", "second", "-r", "local"])
        .expect(0);
    world.run(&["copy", "--to", "nas", "-r", "local"]).expect(0);
    world
        .run(&["mirror", "--to", "mirror", "-r", "local"])
        .expect(0);

    let local = events(&world, &["-r", "local"]);
    let found = names(&local);
    for activity in [
        "backup_create",
        "backup_encrypt",
        "backup_mirror",
        "restore",
        "drill",
        "check",
        "hold",
        "forget",
        "prune",
        "key",
    ] {
        for phase in ["start", "complete"] {
            let name = format!("{activity}_{phase}");
            assert!(found.contains(&name.as_str()), "{name} in {found:?}");
        }
    }
    assert!(found.contains(&"config_complete"), "{found:?}");
    for event in &local {
        assert_eq!(event["user"], "ulugbek", "{event}");
        assert!(!event["host"].as_str().unwrap().is_empty());
        assert!(event["timestamp"].as_str().unwrap().contains(['+', '-']));
        let is_start = event["event"].as_str().unwrap().ends_with("_start");
        let expected = if is_start { "info" } else { "success" };
        assert_eq!(event["status"], expected, "{event}");
    }
    let restored = local
        .iter()
        .find(|event| event["event"] == "restore_complete")
        .unwrap();
    assert_eq!(
        (&restored["checksum"], &restored["details"]),
        (&"ok".into(), &"a part of it".into())
    );
    let nas = names(&events(&world, &["-r", "nas"])).join(" ");
    assert!(
        nas.contains("backup_mirror_start backup_mirror_complete"),
        "{nas}"
    );

    // The copy: one object a line, times in the job's zone, for its owner only.
    let copy = fs::read_to_string(world.path("audit.log")).unwrap();
    assert_eq!(world.mode("audit.log"), 0o600);
    let lines = copy
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let lines: Vec<Value> = lines.collect();
    assert!(
        lines.len() >= local.len(),
        "{} of {}",
        lines.len(),
        local.len()
    );
    let created = lines
        .iter()
        .find(|line| line["event"] == "backup_create_complete" && line["job"] == "nightly");
    let created = created.unwrap();
    assert!(
        created["timestamp"].as_str().unwrap().ends_with("+05:00"),
        "{created}"
    );
    assert!(created["size"].is_u64() && created["backup_file"].is_string());
    // Nothing secret in it, in the store, or in what is shown; no name of a file inside a snapshot.
    let shown = world
        .run(&["audit", "show", "-r", "local"])
        .expect(0)
        .stdout;
    let all = serde_json::to_string(&local).unwrap() + &copy + &shown;
    for secret in [MARKER, PASSPHRASE, "secret-name"] {
        assert!(!all.contains(secret), "{secret}");
    }
    for (path, bytes) in tree(&world.path("backup/audit")) {
        let found = bytes
            .windows(MARKER.len())
            .any(|window| window == MARKER.as_bytes());
        assert!(!found, "{}", path.display());
    }
    let key = fs::read(world.path("host.key")).unwrap();
    let key = String::from_utf8_lossy(&key);
    assert!(!all.contains(key.trim()));

    // Filters, and that all of it verifies; also in the mirror.
    let restores = events(
        &world,
        &["-r", "local", "--event", "restore", "--user", "ulugbek"],
    );
    assert_eq!(names(&restores), ["restore_start", "restore_complete"]);
    assert!(events(&world, &["-r", "local", "--status", "error"]).is_empty());
    let verified = world
        .run(&["audit", "verify", "-r", "local", "--json"])
        .expect(0);
    assert_eq!(verified.summary()["faults"], 0);
    let in_mirror = [
        "audit",
        "verify",
        "-r",
        "mirror",
        "--key-file",
        "host.key",
        "--json",
    ];
    assert_eq!(world.run(&in_mirror).expect(0).summary()["faults"], 0);
}

#[test]
fn what_was_taken_away_or_changed_is_named() {
    let world = world();
    world.run(&["run", "nightly"]).expect(0);
    world.run(&["check", "-r", "local"]).expect(0);
    world.run(&["audit", "verify", "-r", "local"]).expect(0);
    let records = tree(&world.path("backup/audit"));
    let newest = records.iter().max_by_key(|(path, _)| path.clone()).unwrap();
    fs::remove_file(&newest.0).unwrap();
    let verified = world.run(&["audit", "verify", "-r", "local"]).expect(4);
    assert!(
        verified.stdout.contains("this host has seen it"),
        "{}",
        verified.stdout
    );
    fs::write(&newest.0, &newest.1).unwrap();
    world.run(&["audit", "verify", "-r", "local"]).expect(0);
    let (path, bytes) = &records[records.len() / 2];
    let mut changed = bytes.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 0x10;
    fs::write(path, &changed).unwrap();
    let verified = world
        .run(&["audit", "verify", "-r", "local", "--json"])
        .expect(4);
    let fault = &verified.objects()[0];
    let name = path.file_name().unwrap().to_str().unwrap();
    assert_eq!(fault["fault"], "edited");
    assert!(fault["record"].as_str().unwrap().ends_with(name), "{fault}");
    world.run(&["check", "--no-key", "-r", "local"]).expect(4);
}

#[test]
fn what_cannot_be_written_down_is_loud_and_nothing_is_deleted_then() {
    let world = world();
    world.run(&["run", "nightly"]).expect(0);
    // A file where the directory of a new day would be: nothing can be appended, root or not.
    let audit = world.path("backup/audit");
    let away = world.path("backup/away");
    fs::rename(&audit, &away).unwrap();
    fs::write(&audit, "in the way").unwrap();
    let forget = ["forget", "latest", "-r", "local", "--source", "srv"];
    let refused = world.run(&forget).expect(1);
    assert!(
        refused.stderr.contains("nothing was done"),
        "{}",
        refused.stderr
    );
    let listed = world.run(&["snapshots", "-r", "local", "--json"]).expect(0);
    assert_eq!(
        listed
            .objects()
            .iter()
            .filter(|one| one["source"] == "exec:dump.txt")
            .count(),
        1
    );
    let run = world.run(&["run", "nightly"]).expect(3);
    assert!(
        run.stderr.contains("the audit log could not be written"),
        "{}",
        run.stderr
    );
    let restore = [
        "restore", "latest", "-r", "local", "--source", "srv", "--target", "back",
    ];
    let restored = world.run(&restore).expect(0);
    assert!(
        restored
            .stderr
            .contains("the audit log could not be written"),
        "{}",
        restored.stderr
    );
    // The copy goes on, and tells.
    let copy = fs::read_to_string(world.path("audit.log")).unwrap();
    assert!(copy.lines().last().unwrap().contains("restore_complete"));
    // And the other way round: a copy that cannot be written.
    fs::remove_file(&audit).unwrap();
    fs::rename(&away, &audit).unwrap();
    fs::remove_file(world.path("audit.log")).unwrap();
    fs::create_dir(world.path("audit.log")).unwrap();
    let run = world.run(&["run", "nightly"]).expect(3);
    assert!(
        run.stderr.contains("the copy of the audit log"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_write_only_host_appends_to_its_own_chain_and_a_reader_too() {
    let mut world = TestEnvironment::new();
    for (name, kind) in [("host", "write-only"), ("eyes", "reader")] {
        let key = format!("{name}.key");
        world.run(&["key", "generate", &key]).expect(0);
        let mut add = vec!["key", "add", "--label", name, "--capability", kind];
        add.extend(["--new-key-file", &key]);
        world.run(&add).expect(0);
    }
    world.write("data/a", "1");
    world.run(&["snapshot", "data"]).expect(0);
    world.unset("ICECORE_PASSPHRASE");
    world
        .run(&["snapshot", "data", "--key-file", "host.key"])
        .expect(0);
    let restore = [
        "restore",
        "latest",
        "--key-file",
        "eyes.key",
        "--target",
        "back",
    ];
    world.run(&restore).expect(0);
    let sealed = world
        .run(&["audit", "show", "--key-file", "host.key", "--json"])
        .expect(0);
    assert_eq!(
        sealed.summary()["events"],
        0,
        "a write-only host reads nothing"
    );
    let by_host = ["audit", "verify", "--key-file", "host.key", "--json"];
    let verified = world.run(&by_host).expect(0).summary();
    assert_eq!(verified["writers"].as_array().unwrap().len(), 3);
    world.set("ICECORE_PASSPHRASE", PASSPHRASE);
    let shown = events(&world, &[]);
    let writer = |name: &str| {
        let found = shown.iter().rev().find(|event| event["event"] == name);
        found.unwrap()["writer"].clone()
    };
    let writers = [
        writer("backup_create_complete"),
        writer("restore_complete"),
        writer("key_complete"),
    ];
    assert!(writers[0] != writers[1] && writers[1] != writers[2] && writers[0] != writers[2]);
    let permissions = fs::metadata(world.path("repo/audit"))
        .unwrap()
        .permissions();
    assert_eq!(permissions.mode() & 0o077, 0);
}
