//! `doctor`: each precondition that fails is caused, and told with its remedy.

use crate::cli::TestEnvironment;
use crate::jobs::{configure, world};
use crate::support::listeners::HttpListener;
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// The preconditions that are not as they should be: `OF NAME STATE`.
fn found(world: &TestEnvironment, code: i32) -> Vec<String> {
    let doctor = world.run(&["doctor", "--json"]).expect(code);
    let objects = doctor.objects();
    let looked = objects.iter().filter(|one| one["type"] == "precondition");
    let bad = looked.filter(|one| one["state"] != "ok").map(|one| {
        let word = |name: &str| one[name].as_str().unwrap();
        assert!(!word("remedy").is_empty(), "{one}");
        format!("{} {} {}", word("of"), word("name"), word("state"))
    });
    bad.collect()
}

fn chmod(world: &TestEnvironment, name: &str, mode: u32) {
    let permissions = fs::Permissions::from_mode(mode);
    fs::set_permissions(world.path(name), permissions).unwrap();
}

#[test]
fn each_cause_gives_its_own_line_and_remedy() {
    let mut world = world("");
    for name in ["app.env", "icecore.toml"] {
        chmod(&world, name, 0o600);
    }
    world.run(&["run", "nightly"]).expect(0);
    // Of a test: in a temporary directory, on one disk, told to nobody.
    let always = found(&world, 5);
    let known = ["place", "disk", "notify", "keys", "cache"];
    for line in &always {
        assert!(known.iter().any(|word| line.contains(word)), "{always:#?}");
    }
    let more = |world: &TestEnvironment, code| {
        let mut now = found(world, code);
        now.retain(|line| !always.contains(line));
        now
    };
    type Change = fn(&mut TestEnvironment);
    let causes: [(Change, Change, i32, &str); 11] = [
        (
            |world| chmod(world, "host.key", 0o644),
            |world| chmod(world, "host.key", 0o600),
            5,
            "repository local mode attention",
        ),
        (
            |world| fs::rename(world.path("host.key"), world.path("k")).unwrap(),
            |world| fs::rename(world.path("k"), world.path("host.key")).unwrap(),
            6,
            "repository local mode failed",
        ),
        (
            |world| {
                world.run(&["key", "generate", "other.key"]).expect(0);
                fs::rename(world.path("host.key"), world.path("k")).unwrap();
                fs::rename(world.path("other.key"), world.path("host.key")).unwrap();
            },
            |world| fs::rename(world.path("k"), world.path("host.key")).unwrap(),
            6,
            "repository local opens failed",
        ),
        (
            |world| fs::rename(world.path("backup"), world.path("b")).unwrap(),
            |world| fs::rename(world.path("b"), world.path("backup")).unwrap(),
            6,
            "repository local reachable failed",
        ),
        (
            |world| chmod(world, "backup", 0o755),
            |world| chmod(world, "backup", 0o700),
            5,
            "repository local private attention",
        ),
        (
            |world| {
                let _absent = fs::remove_dir(world.path("backup/probe"));
                fs::write(world.path("backup/probe"), "in the way").unwrap();
            },
            |world| fs::remove_file(world.path("backup/probe")).unwrap(),
            6,
            "repository local storage failed",
        ),
        (
            |world| fs::rename(world.path("app.db"), world.path("d")).unwrap(),
            |world| fs::rename(world.path("d"), world.path("app.db")).unwrap(),
            6,
            "source db database failed",
        ),
        (
            |world| fs::rename(world.path("srv"), world.path("s")).unwrap(),
            |world| fs::rename(world.path("s"), world.path("srv")).unwrap(),
            6,
            "source files readable failed",
        ),
        (
            |world| drop(world.write("app.env", "OTHER=1\n")),
            |world| drop(world.write("app.env", "TOKEN=sesame\n")),
            6,
            "source token variables failed",
        ),
        (
            |world| world.set("PATH", "/nowhere"),
            |world| world.set("PATH", "/usr/bin:/bin"),
            6,
            "source dump command failed",
        ),
        (
            |world| {
                fs::rename(world.path("portal.prom"), world.path("p"))
                    .and_then(|()| fs::create_dir(world.path("portal.prom")))
                    .unwrap()
            },
            |world| fs::remove_dir(world.path("portal.prom")).unwrap(),
            6,
            "observe metrics failed",
        ),
    ];
    for (cause, mend, code, line) in causes {
        cause(&mut world);
        let lines = more(&world, code);
        assert!(
            lines.iter().any(|found| found == line),
            "{line}: {lines:#?}"
        );
        mend(&mut world);
        assert_eq!(more(&world, 5), Vec::<String>::new(), "after {line}");
    }
    assert!(fs::read_dir(world.path("backup/probe")).map_or(0, Iterator::count) == 0);
}

#[test]
fn schedule_rights_and_those_who_are_told_are_looked_at() {
    let mut world = world("");
    let never = found(&world, 5);
    assert!(
        never.contains(&"job nightly schedule attention".to_owned()),
        "{never:#?}"
    );
    // A credential that may save only, of a job that forgets.
    world.run(&["key", "generate", "weak.key"]).expect(0);
    let add = [
        "key",
        "add",
        "-r",
        "local",
        "--label",
        "weak",
        "--capability",
        "write-only",
    ];
    world
        .run(&[&add[..], &["--new-key-file", "weak.key"]].concat())
        .expect(0);
    configure(&world, "keep = { daily = 7 }");
    let text = fs::read_to_string(world.path("icecore.toml")).unwrap();
    let listener = HttpListener::start();
    let told = "\n[notify.ops]\non = [\"critical\"]\nurl = { env = \"HOOK\" }\n";
    world.write("icecore.toml", text.replace("host.key", "weak.key") + told);
    world.set("HOOK", &listener.url("/T0K3N"));
    let weak = found(&world, 6);
    for line in [
        "repository local rights failed",
        "repository local storage attention",
    ] {
        assert!(weak.contains(&line.to_owned()), "{line}: {weak:#?}");
    }
    assert!(
        !weak.iter().any(|line| line.contains("notify")),
        "{weak:#?}"
    );
    assert!(listener.take().is_empty(), "doctor tells nobody anything");
    world.unset("HOOK");
    assert!(found(&world, 6).contains(&"observe notify failed".to_owned()));
    world.set("HOOK", "http://127.0.0.1:1/T0K3N");
    let doctor = world.run(&["doctor"]).expect(6);
    assert!(
        doctor.stdout.contains("does not answer"),
        "{}",
        doctor.stdout
    );
    assert!(!doctor.stdout.contains("T0K3N"), "{}", doctor.stdout);
    world.write("icecore.toml", "version = 1\n[job.x]\n");
    assert!(found(&world, 6).contains(&"configuration file failed".to_owned()));
}
