//! Two programs, one repository.

use super::{assert_undamaged, restored};
use crate::cli::TestEnvironment;
use crate::support::tree::{self, Tree};
use std::process::Stdio;

/// Both succeed, and both snapshots restore, whatever they share.
fn two_snapshots_at_once(caches: [&str; 2]) {
    let world = TestEnvironment::new();
    // Half of the content is common: both want to store it.
    let trees = [0u64, 1].map(|own| {
        Tree::from([
            ("common".to_owned(), tree::noise(100, 6 << 20)),
            ("own".to_owned(), tree::noise(own, 6 << 20)),
        ])
    });
    for round in 0..3 {
        let mut children = Vec::new();
        for (number, files) in trees.iter().enumerate() {
            let name = format!("data{round}{number}");
            tree::write(&world.path(&name), files);
            let arguments = ["snapshot", &name, "--json", "--cache-dir", caches[number]];
            let mut command = world.command(&arguments);
            let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
            children.push((name.clone(), piped.spawn().unwrap()));
        }
        for (number, (name, child)) in children.into_iter().enumerate() {
            let output = child.wait_with_output().unwrap();
            let shown = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(0), "{caches:?}: {shown}");
            let lines = String::from_utf8(output.stdout).unwrap();
            let summary: serde_json::Value =
                serde_json::from_str(lines.lines().last().unwrap()).unwrap();
            let found = restored(&world, summary["snapshot_id"].as_str().unwrap());
            let named =
                |(path, bytes): (&String, &Vec<u8>)| (format!("{name}/{path}"), bytes.clone());
            let wanted: Tree = trees[number].iter().map(named).collect();
            assert_eq!(tree::differences(&wanted, &found), Vec::<String>::new());
        }
    }
    assert_undamaged(&world);
}

#[test]
fn two_snapshots_with_caches_of_their_own() {
    two_snapshots_at_once(["cache-a", "cache-b"]);
}

#[test]
fn two_snapshots_with_one_cache() {
    two_snapshots_at_once(["cache", "cache"]);
}
