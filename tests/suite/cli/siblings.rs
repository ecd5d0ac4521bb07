//! Repositories made like another one.

use super::TestEnvironment;
use super::environment::PASSPHRASE;

const CHEAP: [&str; 4] = ["--kdf-memory", "8MiB", "--kdf-passes", "1"];

#[test]
fn a_sibling_shares_what_names_content_and_no_secret_else() {
    let mut world = TestEnvironment::new();
    world.run(&["domain", "create", "more"]).expect(0);
    let first = world.run(&["info", "--json"]).expect(0).summary();
    world.set("ICECORE_FROM_PASSPHRASE", PASSPHRASE);
    world.set("ICECORE_PASSPHRASE", "of-the-sibling-only");
    let init = [
        &["init", "-r", "nas", "--like", "repo", "--kit", "kit-nas"],
        &CHEAP[..],
    ]
    .concat();
    let dry = world.run(&[&init[..], &["-n"]].concat()).expect(0);
    assert!(dry.stdout.contains("a sibling of"), "{}", dry.stdout);
    assert!(!world.path("nas").exists());
    let made = world.run(&init).expect(0);
    assert!(
        made.stdout.contains("(domains: main, more)"),
        "{}",
        made.stdout
    );

    let second = world
        .run(&["info", "-r", "nas", "--json"])
        .expect(0)
        .summary();
    assert_eq!(first["lineage"], second["lineage"]);
    assert_ne!(first["repository_id"], second["repository_id"]);
    assert_eq!(second["domains"], first["domains"]);
    world.unset("ICECORE_FROM_PASSPHRASE");
    // What opens the one does not open the other.
    world.set("ICECORE_PASSPHRASE", PASSPHRASE);
    world.run(&["info", "-r", "nas"]).expect(12);
    let other = [&["init", "-r", "stranger", "--kit", "kit"], &CHEAP[..]].concat();
    world.run(&other).expect(0);
    let stranger = world
        .run(&["info", "-r", "stranger", "--json"])
        .expect(0)
        .summary();
    assert_ne!(first["lineage"], stranger["lineage"]);
}

#[test]
fn a_sibling_needs_the_other_one_opened() {
    let mut world = TestEnvironment::new();
    let init = |like: &'static str| {
        [
            &["init", "-r", "nas", "--kit", "kit", "--like", like],
            &CHEAP[..],
        ]
        .concat()
    };
    world.run(&init("nowhere")).expect(10);
    world.set("ICECORE_PASSPHRASE", "another-one-than-there");
    let refused = world.run(&init("repo")).expect(12);
    assert!(
        refused.stderr.contains("--from-passphrase-file"),
        "{}",
        refused.stderr
    );
    world.set("ICECORE_FROM_PASSPHRASE", "wrong-as-well-it-is");
    world.run(&init("repo")).expect(12);
    assert!(!world.path("nas").exists());
    let without = ["init", "-r", "nas", "--kit", "kit"];
    let useless = world.run(&without).expect(2);
    assert!(useless.stderr.contains("--like"), "{}", useless.stderr);
}

#[test]
fn an_erasable_domain_is_not_shared() {
    let world = TestEnvironment::new();
    world.run(&["key", "generate", "people"]).expect(0);
    let erasable = [
        "domain",
        "create",
        "people",
        "--erasable",
        "--new-key-file",
        "people",
    ];
    world.run(&erasable).expect(0);
    let init = ["init", "-r", "nas", "--like", "repo", "--kit", "kit-nas"];
    let made = world.run(&[&init[..], &CHEAP[..]].concat()).expect(0);
    assert!(made.stderr.contains("is not shared") || made.stdout.contains("is not shared"));
    let second = world
        .run(&["info", "-r", "nas", "--json"])
        .expect(0)
        .summary();
    assert_eq!(second["domains"], serde_json::json!(["main"]));
}
