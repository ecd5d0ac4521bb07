//! Screens, as they are.

use super::TestEnvironment;

#[test]
fn overview_without_a_repository() {
    let world = TestEnvironment::bare();
    insta::assert_snapshot!(world.run(&[]).expect(0).stdout, @r"
    icecore 0.1.0 · consistent, encrypted, provable backups of databases and files

      icecore repo init -r REPO            make a repository
      icecore snapshot PATH|sqlite:FILE    save files, or a database while it is in use
      icecore snapshots                    what there is
      icecore restore latest --target DIR  bring it back
      icecore check --read-data            prove that all of it can be read

    no repository chosen: give -r REPO or set ICECORE_REPO
    All commands and options: icecore --help
    ");
}

#[test]
fn making_a_repository() {
    let mut world = TestEnvironment::bare();
    world.set("ICECORE_PASSPHRASE", "short");
    let made = world
        .init(&["-r", "repo", "--cipher", "aes-256-gcm", "--kit", "kit.txt"])
        .expect(0);
    let first = made.stdout.lines().next().unwrap();
    assert!(first.starts_with("created repository "), "{first}");
    assert!(
        first.contains("cipher aes-256-gcm · argon2id 8 MiB, "),
        "{first}"
    );
    assert!(made.stdout.contains(
        "! Without this passphrase nobody, we included, can restore. Printable kit: kit.txt"
    ));
    assert!(made.stdout.contains("is volatile"), "{}", made.stdout);
    assert!(made.stderr.contains("only 5 bytes"), "{}", made.stderr);
    world.write("occupied/file", "x");
    let occupied = world.init(&["-r", "occupied"]).expect(2);
    assert!(
        occupied.stderr.contains("holds other files, such as file"),
        "{}",
        occupied.stderr
    );
}

#[test]
fn list_and_plan() {
    let world = TestEnvironment::new();
    world.write("data/a", "12345");
    let taken = world
        .run(&["snapshot", "data", "--host", "portal-1"])
        .expect(0);
    let line = world.stable(taken.stdout.lines().last().unwrap());
    assert!(line.starts_with("snapshot ID   data   5 B in "), "{line}");
    let listed = world.stable(&world.run(&["snapshots"]).expect(0).stdout);
    let mut lines = listed.lines();
    assert_eq!(
        lines.next().unwrap().split_whitespace().collect::<Vec<_>>(),
        ["ID", "TAKEN", "(UTC)", "SOURCE", "SIZE", "ADDED", "PROVEN"]
    );
    let row: Vec<_> = lines.next().unwrap().split_whitespace().collect();
    assert_eq!(row[..6], ["ID", "today", "TIME", "data", "5", "B"]);
    let plan = world.run(&["restore", "latest"]).expect(2);
    insta::assert_snapshot!(world.stable(&plan.stdout), @r"
    plan     ID of data on portal-1, taken today TIME UTC
    restore  1 file, 5 B
    target   none was given, so nothing was done. Choose:
    ");
    insta::assert_snapshot!(world.stable(&plan.stderr), @r"
    error: restore needs --target or --to-origin
      try: icecore restore ID --target ./restored-data
      try: icecore restore ID --to-origin --dry-run
    ");
}

#[test]
fn hostile_names_do_not_reach_the_terminal() {
    let world = TestEnvironment::new();
    world.write("data/a\x1b[2Jb", "1");
    world.run(&["snapshot", "data"]).expect(0);
    let listing = world.run(&["ls", "-R", "latest"]).expect(0);
    assert!(!listing.stdout.contains('\x1b'));
    assert!(
        listing.stdout.contains("a\\u{1b}[2Jb"),
        "{}",
        listing.stdout
    );
}

#[test]
fn help_names_every_command() {
    let world = TestEnvironment::bare();
    let help = world.run(&["--help"]).expect(0).stdout;
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names: Vec<_> = commands
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    for wanted in [
        "repo",
        "snapshot",
        "restore",
        "snapshots",
        "ls",
        "cat",
        "find",
        "diff",
        "compare",
        "mount",
        "key",
        "domain",
        "cache",
        "completions",
        "man",
        "version",
    ] {
        assert!(names.contains(&wanted), "{wanted} is not in {names:?}");
    }
    assert!(help.contains("Exit codes: 0 done"));
    for name in names.iter().filter(|name| **name != "help") {
        world.run(&[name, "--help"]).expect(0);
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(
            world
                .run(&["completions", shell])
                .expect(0)
                .stdout
                .contains("snapshot")
        );
    }
    let page = world.run(&["man"]).expect(0).stdout;
    assert!(page.starts_with(".ie") && page.contains("ICECORE SNAPSHOT"));
    let version = world.run(&["version", "-v"]).expect(0).stdout;
    assert!(
        version.contains("SQLite") && version.contains("compiled in"),
        "{version}"
    );
}
