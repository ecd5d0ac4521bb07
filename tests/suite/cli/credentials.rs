//! Every command with every kind of credential: what it does, or which one it needs.

use super::TestEnvironment;
use super::environment::tree;

/// The kinds, by the names of their key files.
const KINDS: [&str; 4] = ["full", "host", "reader", "maintainer"];

/// What each is told that may not do something.
const DESCRIBED: [&str; 4] = [
    "",
    "\"host\" is write-only: it saves snapshots and opens nothing that is stored",
    "\"reader\" is a reader: it opens what its domains hold and changes nothing",
    "\"maintainer\" is for maintenance: it sees labels and sizes, forgets and prunes, and opens no data",
];

/// What a refusal says is needed.
const READ: &str = "a full credential or a reader of the domain";
const WRITE: &str = "a full or a write-only credential";
const MAINTAIN: &str = "a full or a maintenance credential";
const STRUCTURE: &str = "a full credential, a reader or one for maintenance";
const ADMINISTER: &str = "a full credential;";
const NOTHING: &str = "";

/// A repository with a credential of each kind; the full one and the host have a snapshot each.
fn world() -> (TestEnvironment, String) {
    let mut world = TestEnvironment::bare();
    world.set("ICECORE_REPO", "repo");
    for kind in KINDS {
        world.run(&["key", "generate", kind]).expect(0);
    }
    world.init(&["--key-file", "full"]).expect(0);
    world.set("ICECORE_KEY_FILE", "full");
    let add = |kind: &str, capability: &str| {
        let named = ["key", "add", "--label", kind, "--new-key-file", kind];
        let run = world.run(&[&named[..], &["--capability", capability]].concat());
        run.expect(0).stdout
    };
    let host = add("host", "write-only");
    assert!(
        host.contains("write-only, in its own domain host (new)"),
        "{host}"
    );
    assert!(
        host.contains("A plain directory protects nothing"),
        "{host}"
    );
    assert!(add("reader", "reader").contains("reader, domain main"));
    assert!(add("maintainer", "maintenance").contains("must include that"));
    world.write("data/a", "content of a");
    world.write("site/index.html", "content of the host");
    let taken = world
        .run(&["snapshot", "data", "--json"])
        .expect(0)
        .summary();
    let id = taken["snapshot_id"].as_str().unwrap().to_owned();
    world.set("ICECORE_KEY_FILE", "host");
    world.run(&["snapshot", "site"]).expect(0);
    (world, id)
}

/// A command, what it needs, and its exit codes with a full, a write-only, a reading and a
/// maintaining credential.
type Row<'a> = (&'a str, &'a str, [i32; 4]);

#[test]
fn every_command_meets_every_credential() {
    let (mut world, id) = world();
    let anybody = [0; 4];
    let readers = [0, 12, 0, 12];
    let maintainers = [0, 12, 12, 0];
    let full = [0, 12, 12, 12];
    let table: [Row<'_>; 41] = [
        ("info", NOTHING, anybody),
        ("snapshots", NOTHING, anybody),
        ("hold list", NOTHING, anybody),
        ("domain list", NOTHING, anybody),
        ("key test", NOTHING, anybody),
        ("cache info", NOTHING, anybody),
        ("check --no-key", NOTHING, anybody),
        ("", NOTHING, anybody),
        ("snapshot data -n", NOTHING, anybody),
        ("snapshot more --host KIND", WRITE, [0, 0, 12, 12]),
        ("snapshot more --verify-after", "", [0, 12, 12, 12]),
        ("ls ID", READ, readers),
        ("ls -R ID:data", READ, readers),
        ("cat ID:data/a", READ, readers),
        ("find a", READ, readers),
        ("diff ID ID", READ, readers),
        ("compare ID", READ, readers),
        ("restore ID --target out-KIND", READ, readers),
        ("restore ID --target out-KIND -n --overwrite", READ, readers),
        ("mount ID missing", READ, [1, 12, 1, 12]),
        ("check --read-data", READ, readers),
        ("check --read-data --subset 1/2", READ, readers),
        ("check", STRUCTURE, [0, 12, 0, 0]),
        ("check ID", STRUCTURE, [0, 12, 0, 0]),
        ("key export --kit kit-KIND", READ, readers),
        ("forget ID -n", MAINTAIN, maintainers),
        ("forget --keep-last 1", MAINTAIN, maintainers),
        ("cleanup --older-than 1d", MAINTAIN, maintainers),
        ("hold add ID", MAINTAIN, maintainers),
        ("hold release ID -n", MAINTAIN, maintainers),
        ("hold release ID", MAINTAIN, maintainers),
        ("prune -n", MAINTAIN, maintainers),
        ("prune", MAINTAIN, maintainers),
        ("key list", ADMINISTER, full),
        ("key rotate -n", ADMINISTER, full),
        (
            "key add --label x --new-key-file spare -n",
            ADMINISTER,
            full,
        ),
        ("key passwd --new-key-file spare -n", ADMINISTER, full),
        ("key remove reader -n", ADMINISTER, full),
        ("key remove reader --revoke -n", ADMINISTER, full),
        ("domain create x -n", ADMINISTER, full),
        ("domain destroy host -n", ADMINISTER, [11, 12, 12, 12]),
    ];
    world.set("ICECORE_KEY_FILE", "full");
    world.run(&["key", "generate", "spare"]).expect(0);
    world.write("more/b", "content of b");
    for (position, kind) in KINDS.into_iter().enumerate() {
        world.set("ICECORE_KEY_FILE", kind);
        for (command, needs, codes) in table {
            let command = command.replace("ID", &id).replace("KIND", kind);
            let words: Vec<&str> = command.split_whitespace().collect();
            let run = world.run(&words);
            let shown = format!("{kind}: {command}\n{}\n{}", run.stdout, run.stderr);
            assert_eq!(run.code, codes[position], "{shown}");
            if run.code == 12 {
                let name: Vec<&str> = words
                    .iter()
                    .copied()
                    .take_while(|word| *word != id)
                    .collect();
                assert!(run.stderr.contains(name[0]), "{shown}");
                assert!(run.stderr.contains(&format!("needs {needs}")), "{shown}");
                assert!(run.stderr.contains(DESCRIBED[position]), "{shown}");
                assert!(run.stderr.contains("try: "), "{shown}");
            }
        }
    }
}

#[test]
fn a_host_saves_again_and_again_and_finds_what_it_has() {
    let (mut world, _) = world();
    let noise: Vec<u8> = (0..400_000u32)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    world.write("site/large", &noise);
    let first = world
        .run(&["snapshot", "site", "--json"])
        .expect(0)
        .summary();
    assert!(
        first["bytes_new"].as_u64().unwrap() >= noise.len() as u64,
        "{first}"
    );
    // Not by the files' times: the content itself is found again.
    std::fs::write(world.path("site/large"), &noise).unwrap();
    world.write("site/index.html", "changed");
    let second = world
        .run(&["snapshot", "site", "--json"])
        .expect(0)
        .summary();
    assert!(second["parent_id"] == first["snapshot_id"], "{second}");
    assert!(second["bytes_new"].as_u64().unwrap() < 1000, "{second}");
    // The cache is disposable, but for the host's own key.
    world.run(&["cache", "clear"]).expect(0);
    std::fs::write(world.path("site/large"), &noise).unwrap();
    let third = world
        .run(&["snapshot", "site", "--json"])
        .expect(0)
        .summary();
    assert!(third["bytes_new"].as_u64().unwrap() < 1000, "{third}");
    let listed = world.run(&["snapshots"]).expect(0);
    assert!(
        listed
            .stdout
            .contains("! Labels only: a write-only credential"),
        "{}",
        listed.stdout
    );
    assert!(
        listed.stderr.contains("1 snapshot of others"),
        "{}",
        listed.stderr
    );
    let keys = tree(&world.path("home/.cache/icecore"));
    let keys: Vec<_> = keys
        .iter()
        .filter(|(path, _)| path.to_string_lossy().contains("host-keys"))
        .collect();
    assert_eq!((keys.len(), keys[0].1.len()), (1, 48));

    // Another machine: what is there cannot be opened, so it is stored once more.
    world.set("XDG_CACHE_HOME", world.path("elsewhere").to_str().unwrap());
    let moved = world
        .run(&["snapshot", "site", "--json"])
        .expect(0)
        .summary();
    assert!(
        moved["bytes_new"].as_u64().unwrap() >= noise.len() as u64,
        "{moved}"
    );
    world.set("ICECORE_KEY_FILE", "full");
    world.run(&["check", "--read-data"]).expect(0);
    let newest = moved["snapshot_id"].as_str().unwrap();
    world
        .run(&["restore", newest, "--target", "back"])
        .expect(0);
    assert!(std::fs::read(world.path("back/site/large")).unwrap() == noise);
}

#[test]
fn a_reader_is_of_its_domains_only() {
    let (mut world, id) = world();
    world.set("ICECORE_KEY_FILE", "reader");
    let listed = world.run(&["snapshots"]).expect(0);
    assert!(listed.stdout.contains(&id[..8]), "{}", listed.stdout);
    assert!(
        listed.stderr.contains("1 snapshot in domains"),
        "{}",
        listed.stderr
    );
    world
        .run(&["restore", "latest", "--target", "back"])
        .expect(0);
    world.set("ICECORE_KEY_FILE", "full");
    world.run(&["key", "generate", "both"]).expect(0);
    let add = [
        "key",
        "add",
        "--label",
        "both",
        "--capability",
        "reader",
        "--new-key-file",
        "both",
    ];
    world
        .run(&[&add[..], &["--domain", "nowhere"]].concat())
        .expect(2);
    world
        .run(&[&add[..], &["--domain", "main", "--domain", "host"]].concat())
        .expect(0);
    let taken = ["key", "add", "--label", "again", "--new-key-file", "both"];
    let refused = world.run(&taken).expect(2);
    assert!(
        refused.stderr.contains("opens another credential already"),
        "{}",
        refused.stderr
    );
    let all = [
        "key",
        "add",
        "--label",
        "x",
        "--domain",
        "main",
        "--new-key-file",
        "spare",
    ];
    world.run(&all).expect(2);
    // What a reader proves is believed about its own domains.
    world.set("ICECORE_KEY_FILE", "reader");
    world.run(&["check", "--read-data"]).expect(0);
    world.set("ICECORE_KEY_FILE", "full");
    let proven = world.run(&["snapshots", "--json"]).expect(0).objects();
    let kinds: Vec<_> = proven
        .iter()
        .filter_map(|one| one["proven"]["kind"].as_str())
        .collect();
    assert_eq!(kinds, ["read-data"]);
    let listed = world.run(&["key", "list"]).expect(0).stdout;
    for line in ["write-only", "main, host", "maintenance", "full"] {
        assert!(listed.contains(line), "{listed}");
    }
    world.set("ICECORE_KEY_FILE", "both");
    world
        .run(&[
            "restore",
            "latest",
            "--source",
            "site",
            "--target",
            "site-back",
        ])
        .expect(0);
    assert_eq!(
        std::fs::read_to_string(world.path("site-back/site/index.html")).unwrap(),
        "content of the host"
    );
    world.set("ICECORE_KEY_FILE", "full");
    world.run(&["key", "remove", "both"]).expect(0);
    world.set("ICECORE_KEY_FILE", "both");
    world.run(&["snapshots"]).expect(12);
}

#[test]
fn maintenance_sees_labels_and_deletes() {
    let (mut world, _) = world();
    world.write("site/more", vec![7; 100_000]);
    world.run(&["snapshot", "site"]).expect(0);
    world.set("ICECORE_KEY_FILE", "maintainer");
    let listed = world.run(&["snapshots"]).expect(0);
    assert!(listed.stdout.contains("site"), "{}", listed.stdout);
    assert!(
        listed
            .stdout
            .contains("! Labels only: a maintenance credential"),
        "{}",
        listed.stdout
    );
    let kept = ["forget", "--keep-last", "1", "--force", "--prune", "--json"];
    let forgot = world.run(&kept).expect(0).summary();
    assert_eq!(forgot["forgotten"].as_array().unwrap().len(), 1, "{forgot}");
    assert!(forgot["pruned"]["packs"].as_u64().unwrap() > 0, "{forgot}");
    world
        .run(&["hold", "add", "latest", "--source", "site"])
        .expect(2);
    world.run(&["check"]).expect(0);
    world.set("ICECORE_KEY_FILE", "full");
    world.run(&["check", "--read-data"]).expect(0);
    world
        .run(&["restore", "latest", "--source", "site", "--target", "back"])
        .expect(0);

    // A pack that is gone is found by its links, without opening anything.
    let packs = tree(&world.path("repo/packs/full"));
    std::fs::remove_file(&packs[0].0).unwrap();
    world.set("ICECORE_KEY_FILE", "maintainer");
    let damaged = world.run(&["check"]).expect(4);
    assert!(damaged.stdout.contains("is missing"), "{}", damaged.stdout);
    assert!(damaged.stdout.contains("all of it"), "{}", damaged.stdout);
}

#[test]
fn a_host_finds_what_a_prune_moved() {
    let (mut world, _) = world();
    let noise: Vec<u8> = (0..300_000u32)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    for round in 0..10u8 {
        world.write("site/large", &noise);
        world.write(&format!("site/{round}"), vec![round; 70_000]);
        world.run(&["snapshot", "site"]).expect(0);
        std::fs::remove_file(world.path(&format!("site/{round}"))).unwrap();
    }
    for pruner in ["maintainer", "full"] {
        world.set("ICECORE_KEY_FILE", pruner);
        let forget = ["forget", "--keep-last", "1", "--force"];
        world.run(&forget).expect(0);
        let prune = ["prune", "--max-unused", "0%", "--json"];
        let pruned = world.run(&prune).expect(0).summary();
        assert!(pruned["segments"].as_u64().unwrap() > 0, "{pruned}");
        world.set("ICECORE_KEY_FILE", "host");
        std::fs::write(world.path("site/large"), &noise).unwrap();
        world.write(&format!("site/after-{pruner}"), vec![7; 70_000]);
        let taken = world
            .run(&["snapshot", "site", "--json"])
            .expect(0)
            .summary();
        assert!(
            taken["bytes_new"].as_u64().unwrap() < 100_000,
            "{pruner}: {taken}"
        );
    }
    world.set("ICECORE_KEY_FILE", "full");
    world.run(&["check", "--read-data"]).expect(0);
}

/// Starts a snapshot by the host that lasts, kills it, and gives the session that stays open.
fn left_open(world: &TestEnvironment) -> String {
    let exec = ["snapshot", "--exec", "x", "--", "sleep", "60"];
    let mut thief = world.command(&exec).spawn().unwrap();
    let session = loop {
        let sessions = tree(&world.path("repo/sessions"));
        let name = |path: &std::path::Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        let names: Vec<String> = sessions.iter().map(|(path, _)| name(path)).collect();
        let is_open = |name: &&String| {
            let id = name.strip_suffix(".open");
            id.is_some_and(|id| !names.contains(&format!("{id}.end")))
        };
        if let Some(open) = names.iter().find(is_open) {
            break open.strip_suffix(".open").unwrap().to_owned();
        }
        assert!(thief.try_wait().unwrap().is_none());
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    thief.kill().unwrap();
    thief.wait().unwrap();
    session
}

/// What a person types after a host was stolen, as SECURITY.md has it.
#[test]
fn the_commands_for_a_stolen_host_work_as_they_stand() {
    let (mut world, _) = world();
    left_open(&world);
    world.set("ICECORE_KEY_FILE", "full");
    let forget = ["forget", "latest", "--source", "data", "--force"];
    world.run(&forget).expect(0);
    let waits = world.run(&["prune", "--wait", "1s"]).expect(11);
    assert!(waits.stderr.contains("--fence-writer"), "{}", waits.stderr);
    let keys = world.run(&["key", "list", "--json"]).expect(0).objects();
    let writer = |key: &serde_json::Value| key["writer"].as_str().map(str::to_owned);
    let host = keys
        .iter()
        .find(|key| key["name"] == "host")
        .and_then(writer);
    assert!(
        waits.stderr.contains(&host.unwrap()[..8]),
        "{}",
        waits.stderr
    );

    let text = include_str!("../../../SECURITY.md");
    let text = text.split("### A host was stolen").nth(1).unwrap();
    let block = text
        .lines()
        .skip_while(|line| !line.starts_with("    icecore"));
    let block = block.take_while(|line| line.starts_with("    icecore"));
    let mut ran = 0;
    for line in block {
        let command = line.split('#').next().unwrap().replace("web1", "host");
        let words: Vec<&str> = command.split_whitespace().skip(1).collect();
        if let Some(place) = words.iter().position(|word| *word == "--new-key-file") {
            world.run(&["key", "generate", words[place + 1]]).expect(0);
        }
        world.run(&words).expect(0);
        ran += 1;
    }
    assert!(ran >= 5, "{text}");
    world.set("ICECORE_KEY_FILE", "host");
    world.run(&["snapshot", "site"]).expect(12);
    world.set("ICECORE_KEY_FILE", "host-new.key");
    world.run(&["snapshot", "site"]).expect(0);
    for (kind, code) in [("full", 0), ("reader", 0), ("maintainer", 12)] {
        world.set("ICECORE_KEY_FILE", kind);
        world.run(&["check", "--read-data"]).expect(code);
    }
}

/// As long as nobody revoked its credential, a session is closed by its name.
#[test]
fn a_session_that_is_kept_open_is_fenced_by_name() {
    let (mut world, _) = world();
    let session = left_open(&world);
    world.set("ICECORE_KEY_FILE", "maintainer");
    let forget = ["forget", "latest", "--source", "data", "--force"];
    world.run(&forget).expect(0);
    world.run(&["prune", "--wait", "1s"]).expect(11);
    let fence = ["prune", "--wait", "1s", "--fence-writer", &session];
    let fenced = world.run(&fence).expect(0);
    assert!(
        fenced.stderr.contains("closed session"),
        "{}",
        fenced.stderr
    );
}

#[test]
fn keys_are_rotated_and_everything_opens_as_before() {
    let (mut world, _) = world();
    world.set("ICECORE_KEY_FILE", "full");
    let before = tree(&world.path("repo"));
    let planned = world.run(&["key", "rotate", "-n"]).expect(0);
    let would = "would draw new keys (generation 2); 4 credentials";
    assert!(planned.stdout.contains(would), "{}", planned.stdout);
    assert!(tree(&world.path("repo")) == before);
    let listed = world.run(&["key", "list", "--json"]).expect(0).summary();
    assert_eq!(
        (&listed["key_generation"], &listed["keys_age_days"]),
        (&1.into(), &0.into())
    );
    let rotated = world.run(&["key", "rotate"]).expect(0);
    assert!(
        rotated.stdout.contains("drew new keys"),
        "{}",
        rotated.stdout
    );
    let listed = world.run(&["key", "list"]).expect(0);
    assert!(
        listed.stdout.contains("keys of generation 2, drawn"),
        "{}",
        listed.stdout
    );
    assert!(!listed.stdout.contains("interrupted"), "{}", listed.stdout);
    world.run(&["snapshot", "data"]).expect(0);
    world.set("ICECORE_KEY_FILE", "host");
    world.run(&["key", "rotate"]).expect(12);
    let taken = world
        .run(&["snapshot", "site", "--json"])
        .expect(0)
        .summary();
    assert!(taken["bytes_new"].as_u64().unwrap() < 1000, "{taken}");
    world.set("ICECORE_KEY_FILE", "reader");
    world
        .run(&["restore", "latest", "--target", "back"])
        .expect(0);
    world.run(&["check", "--read-data"]).expect(0);
    world.set("ICECORE_KEY_FILE", "maintainer");
    let forget = ["forget", "--keep-last", "1", "--force", "--prune"];
    world.run(&forget).expect(0);
    world.set("ICECORE_KEY_FILE", "full");
    world.run(&["check", "--read-data"]).expect(0);
}
