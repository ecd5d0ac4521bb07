//! `schedule`: what other schedulers get, held against their own tools where these are installed.

use super::{configure, world};
use crate::cli::TestEnvironment;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

const DRILL: &str = "timeout = \"40m\"\ndrill = { schedule = \"Sun 03:00\", command = [\"true\"] }";

/// Whether a program is there; without it, what it would judge is only looked at.
fn is_installed(program: &str) -> bool {
    let mut asked = Command::new(program);
    let asked = asked.arg("--version").stdout(Stdio::null());
    asked.status().is_ok_and(|status| status.success())
}

/// A world whose jobs are more than one command can tell apart by luck.
fn with_jobs(job: &str) -> TestEnvironment {
    let world = world(job);
    let text = fs::read_to_string(world.path("icecore.toml")).unwrap();
    let more = "[job.often]\nsources = [\"files\"]\nrepositories = [\"local\"]\nschedule = \"every 6h\"\n\
                [job.odd]\nsources = [\"db\"]\nrepositories = [\"local\"]\nschedule = \"0 0 13 * fri\"\ntimezone = \"Europe/Berlin\"\n\
                [job.now]\nsources = [\"token\"]\nrepositories = [\"local\"]\nschedule = \"on-change\"\n";
    world.write("icecore.toml", format!("{text}\n{more}"));
    world
}

fn units(world: &TestEnvironment, directory: &str) -> Vec<String> {
    let found = fs::read_dir(world.path(directory)).unwrap();
    let mut names: Vec<String> = found
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn timers_for_systemd_pass_its_own_check_and_hold_no_secret() {
    let world = with_jobs(DRILL);
    let install = [
        "schedule",
        "install",
        "systemd",
        "--run-as",
        "root",
        "--dir",
        "units",
        "--cache-dir",
        "jobs-cache",
    ];
    let own_cache = &install[..7];
    let refused = world.run(own_cache).expect(2);
    assert!(
        refused.stderr.contains("give --cache-dir"),
        "{}",
        refused.stderr
    );
    let dry = world
        .run(&[&install[..], &["--dry-run"]].concat())
        .expect(5);
    assert!(
        dry.stdout
            .contains("would write units/icecore-portal-nightly.timer (new)"),
        "{}",
        dry.stdout
    );
    assert!(!world.path("units").exists());
    let run = world.run(&install).expect(5);
    assert!(
        run.stderr
            .contains("now: on-change is nothing that a timer knows"),
        "{}",
        run.stderr
    );
    let names = units(&world, "units");
    assert_eq!(
        names,
        [
            "icecore-portal-nightly-drill.service",
            "icecore-portal-nightly-drill.timer",
            "icecore-portal-nightly.service",
            "icecore-portal-nightly.timer",
            "icecore-portal-odd.service",
            "icecore-portal-odd.timer",
            "icecore-portal-often.service",
            "icecore-portal-often.timer",
        ]
    );
    let read = |name: &str| fs::read_to_string(world.path("units").join(name)).unwrap();
    let service = read("icecore-portal-nightly.service");
    let backup = format!("ReadWritePaths=-{}\n", world.path("backup").display());
    let cache = format!(" --cache-dir {} ", world.path("jobs-cache").display());
    for part in [
        &cache,
        " run nightly --trigger schedule\n",
        "TimeoutStartSec=2520s\n",
        "NoNewPrivileges=yes\n",
        "ProtectSystem=strict\n",
        &backup,
        "User=root\n",
    ] {
        assert!(service.contains(part), "{part}\n{service}");
    }
    assert!(
        !service.contains("MemoryDenyWriteExecute"),
        "its command may need it\n{service}"
    );
    let timer = read("icecore-portal-nightly.timer");
    assert!(
        timer.contains("OnCalendar=*-*-* 03:00:00 Asia/Almaty\nPersistent=true\n"),
        "{timer}"
    );
    assert!(read("icecore-portal-often.timer").contains("OnUnitActiveSec=21600s\n"));
    let odd = read("icecore-portal-odd.timer");
    assert!(odd.contains("OnCalendar=*-*-13 00:00:00 Europe/Berlin\nOnCalendar=Fri *-*-* 00:00:00 Europe/Berlin\n"), "{odd}");
    assert!(read("icecore-portal-nightly-drill.service").contains(" drill --job nightly\n"));
    let all: String = names.iter().map(|name| read(name)).collect();
    assert!(
        !all.contains("sesame") && !all.contains("icecore-key-1"),
        "a secret is shown"
    );
    if is_installed("systemd-analyze") {
        let paths: Vec<PathBuf> = names
            .iter()
            .map(|name| world.path("units").join(name))
            .collect();
        let verified = Command::new("systemd-analyze")
            .args(["verify", "--man=no"])
            .args(&paths)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&verified.stderr);
        let ours: Vec<&str> = told
            .lines()
            .filter(|line| line.contains("icecore"))
            .collect();
        assert!(verified.status.success() && ours.is_empty(), "{told}");
        for event in all
            .lines()
            .filter_map(|line| line.strip_prefix("OnCalendar="))
        {
            let read = Command::new("systemd-analyze")
                .args(["calendar", event])
                .output()
                .unwrap();
            assert!(
                read.status.success(),
                "{event}: {}",
                String::from_utf8_lossy(&read.stderr)
            );
        }
    }
}

#[test]
fn installing_again_changes_nothing_and_takes_away_what_is_gone() {
    let world = with_jobs("");
    let install = ["schedule", "install", "systemd", "--dir", "units", "--json"];
    world.run(&install).expect(5);
    let foreign = "[Unit]\nDescription=somebody else's\n";
    world.write("units/icecore-other.service", foreign);
    let changes = |code: i32| {
        let objects = world.run(&install).expect(code).objects();
        let files = objects.iter().filter(|one| one["type"] == "file");
        let changes = files.map(|one| {
            format!(
                "{} {}",
                one["name"].as_str().unwrap(),
                one["change"].as_str().unwrap()
            )
        });
        changes.collect::<Vec<_>>()
    };
    assert!(
        changes(5)
            .iter()
            .all(|change| change.ends_with(" unchanged"))
    );
    let text = fs::read_to_string(world.path("icecore.toml")).unwrap();
    let text = text
        .replace("job.often", "job.seldom")
        .replace("\"on-change\"", "\"daily 05:00\"");
    world.write("icecore.toml", text);
    let changed = changes(0);
    for change in [
        "icecore-portal-nightly.timer unchanged",
        "icecore-portal-often.timer removed",
        "icecore-portal-often.service removed",
        "icecore-portal-seldom.timer new",
        "icecore-portal-now.timer new",
    ] {
        assert!(
            changed.iter().any(|one| one == change),
            "{change}: {changed:?}"
        );
    }
    assert_eq!(
        fs::read_to_string(world.path("units/icecore-other.service")).unwrap(),
        foreign
    );
    world.write("units/icecore-portal-now.timer", foreign);
    let refused = world.run(&install).expect(11);
    assert!(
        refused.stderr.contains("not of this configuration"),
        "{}",
        refused.stderr
    );
    // The daemon's one unit instead of all these.
    fs::remove_file(world.path("units/icecore-portal-now.timer")).unwrap();
    let daemon = [&install[..], &["--daemon"]].concat();
    world.run(&daemon).expect(0);
    assert_eq!(
        units(&world, "units"),
        ["icecore-other.service", "icecore-portal.service"]
    );
    let unit = fs::read_to_string(world.path("units/icecore-portal.service")).unwrap();
    assert!(
        unit.contains("Type=notify\n") && unit.contains(" daemon\n"),
        "{unit}"
    );
    if is_installed("systemd-analyze") {
        let path = world.path("units/icecore-portal.service");
        let verified = Command::new("systemd-analyze")
            .args(["verify", "--man=no"])
            .arg(path)
            .output()
            .unwrap();
        assert!(
            verified.status.success(),
            "{}",
            String::from_utf8_lossy(&verified.stderr)
        );
    }
}

#[test]
fn a_table_for_cron_says_what_cron_cannot() {
    let mut world = with_jobs("");
    let printed = world.run(&["schedule", "print", "cron"]).expect(5);
    let line = " run nightly --trigger schedule\n";
    assert!(
        printed.stdout.contains("\nCRON_TZ=Asia/Almaty\n"),
        "{}",
        printed.stdout
    );
    assert!(
        printed.stdout.contains("\n0 3 * * * ") && printed.stdout.contains(line),
        "{}",
        printed.stdout
    );
    assert!(
        printed.stdout.contains("\n0 */6 * * * "),
        "{}",
        printed.stdout
    );
    assert!(
        printed.stderr.contains("not every cron reads CRON_TZ"),
        "{}",
        printed.stderr
    );
    assert!(
        printed
            .stderr
            .contains("now: on-change cannot be said in a line of cron"),
        "{}",
        printed.stderr
    );
    let install = [
        "schedule",
        "install",
        "cron",
        "--dir",
        "cron.d",
        "--run-as",
        "backup",
        "--cache-dir",
        "jobs-cache",
    ];
    let refused = world.run(&install).expect(11);
    assert!(
        refused.stderr.contains("schedule install systemd"),
        "{}",
        refused.stderr
    );
    world.run(&[&install[..], &["--force"]].concat()).expect(5);
    let table = fs::read_to_string(world.path("cron.d/icecore-portal")).unwrap();
    assert!(table.contains("\n0 3 * * * backup "), "{table}");
    // In the system's own zone there is nothing to doubt.
    world.set("TZ", "Asia/Almaty");
    configure(&world, "");
    let printed = world.run(&["schedule", "print", "cron"]).expect(0);
    assert!(!printed.stdout.contains("CRON_TZ"), "{}", printed.stdout);
}

#[test]
fn cron_jobs_for_kubernetes_have_the_form_that_the_api_wants() {
    let world = with_jobs(DRILL);
    let printed = world.run(&["schedule", "print", "k8s"]).expect(5);
    assert!(printed.stderr.contains("untried"), "{}", printed.stderr);
    assert!(printed.stdout.contains("# UNTRIED"), "{}", printed.stdout);
    assert!(!printed.stdout.contains("sesame"));
    // Each is held against the API's own schema, strictly, and handed back as JSON.
    let program = "import sys, json, yaml, kubernetes_validate as k\n\
                   found = [d for d in yaml.safe_load_all(sys.stdin) if d]\n\
                   [k.validate(d, k.latest_version(), strict=True) for d in found]\n\
                   print(json.dumps(found))";
    let python = std::env::var_os("ICECORE_TEST_PYTHON").unwrap_or_else(|| "python3".into());
    let mut tried = Command::new(&python);
    let tried = tried
        .args(["-c", "import kubernetes_validate"])
        .stderr(Stdio::null());
    if !tried.status().is_ok_and(|status| status.success()) {
        println!("not held against the schema: ./run-tests installs kubernetes-validate");
        return;
    }
    let mut reader = Command::new(python)
        .args(["-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    reader
        .stdin
        .take()
        .unwrap()
        .write_all(printed.stdout.as_bytes())
        .unwrap();
    let output = reader.wait_with_output().unwrap();
    let documents: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        documents.len(),
        4,
        "two jobs that can be said, one in its own zone, a drill"
    );
    for document in &documents {
        assert_eq!(
            (&document["apiVersion"], &document["kind"]),
            (&"batch/v1".into(), &"CronJob".into())
        );
        let name = document["metadata"]["name"].as_str().unwrap();
        assert!(
            name.len() <= 52 && name.starts_with("icecore-portal-"),
            "{name}"
        );
        let spec = &document["spec"];
        assert_eq!(spec["concurrencyPolicy"], "Forbid");
        assert_eq!(
            spec["schedule"].as_str().unwrap().split(' ').count(),
            5,
            "{spec}"
        );
        let pod = &spec["jobTemplate"]["spec"]["template"]["spec"];
        assert_eq!(pod["restartPolicy"], "Never");
        let container = &pod["containers"][0];
        assert_eq!(container["command"][0], "icecore");
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
        let names = |list: &serde_json::Value| -> Vec<String> {
            let list = list.as_array().unwrap().iter();
            list.map(|one| one["name"].as_str().unwrap().to_owned())
                .collect()
        };
        assert_eq!(
            names(&container["volumeMounts"]),
            names(&pod["volumes"]),
            "each mount has its volume"
        );
    }
    let nightly = documents
        .iter()
        .find(|one| one["metadata"]["name"] == "icecore-portal-nightly");
    let spec = &nightly.unwrap()["spec"];
    assert_eq!(
        (&spec["schedule"], &spec["timeZone"]),
        (&"0 3 * * *".into(), &"Asia/Almaty".into())
    );
    assert_eq!(spec["jobTemplate"]["spec"]["activeDeadlineSeconds"], 2520);
}
