//! Looking inside: two snapshots compared, a snapshot compared with what is live.

use super::TestEnvironment;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;

fn id(taken: &super::Finished) -> String {
    taken.summary()["snapshot_id"].as_str().unwrap().to_owned()
}

fn take(world: &TestEnvironment, sources: &[&str]) -> String {
    id(&world
        .run(&[&["snapshot", "--json"], sources].concat())
        .expect(0))
}

/// Change, and path, of every difference.
fn differences(finished: &super::Finished) -> Vec<(String, String)> {
    let objects = finished.objects();
    let found = objects
        .iter()
        .filter(|object| object["type"] == "difference");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    found
        .map(|object| (text(&object["change"]), text(&object["path"])))
        .collect()
}

fn expected(list: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(change, path): &(&str, &str)| ((*change).to_owned(), (*path).to_owned());
    list.iter().map(owned).collect()
}

#[test]
fn two_trees_differ_in_every_way() {
    let world = TestEnvironment::new();
    world.write("data/same/deep/file", "unchanged");
    world.write("data/changed", "1");
    world.write("data/gone", "12345");
    world.write("data/kind", "file");
    let mode = world.write("data/mode", "x");
    fs::set_permissions(&mode, fs::Permissions::from_mode(0o600)).unwrap();
    std::os::unix::fs::symlink("old", world.path("data/link")).unwrap();
    let before = take(&world, &["data"]);
    world.write("data/changed", "2");
    fs::remove_file(world.path("data/gone")).unwrap();
    fs::remove_file(world.path("data/kind")).unwrap();
    world.write("data/kind/inner", "now a directory");
    world.write("data/new", "123");
    fs::set_permissions(&mode, fs::Permissions::from_mode(0o640)).unwrap();
    fs::remove_file(world.path("data/link")).unwrap();
    std::os::unix::fs::symlink("new", world.path("data/link")).unwrap();
    let after = take(&world, &["data"]);

    let found = world.run(&["diff", &before, &after, "--json"]).expect(0);
    let without_metadata = [
        ("content", "data/changed"),
        ("removed", "data/gone"),
        ("kind", "data/kind"),
        ("added", "data/kind/inner"),
        ("content", "data/link"),
        ("added", "data/new"),
    ];
    assert_eq!(differences(&found), expected(&without_metadata));
    let summary = found.summary();
    for (field, value) in [
        ("added", 2),
        ("removed", 1),
        ("changed", 2),
        ("kinds", 1),
        ("metadata", 0),
        ("bytes_removed", 5),
    ] {
        assert_eq!(summary[field], value, "{field}");
    }
    let metadata = world
        .run(&["diff", "-m", &before, &after, "--json"])
        .expect(0);
    assert!(differences(&metadata).contains(&("metadata".into(), "data/mode".into())));

    let back = world.run(&["diff", &after, &before, "--json"]).expect(0);
    assert!(differences(&back).contains(&("added".into(), "data/gone".into())));
    assert!(differences(&back).contains(&("removed".into(), "data/kind/inner".into())));
    let narrowed = format!("{before}:data/kind");
    let narrowed = world.run(&["diff", &narrowed, &after, "--json"]).expect(0);
    let below = [("kind", "data/kind"), ("added", "data/kind/inner")];
    assert_eq!(differences(&narrowed), expected(&below));
    let none = world
        .run(&["diff", &format!("{before}:data/same"), &after])
        .expect(0);
    assert!(none.stdout.contains("nothing differs"), "{}", none.stdout);
    world
        .run(&["diff", &format!("{before}:nowhere"), &after])
        .expect(2);
    let screen = world.run(&["diff", "-m", &before, &after]).expect(0).stdout;
    for line in [
        "M  data/changed  1 B, time",
        "-  data/gone  5 B",
        "T  data/kind  file -> directory",
        "+  data/new  3 B",
        "U  data/mode  1 B, mode 0600 -> 0640",
        "M  data/link  old -> new",
        "2 added",
    ] {
        assert!(screen.contains(line), "{line} in\n{screen}");
    }
}

#[test]
fn databases_differ_by_schema_and_rows() {
    let world = TestEnvironment::new();
    let path = world.database("app.db", 30_000);
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection
        .execute_batch(
            "CREATE TABLE quiet(x); INSERT INTO quiet VALUES (1); CREATE VIEW v AS SELECT 1;",
        )
        .unwrap();
    let before = take(&world, &["sqlite:app.db"]);
    connection
        .execute_batch(
            "UPDATE t SET b = 'other' WHERE a <= 3; DELETE FROM t WHERE a BETWEEN 6 AND 10; \
             INSERT INTO t VALUES (40000, 'new'), (40001, 'new'); \
             CREATE TABLE extra(y); INSERT INTO extra VALUES (1),(2); \
             CREATE INDEX t_a ON t(a); DROP VIEW v;",
        )
        .unwrap();
    let after = take(&world, &["sqlite:app.db"]);
    let found = world.run(&["diff", &before, &after, "--json"]).expect(0);
    assert_eq!(differences(&found), expected(&[("content", "app.db")]));
    let object = &found.objects()[0];
    let schema: Vec<_> = object["database"]["schema"]
        .as_array()
        .unwrap()
        .iter()
        .collect();
    let names: Vec<_> = schema
        .iter()
        .map(|o| {
            (
                o["kind"].as_str().unwrap(),
                o["name"].as_str().unwrap(),
                o["change"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        names,
        [
            ("index", "t_a", "added"),
            ("table", "extra", "added"),
            ("view", "v", "removed")
        ]
    );
    let tables = object["database"]["tables"].as_array().unwrap();
    assert_eq!(tables.len(), 2, "{tables:?}");
    let rows = |table: &Value| {
        [
            "rows_before",
            "rows_after",
            "rows_added",
            "rows_removed",
            "rows_changed",
        ]
        .map(|field| table[field].as_u64())
    };
    assert_eq!(tables[0]["name"], "extra");
    assert_eq!(rows(&tables[0]), [None, Some(2), Some(2), Some(0), Some(0)]);
    assert_eq!(tables[1]["name"], "t");
    assert_eq!(
        rows(&tables[1]),
        [Some(30_000), Some(29_997), Some(2), Some(5), Some(3)]
    );
    assert_eq!(object["database"]["tables_same"], 1);
    let counted = world
        .run(&["diff", "--no-rows", &before, &after, "--json"])
        .expect(0);
    assert_eq!(
        counted.objects()[0]["database"]["tables"][1]["rows_added"],
        Value::Null
    );
    let screen = world.run(&["diff", &before, &after]).expect(0).stdout;
    assert!(screen.contains("2 added, 5 removed, 3 changed"), "{screen}");
    assert!(screen.contains("+ index t_a"), "{screen}");
    assert!(screen.contains("1 table without a difference"), "{screen}");
}

/// A difference that cannot be seen must not be taken for none.
#[test]
fn a_damaged_database_is_no_answer() {
    let world = TestEnvironment::new();
    world.database("app.db", 20_000);
    let before = take(&world, &["sqlite:app.db", "--compression", "off"]);
    let connection = rusqlite::Connection::open(world.path("app.db")).unwrap();
    connection
        .execute_batch("DELETE FROM t WHERE a = 7")
        .unwrap();
    let after = take(&world, &["sqlite:app.db"]);
    let packs = super::tree(&world.path("repo/packs"));
    let (pack, mut content) = packs
        .into_iter()
        .max_by_key(|(_, content)| content.len())
        .unwrap();
    for position in (10_000..content.len() - 10_000).step_by(100_000) {
        content[position] ^= 1;
    }
    fs::set_permissions(&pack, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&pack, content).unwrap();
    let failed = world.run(&["diff", &before, &after]).expect(4);
    assert!(failed.stderr.contains("app.db"), "{}", failed.stderr);
}

#[test]
fn a_snapshot_beside_what_is_live() {
    let world = TestEnvironment::new();
    world.write("data/same", "1");
    world.write("data/large", vec![7; 3_000_000]);
    world.write("data/deep/gone", "12");
    world.write("data/changed", "123");
    world.write("data/kind", "file");
    world.write("data/node_modules/module", "left out");
    let sparse = fs::File::create(world.path("data/sparse")).unwrap();
    sparse.set_len(5_000_000).unwrap();
    let path = world.database("data/app.db", 20_000);
    let live = rusqlite::Connection::open(&path).unwrap();
    live.execute_batch("CREATE TABLE quiet(x)").unwrap();
    let taken = take(&world, &["data", "--exclude", "node_modules"]);
    let same = world.run(&["compare", "--json"]).expect(0);
    assert_eq!(differences(&same), []);
    let summary = same.summary();
    assert_eq!(
        (&summary["same"], &summary["unreadable"]),
        (&7.into(), &0.into())
    );
    let (read, fetched) = (&summary["bytes_read"], &summary["bytes_fetched"]);
    assert!(read.as_u64().unwrap() > 4_000_000, "{read}");
    assert!(
        fetched.as_u64().unwrap() < 200_000,
        "{fetched}: contents are not fetched"
    );

    world.write("data/changed", "124");
    world.write("data/large", [vec![7; 2_999_999], vec![8]].concat());
    fs::remove_dir_all(world.path("data/deep")).unwrap();
    fs::remove_file(world.path("data/kind")).unwrap();
    world.write("data/kind/inner", "x");
    world.write("data/new", "x");
    world.write("data/node_modules/other", "left out too");
    let mode = fs::Permissions::from_mode(0o600);
    fs::set_permissions(world.path("data/same"), mode).unwrap();
    // Only in the write-ahead log, of a database that stays open.
    live.execute_batch("DELETE FROM t WHERE a > 19998; UPDATE t SET b = 'x' WHERE a = 5")
        .unwrap();
    assert!(world.path("data/app.db-wal").exists());
    let found = world.run(&["compare", &taken, "--json"]).expect(5);
    let all = [
        ("content", "data/app.db"),
        ("content", "data/changed"),
        ("missing", "data/deep"),
        ("missing", "data/deep/gone"),
        ("kind", "data/kind"),
        ("extra", "data/kind/inner"),
        ("content", "data/large"),
        ("extra", "data/new"),
        ("metadata", "data/same"),
    ];
    assert_eq!(differences(&found), expected(&all));
    let objects = found.objects();
    let database = &objects[0]["database"];
    assert_eq!(database["schema_same"], true);
    assert_eq!(database["tables"][0]["name"], "t");
    assert_eq!(database["tables"][0]["rows_before"], 20_000);
    assert_eq!(database["tables"][0]["rows_after"], 19_998);
    assert_eq!(database["tables_same"], 1);
    let [all_chunks, different] =
        ["chunks", "chunks_different"].map(|field| database[field].as_u64().unwrap());
    assert!(
        0 < different && different < all_chunks,
        "{different} of {all_chunks}"
    );
    assert_eq!(found.summary()["ok"], false);

    live.execute_batch("CREATE INDEX i ON t(a)").unwrap();
    let narrowed = format!("{taken}:data/app.db");
    let schema = world.run(&["compare", &narrowed, "--json"]).expect(5);
    assert_eq!(schema.objects()[0]["database"]["schema_same"], false);
    let narrowed = format!("{taken}:data/same");
    world.run(&["compare", &narrowed]).expect(5);
    world
        .run(&["compare", &narrowed, "--content-only"])
        .expect(0);
    let screen = world.run(&["compare", &taken]).expect(5).stdout;
    for line in [
        "different data/changed  3 B",
        "missing   data/deep/gone  2 B",
        "extra     data/new  1 B",
        "t  20,000 -> 19,998 rows",
        "the schema differs",
        "1 the same, 3 different, 2 missing, 2 extra, 1 of another kind, 1 with other metadata",
    ] {
        assert!(screen.contains(line), "{line} in\n{screen}");
    }
}

#[test]
fn a_snapshot_beside_what_was_restored() {
    let world = TestEnvironment::new();
    world.write("data/a", "1");
    world.write("data/sub/b", "2");
    world.database("data/app.db", 50);
    take(&world, &["data"]);
    world
        .run(&["restore", "latest", "--target", "out"])
        .expect(0);
    world
        .run(&["compare", "--to", "out", "--content-only"])
        .expect(0);
    world
        .run(&["compare", "--to", "out/data", "--content-only"])
        .expect(0);
    world
        .run(&["compare", "latest:data/sub", "--to", "out/data/sub"])
        .expect(0);
    world
        .run(&["compare", "latest:data/a", "--to", "out/data/a"])
        .expect(0);
    world
        .run(&["compare", "latest:data/a", "--to", "out/data/sub/b"])
        .expect(5);
    fs::remove_dir_all(world.path("data")).unwrap();
    let gone = world.run(&["compare", "--json"]).expect(5);
    assert_eq!(gone.summary()["missing"], 5);
    world.run(&["compare", "--to", "nowhere"]).expect(1);
    world.run_with_input(&["snapshot", "-", "--as", "stream"], b"x");
    let stream = world
        .run(&["compare", "latest", "--source", "stream"])
        .expect(2);
    assert!(stream.stderr.contains("--to PATH"), "{}", stream.stderr);
}
