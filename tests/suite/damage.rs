#![allow(clippy::unwrap_used, clippy::expect_used)]
//! Damage is located: whatever is done to whichever object, the files that `check --read-data`
//! names are those that `restore` cannot bring back, no more and no less.

use crate::cli::TestEnvironment;
use crate::support::random::Random;
use crate::support::tree::{self, Tree};
use crate::support::{is_long, tree::noise};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const OPTIONS: [&str; 6] = ["-r", "hurt", "--key-file", "key", "--cache-dir", "fresh"];

/// A snapshot's id and a path in it.
type Place = (String, String);

/// A snapshot's id and the files in it.
type Taken = (String, Tree);

/// What is done to an object.
#[derive(Debug, Clone, Copy)]
enum Damage {
    Flip,
    Truncate,
    Delete,
    /// Another object of its kind in its place.
    Swap,
    /// The one of its kind that was written before it.
    Older,
}

const DAMAGES: [Damage; 5] = [
    Damage::Flip,
    Damage::Truncate,
    Damage::Delete,
    Damage::Swap,
    Damage::Older,
];

/// A repository, and what each of its snapshots holds, oldest first.
struct Whole {
    world: TestEnvironment,
    taken: Vec<Taken>,
    /// What the tree holds since.
    today: Tree,
    /// Its objects, by kind, oldest first.
    objects: Vec<Vec<PathBuf>>,
}

/// Four versions of a tree with a database in it: chunks, groups, deltas on deltas, hide records,
/// holds, proofs.
fn build() -> Whole {
    let mut world = TestEnvironment::bare();
    world.run(&["key", "generate", "key"]).expect(0);
    world.set("ICECORE_REPO", "repo");
    world.set("ICECORE_KEY_FILE", "key");
    world.init(&["--kit", "kit"]).expect(0);
    for number in 0..12 {
        let file = format!("data/small/{}/file {number}", number % 3);
        world.write(&file, format!("content of {number}"));
    }
    let database = world.database("data/app.db", 4000);
    world.write("data/large", noise(1, 900_000));
    let mut taken = Vec::new();
    for version in 0..4_u32 {
        let connection = rusqlite::Connection::open(&database).unwrap();
        let update = "UPDATE t SET b = hex(randomblob(50)) WHERE a % 1500 = ?1";
        connection.execute(update, [version]).unwrap();
        drop(connection);
        world.write("data/changing", noise(u64::from(version), 5_000));
        let summary = world.run(&["snapshot", "data", "--json"]).expect(0);
        let id = summary.summary()["snapshot_id"]
            .as_str()
            .unwrap()
            .to_owned();
        let reference = format!("reference-{version}");
        world
            .run(&["restore", &id, "--target", &reference])
            .expect(0);
        taken.push((id, tree::read(&world.path(&reference))));
    }
    let [first, .., last] = &taken[..] else {
        unreachable!()
    };
    world.run(&["hold", "add", &first.0]).expect(0);
    world.run(&["hold", "add", &last.0]).expect(0);
    world.run(&["hold", "release", &last.0]).expect(0);
    world.run(&["check", "--read-data"]).expect(0);
    let objects = by_kind(&world.path("repo"));
    let mut today = last.1.clone();
    for (name, content) in [("changing", noise(9, 5_000)), ("new", noise(10, 70_000))] {
        world.write(&format!("data/{name}"), &content);
        today.insert(format!("data/{name}"), content);
    }
    world.unset("ICECORE_REPO");
    world.unset("ICECORE_KEY_FILE");
    Whole {
        world,
        taken,
        today,
        objects,
    }
}

/// The objects of a repository by the directory of their kind, each kind in the order of writing.
fn by_kind(repository: &Path) -> Vec<Vec<PathBuf>> {
    let kinds = [
        "packs/full",
        "packs/delta",
        "packs/meta",
        "index",
        "snapshots",
        "proofs",
        "holds",
        "sessions",
        "keys/slots",
        "keys/rings",
        "keys/statements",
    ];
    let objects = |kind: &&str| {
        let directory = repository.join(kind);
        assert!(directory.is_dir(), "no {kind}");
        let below = tree::read(&directory).into_keys();
        let mut paths: Vec<PathBuf> = below.map(|path| Path::new(kind).join(path)).collect();
        let written = |path: &PathBuf| fs::metadata(repository.join(path)).unwrap().modified();
        paths.sort_by_key(|path| written(path).unwrap());
        paths
    };
    let mut all: Vec<_> = kinds.iter().map(objects).collect();
    all.push(vec!["config".into()]);
    all.retain(|paths| !paths.is_empty());
    assert!(all.len() > 9, "{all:?}");
    all
}

impl Whole {
    /// A copy of the repository with one object damaged: its name there, `None` where the damage
    /// is none.
    fn hurt(&self, random: &mut Random) -> Option<(Damage, PathBuf)> {
        let copy = self.world.path("hurt");
        let _absent = fs::remove_dir_all(&copy);
        let _absent = fs::remove_dir_all(self.world.path("fresh"));
        link_tree(&self.world.path("repo"), &copy);
        let mut below = |bound: usize| random.below(bound as u64) as usize;
        let kind = &self.objects[below(self.objects.len())];
        let number = below(kind.len());
        let damage = DAMAGES[below(DAMAGES.len())];
        let path = copy.join(&kind[number]);
        let mut bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let other = match damage {
            Damage::Swap => Some(below(kind.len())),
            Damage::Older => number.checked_sub(1),
            _ => None,
        };
        match damage {
            Damage::Delete => return Some((damage, kind[number].clone())),
            Damage::Flip => {
                let place = below(bytes.len());
                bytes[place] ^= 1 << below(8);
            }
            Damage::Truncate => bytes.truncate(below(bytes.len())),
            Damage::Swap | Damage::Older => {
                let other = other.filter(|other| *other != number)?;
                bytes = fs::read(self.world.path("repo").join(&kind[other])).unwrap();
            }
        }
        fs::write(&path, bytes).unwrap();
        Some((damage, kind[number].clone()))
    }

    /// The files that the check names; `None` where it could not open the repository.
    fn reported(&self, taken: &[Taken]) -> Option<BTreeSet<Place>> {
        let check = [&OPTIONS[..], &["check", "--read-data", "--json"]].concat();
        let run = self.world.run(&check);
        let objects = run.objects();
        if objects.last().unwrap().get("error").is_some() {
            assert!([4, 10, 12].contains(&run.code), "{}", run.stdout);
            return None;
        }
        let damage = objects.iter().filter(|object| object["type"] == "damage");
        let hurts = damage.flat_map(|damage| damage["hurts"].as_array().unwrap());
        let places: BTreeSet<Place> = hurts.flat_map(|hurt| places(hurt, taken)).collect();
        assert!(places.is_empty() || run.code == 4, "{}", run.stdout);
        Some(places)
    }

    /// What a day does with the damaged copy: what changed is saved, the second snapshot is
    /// forgotten, a prune runs. Each does its work or says what is in its way. Returns the
    /// snapshots that should be there afterwards.
    fn go_on(&self) -> Vec<Taken> {
        let run = |arguments: &[&str]| {
            let run = self.world.run(&[&OPTIONS[..], arguments].concat());
            let about = format!("{arguments:?}: {}, {}", run.code, run.stderr);
            assert!([0, 3, 4, 10, 11, 12].contains(&run.code), "{about}");
            assert!(run.code == 0 || run.stderr.contains("error: "), "{about}");
            run
        };
        let mut taken = self.taken.clone();
        let saved = run(&["snapshot", "data", "--json"]);
        if run(&["forget", &taken[1].0]).code == 0 {
            taken.remove(1);
        }
        run(&["prune", "--wait", "0s"]);
        if saved.code == 0 {
            let id = saved.summary()["snapshot_id"].as_str().unwrap().to_owned();
            taken.push((id, self.today.clone()));
        }
        taken
    }

    /// The files that do not come back. What comes back is what was saved.
    fn lost(&self, taken: &[Taken]) -> BTreeSet<Place> {
        let mut lost = BTreeSet::new();
        for (id, files) in taken {
            let target = self.world.path("out");
            let _absent = fs::remove_dir_all(&target);
            let restore = [&OPTIONS[..], &["restore", id, "--target", "out"]].concat();
            let run = self.world.run(&restore);
            let found = match target.is_dir() {
                true => tree::read(&target),
                false => Tree::new(),
            };
            let before = lost.len();
            for (path, content) in files {
                match found.get(path) {
                    Some(found) => {
                        assert!(found == content, "{path} of {id} is not what was saved")
                    }
                    None => {
                        lost.insert((id.clone(), path.clone()));
                    }
                }
            }
            assert_eq!(run.code != 0, lost.len() > before, "{}", run.stderr);
        }
        lost
    }
}

fn places(hurt: &Value, taken: &[Taken]) -> Vec<Place> {
    let (id, path) = (hurt["snapshot_id"].as_str(), hurt["path"].as_str());
    let (id, path) = (id.unwrap().to_owned(), path.unwrap());
    let Some((_, files)) = taken.iter().find(|taken| taken.0 == id) else {
        panic!("{id} is not there, yet {path} of it is named");
    };
    let is_hurt = |file: &&String| match hurt["ranges"].is_null() {
        true => Path::new(file).starts_with(path),
        false => *file == path,
    };
    let hurt = files.keys().filter(is_hurt).cloned();
    hurt.map(|file| (id.clone(), file)).collect()
}

fn link_tree(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => link_tree(&entry.path(), &target),
            false => fs::hard_link(entry.path(), target).unwrap(),
        }
    }
}

#[test]
fn what_check_names_is_what_restore_loses() {
    let whole = build();
    let (newest, _) = whole.taken.last().unwrap();
    let seeds = if is_long() { 0..200 } else { 0..14 };
    let (mut hurt, mut unopened) = (0, 0);
    for seed in seeds {
        let mut random = Random::seeded(seed);
        let Some((damage, object)) = whole.hurt(&mut random) else {
            continue;
        };
        let about = format!("seed {seed}: {damage:?} {}", object.display());
        let mut lost = whole.lost(&whole.taken);
        // Nothing names the newest snapshot: that it was deleted only its writer could know.
        if matches!(damage, Damage::Delete) && object.ends_with(newest) {
            lost.retain(|(id, _)| id != newest);
        }
        match whole.reported(&whole.taken) {
            Some(reported) => assert_eq!(reported, lost, "{about}"),
            None => {
                let all: usize = whole.taken.iter().map(|(_, files)| files.len()).sum();
                assert_eq!(
                    lost.len(),
                    all,
                    "{about}: nothing opens for a restore either"
                );
                unopened += 1;
            }
        }
        hurt += usize::from(!lost.is_empty());
    }
    assert!(hurt > unopened, "{hurt} of the damages hurt something");
}

#[test]
fn a_day_after_the_damage_nothing_more_is_lost() {
    let whole = build();
    let seeds = if is_long() { 1000..1200 } else { 1000..1010 };
    let (mut went_on, mut saved) = (0, 0);
    for seed in seeds {
        let mut random = Random::seeded(seed);
        let Some((damage, object)) = whole.hurt(&mut random) else {
            continue;
        };
        let about = format!("seed {seed}: {damage:?} {}", object.display());
        println!("{about}");
        let before = whole.lost(&whole.taken);
        let taken = whole.go_on();
        let lost = whole.lost(&taken);
        let (newest, _) = taken.last().unwrap();
        let more: Vec<_> = lost.difference(&before).collect();
        // What is new may rest on what is damaged; that is said by the check.
        assert!(more.iter().all(|(id, _)| id == newest), "{about}: {more:?}");
        if let Some(mut reported) = whole.reported(&taken) {
            let gone = matches!(damage, Damage::Delete).then_some(&object);
            let is_gone = |id: &String| gone.is_some_and(|object| object.ends_with(id));
            reported.retain(|(id, _)| !is_gone(id));
            let lost: BTreeSet<_> = lost.into_iter().filter(|(id, _)| !is_gone(id)).collect();
            assert_eq!(reported, lost, "{about}");
            went_on += 1;
        }
        saved += usize::from(taken.len() >= whole.taken.len());
    }
    assert!(went_on > 4 && saved > 4, "{went_on} went on, {saved} saved");
}
