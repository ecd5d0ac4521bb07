//! Writers, a pruner, a checker and a restorer on one directory, one of them killed every while.
//!
//! What each writer meant to save is logged outside the repository, before it starts. A long run:
//! `ICECORE_SOAK_SECONDS=600`.

use crate::cli::TestEnvironment;
use crate::support::random::Random;
use crate::support::tree::{self, Tree};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Snapshots of a source that every forget keeps.
const KEPT: usize = 4;

/// A run of the program that is going on, or none.
type Slot = Mutex<Option<Child>>;

/// Sizes of a run.
struct Scale {
    seconds: u64,
    writers: usize,
    file_bytes: usize,
    kill_every: Duration,
    dead_after: &'static str,
}

impl Scale {
    fn wanted() -> Self {
        let seconds = std::env::var("ICECORE_SOAK_SECONDS");
        match seconds.ok().and_then(|seconds| seconds.parse().ok()) {
            Some(seconds) => Self {
                seconds,
                writers: 4,
                file_bytes: 2 << 20,
                kill_every: Duration::from_secs(5),
                dead_after: "20s",
            },
            None => Self {
                seconds: 12,
                writers: 2,
                file_bytes: 200 << 10,
                kill_every: Duration::from_millis(900),
                dead_after: "4s",
            },
        }
    }
}

#[derive(Default)]
struct Counts {
    runs: AtomicU64,
    kills: AtomicU64,
    saved: AtomicU64,
    pruned: AtomicU64,
    waited: AtomicU64,
    checked: AtomicU64,
    restored: AtomicU64,
    withdrawn: AtomicU64,
}

/// What all actors share.
struct Stage {
    world: TestEnvironment,
    scale: Scale,
    stop: AtomicBool,
    slots: Vec<Slot>,
    /// What a run of a writer saves, by its name: logged before it starts.
    meant: Mutex<HashMap<String, blake3::Hash>>,
    /// Runs that reported success, by writer.
    acknowledged: Mutex<BTreeMap<usize, Vec<u64>>>,
    counts: Counts,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn add(count: &AtomicU64, amount: u64) {
    count.fetch_add(amount, Ordering::Relaxed);
}

/// One hash of all names and contents.
fn hash_of(files: &Tree) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    for (name, content) in files {
        let sizes = [name.len(), content.len()].map(|size| (size as u64).to_le_bytes());
        hasher.update(&sizes.concat());
        hasher.update(name.as_bytes()).update(content);
    }
    hasher.finalize()
}

/// What a run gave; no code where it was killed.
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Ended {
    fn summary(&self) -> Value {
        let last = self.stdout.lines().last().unwrap_or_default();
        serde_json::from_str(last).unwrap_or_default()
    }

    /// Only these outcomes, or the killer's, are right.
    fn expect(&self, codes: &[i32], what: &str) {
        let is_right = self.code.is_none_or(|code| codes.contains(&code));
        assert!(
            is_right,
            "{what} ended with {:?}\n{}\n{}",
            self.code, self.stdout, self.stderr
        );
    }
}

impl Stage {
    /// Runs the program in an actor's slot, where the killer finds it.
    fn run(&self, actor: usize, arguments: &[&str]) -> Ended {
        let output = ["out", "err"].map(|name| self.world.path(&format!("{name}.{actor}")));
        let mut command = self.world.command(arguments);
        command.stdout(File::create(&output[0]).unwrap());
        command.stderr(File::create(&output[1]).unwrap());
        let slot = &self.slots[actor];
        *locked(slot) = Some(command.spawn().unwrap());
        let status: ExitStatus = loop {
            if let Some(child) = locked(slot).as_mut()
                && let Some(status) = child.try_wait().unwrap()
            {
                break status;
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        *locked(slot) = None;
        add(&self.counts.runs, 1);
        let [stdout, stderr] = output.map(|path| fs::read_to_string(path).unwrap());
        Ended {
            code: status.code(),
            stdout,
            stderr,
        }
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Saves a tree that changes a little every time.
    fn write(&self, writer: usize) {
        let (data, cache) = (format!("data{writer}"), format!("cache{writer}"));
        let size = self.scale.file_bytes;
        let mut files = Tree::from([
            // All writers want to store it, and forget it again.
            ("common".to_owned(), tree::noise(7, size)),
            (
                "large".to_owned(),
                tree::noise(100 + writer as u64, 2 * size),
            ),
        ]);
        for run in 0.. {
            if self.is_over() {
                return;
            }
            let seed = (writer as u64) << 32 | run;
            files.insert(format!("new{}", run % 5), tree::noise(seed, size / 4));
            files.insert("common".to_owned(), tree::noise(run / 4 % 3, size));
            let large = files.get_mut("large").unwrap();
            let at = (run as usize * 7919) % (large.len() - 4096);
            large[at..at + 4096].copy_from_slice(&tree::noise(seed, 4096));
            tree::write(&self.world.path(&data), &files);
            let name = format!("{writer}-{run}");
            locked(&self.meant).insert(name.clone(), hash_of(&files));
            let tag = format!("run={name}");
            let arguments = [
                "snapshot",
                &data,
                "--json",
                "--tag",
                &tag,
                "--cache-dir",
                &cache,
            ];
            let ended = self.run(writer, &arguments);
            // 1: it was closed as dead again and again, which costs it a repetition.
            ended.expect(&[0, 1], "a snapshot");
            if ended.code == Some(0) {
                add(&self.counts.saved, 1);
                locked(&self.acknowledged)
                    .entry(writer)
                    .or_default()
                    .push(run);
            }
        }
    }

    fn prune(&self, actor: usize) {
        let kept = KEPT.to_string();
        while !self.is_over() {
            let forget = ["forget", "--keep-last", &kept, "--force", "--json"];
            self.run(actor, &forget).expect(&[0], "forget");
            let dead_after = self.scale.dead_after;
            let prune = [
                "prune",
                "--max-unused",
                "1%",
                "--dead-after",
                dead_after,
                "--json",
            ];
            let ended = self.run(actor, &prune);
            // 11: the session of one that was killed is open.
            ended.expect(&[0, 11], "prune");
            if ended.code == Some(0) {
                let summary = ended.summary();
                add(&self.counts.pruned, 1);
                let waited = summary["waited_seconds"].as_f64().unwrap();
                add(&self.counts.waited, (waited * 1000.0) as u64);
            }
        }
    }

    fn check(&self, actor: usize) {
        while !self.is_over() {
            let ended = self.run(actor, &["check", "--read-data", "--json"]);
            ended.expect(&[0], "check");
            add(&self.counts.checked, u64::from(ended.code == Some(0)));
        }
    }

    fn restore(&self, actor: usize) {
        let mut random = Random::seeded(actor as u64);
        while !self.is_over() {
            let listed = self.run(actor, &["snapshots", "--json"]);
            listed.expect(&[0], "snapshots");
            let Some((id, name)) = pick(&snapshots(&listed), &mut random) else {
                std::thread::sleep(Duration::from_millis(50));
                continue;
            };
            let target = self.world.path("restored");
            let _ = fs::remove_dir_all(&target);
            let ended = self.run(actor, &["restore", &id, "--target", "restored"]);
            // 2: gone before it began. 1: withdrawn while it went on.
            ended.expect(&[0, 1, 2], "restore");
            match ended.code {
                Some(0) => {
                    self.compare(&target, &name);
                    add(&self.counts.restored, 1);
                }
                Some(1) => {
                    assert!(ended.stderr.contains("withdrawn"), "{}", ended.stderr);
                    add(&self.counts.withdrawn, 1);
                }
                _ => {}
            }
        }
    }

    /// A restored tree is what its writer logged.
    fn compare(&self, target: &Path, name: &str) {
        let meant = locked(&self.meant)[name];
        let writer = name.split('-').next().unwrap();
        let found = tree::read(&target.join(format!("data{writer}")));
        assert_eq!(hash_of(&found), meant, "run {name} restores otherwise");
    }

    fn kill(&self) {
        let mut random = Random::fresh("kill -9 of anyone");
        let mut next = Instant::now() + self.scale.kill_every;
        while !self.is_over() {
            std::thread::sleep(Duration::from_millis(20));
            if Instant::now() < next {
                continue;
            }
            let actor = random.below(self.slots.len() as u64) as usize;
            if let Some(child) = locked(&self.slots[actor]).as_mut() {
                child.kill().unwrap();
                add(&self.counts.kills, 1);
                next += self.scale.kill_every;
            }
        }
    }
}

/// Id and run of every visible snapshot.
fn snapshots(listed: &Ended) -> Vec<(String, String)> {
    let objects = listed.stdout.lines().map(serde_json::from_str::<Value>);
    objects
        .flatten()
        .filter(|object| object["type"] == "snapshot")
        .map(|snapshot| {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            (text(&snapshot["id"]), text(&snapshot["tags"]["run"]))
        })
        .collect()
}

fn pick<T: Clone>(among: &[T], random: &mut Random) -> Option<T> {
    let number = random.below(among.len().max(1) as u64) as usize;
    among.get(number).cloned()
}

/// What must hold when everyone has stopped.
fn assert_all_is_well(stage: &Stage) {
    let world = &stage.world;
    // Whoever was killed is dead now.
    let last = [
        "prune",
        "--max-unused",
        "0%",
        "--dead-after",
        "0s",
        "--json",
    ];
    world.run(&last).expect(0);
    let checked = world.run(&["check", "--read-data", "--json"]).expect(0);
    assert_eq!(checked.summary()["complete"], true);
    // The directory store hides what a killed PUT left; it is no object.
    let names = fs::read_dir(world.path("repo/sessions")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let left: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
    assert_eq!(left, Vec::<String>::new(), "sessions of the dead");
    let listed = stage.run(0, &["snapshots", "--json"]);
    let visible = snapshots(&listed);
    let mut runs: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
    for (id, name) in &visible {
        let target = world.path("restored");
        let _ = fs::remove_dir_all(&target);
        world
            .run(&["restore", id, "--target", "restored"])
            .expect(0);
        stage.compare(&target, name);
        let (writer, run) = name.split_once('-').unwrap();
        let of_writer = runs.entry(writer.parse().unwrap()).or_default();
        of_writer.push(run.parse().unwrap());
    }
    for (writer, acknowledged) in locked(&stage.acknowledged).iter() {
        let visible = runs.get(writer).cloned().unwrap_or_default();
        for run in acknowledged {
            let newer = visible.iter().filter(|other| *other > run).count();
            let is_there = visible.contains(run) || newer >= KEPT;
            assert!(is_there, "run {writer}-{run} was acknowledged: {visible:?}");
        }
    }
    let Counts {
        runs,
        kills,
        saved,
        pruned,
        waited,
        checked,
        restored,
        withdrawn,
    } = &stage.counts;
    println!(
        "{} s, {} writers: {runs:?} runs, {kills:?} killed; {saved:?} snapshots acknowledged, \
         {} visible; {pruned:?} prunes, which waited {waited:?} ms; {checked:?} checks; \
         {restored:?} restores compared, {withdrawn:?} withdrawn meanwhile; {} bytes of packs",
        stage.scale.seconds,
        stage.scale.writers,
        visible.len(),
        super::bytes_on_disk(&world.path("repo/packs")),
    );
    assert!(saved.load(Ordering::Relaxed) > 0);
}

/// A panic of an actor stops the others.
struct StopOnPanic<'a>(&'a AtomicBool);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

#[test]
fn writers_a_pruner_a_checker_and_a_restorer_are_killed_and_nothing_is_lost() {
    let scale = Scale::wanted();
    let (writers, seconds) = (scale.writers, scale.seconds);
    let stage = Stage {
        world: TestEnvironment::new(),
        slots: (0..writers + 3).map(|_| Mutex::default()).collect(),
        scale,
        stop: AtomicBool::new(false),
        meant: Mutex::default(),
        acknowledged: Mutex::default(),
        counts: Counts::default(),
    };
    std::thread::scope(|scope| {
        let stage = &stage;
        let act = |act: Box<dyn FnOnce() + Send>| {
            scope.spawn(move || {
                let _stop = StopOnPanic(&stage.stop);
                act();
            });
        };
        for writer in 0..writers {
            act(Box::new(move || stage.write(writer)));
        }
        act(Box::new(move || stage.prune(writers)));
        act(Box::new(move || stage.check(writers + 1)));
        act(Box::new(move || stage.restore(writers + 2)));
        act(Box::new(|| stage.kill()));
        let end = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < end && !stage.is_over() {
            std::thread::sleep(Duration::from_millis(20));
        }
        stage.stop.store(true, Ordering::Relaxed);
    });
    assert_all_is_well(&stage);
}
