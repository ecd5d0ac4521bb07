//! What scripts rely on: one summary, last, on failure too, as the schema says.

use super::TestEnvironment;
use serde_json::Value;

const SCHEMA: &str = include_str!("../../../src/cli/output.schema.json");

/// As much of JSON Schema as the schema uses: type, const, enum, required, properties, items,
/// additionalProperties, oneOf, $ref.
fn check(value: &Value, schema: &Value, root: &Value, at: &str) -> Result<(), String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let pointer = reference.strip_prefix('#').expect("a local reference");
        let target = root.pointer(pointer).expect("a reference that resolves");
        return check(value, target, root, at);
    }
    if let Some(constant) = schema.get("const")
        && value != constant
    {
        return Err(format!("{at}: {value} is not {constant}"));
    }
    if let Some(choices) = schema.get("enum").and_then(Value::as_array)
        && !choices.contains(value)
    {
        return Err(format!("{at}: {value} is none of {choices:?}"));
    }
    if let Some(variants) = schema.get("oneOf").and_then(Value::as_array) {
        let results: Vec<_> = variants
            .iter()
            .map(|one| check(value, one, root, at))
            .collect();
        let fitting = results.iter().filter(|result| result.is_ok()).count();
        if fitting != 1 {
            return Err(format!("{at}: {fitting} variants fit {value}: {results:?}"));
        }
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let is = |name: &&str| match *name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("the schema has an unknown type {other}"),
    };
    if !types.is_empty() && !types.iter().any(is) {
        return Err(format!("{at}: {value} is not {types:?}"));
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        let name = name.as_str().expect("a name");
        if value.get(name).is_none() {
            return Err(format!("{at}: {name} is missing in {value}"));
        }
    }
    let properties = schema["properties"].as_object();
    for (name, inner) in value.as_object().into_iter().flatten() {
        let known = properties.and_then(|properties| properties.get(name));
        match known {
            Some(known) => check(inner, known, root, &format!("{at}.{name}"))?,
            None if schema["additionalProperties"] == Value::Bool(false) => {
                return Err(format!("{at}: {name} is not in the schema"));
            }
            None => {}
        }
    }
    if let Some(items) = schema.get("items") {
        for (number, item) in value.as_array().into_iter().flatten().enumerate() {
            check(item, items, root, &format!("{at}[{number}]"))?;
        }
    }
    Ok(())
}

#[test]
fn every_line_fits_the_schema_and_the_summary_is_last() {
    let schema: Value = serde_json::from_str(SCHEMA).expect("the schema is JSON");
    let mut world = TestEnvironment::new();
    world.write("data/a", "12345");
    world.database("app.db", 20);
    let runs: &[(&[&str], i32)] = &[
        (&["snapshot", "data", "--progress"], 0),
        (&["snapshot", "app.db", "data"], 0),
        (&["snapshot", "data", "--verify-after"], 0),
        (&["snapshot", "data", "-n"], 0),
        (&["snapshot", "sqlite:data/a", "data"], 3),
        (&["snapshot", "nothing"], 1),
        (&["snapshots"], 0),
        (&["ls", "latest", "--source", "data", "-R"], 0),
        (&["find", "a"], 0),
        (&["diff", "latest~1", "latest", "--source", "data"], 0),
        (&["ls", "latest"], 2),
        (&["restore", "latest", "--source", "data"], 2),
        (
            &["restore", "latest", "--source", "data", "--target", "out"],
            0,
        ),
        (
            &[
                "restore", "latest", "--source", "app.db", "--target", "back.db",
            ],
            0,
        ),
        (
            &[
                "restore",
                "latest",
                "--source",
                "data",
                "--target",
                "out",
                "--in-place",
                "--verify",
            ],
            0,
        ),
        (&["drill", "latest", "--source", "app.db"], 0),
        (&["export", "--target", "readable"], 0),
        (
            &[
                "restore",
                "latest",
                "--source",
                "app.db",
                "--to-origin",
                "-n",
            ],
            0,
        ),
        (
            &[
                "restore",
                "latest",
                "--source",
                "data",
                "--to-origin",
                "--yes",
            ],
            0,
        ),
        (&["restore", "latest", "--source", "data", "--to-origin"], 2),
        (&["status"], 0),
        (&["cost"], 0),
        (&["stats", "--last", "30d"], 0),
        (&["report"], 0),
        (&["report", "--html", "report.html"], 0),
        (&["report", "--html"], 2),
        (&["report", "--month", "2999-01"], 2),
        (&["cost", "--size", "1GB", "--tier", "GLACIER=90d"], 0),
        (&["hold", "list"], 0),
        (&["forget", "--keep-last", "1", "-n"], 0),
        (&["forget", "--keep-last", "1", "--force", "--prune"], 0),
        (&["prune", "-n"], 0),
        (&["info"], 0),
        (
            &["init", "-r", "nas", "--like", "repo", "--kit", "kit-nas"],
            0,
        ),
        (&["copy", "--to", "nas", "-n"], 0),
        (&["copy", "--to", "nas"], 0),
        (&["copy", "--to", "repo"], 2),
        (&["mirror", "--to", "mirror"], 0),
        (&["check", "--repair", "--from", "nas"], 0),
        (
            &[
                "restore", "latest", "--source", "data", "--target", "out2", "-r", "repo,nas",
            ],
            0,
        ),
        (&["check", "--read-data"], 0),
        (&["verify", "--no-key"], 0),
        (&["key", "list"], 0),
        (&["key", "test"], 0),
        (&["domain", "list"], 0),
        (&["cache", "info"], 0),
        (&["version"], 0),
        (&["bogus"], 2),
        (&["-r", "nowhere", "snapshots"], 10),
        (&["init"], 11),
        (&[], 0),
    ];
    let run = |world: &TestEnvironment, arguments: &[&str], code: i32| {
        let finished = world.run(&[arguments, &["--json"]].concat()).expect(code);
        let objects = finished.objects();
        for object in &objects {
            check(object, &schema, &schema, "$").unwrap_or_else(|fault| panic!("{fault}"));
        }
        let summaries = objects
            .iter()
            .filter(|object| object["type"] == "summary")
            .count();
        assert_eq!(summaries, 1, "{arguments:?}");
        let summary = finished.summary();
        assert_eq!(summary["type"], "summary");
        assert_eq!(summary["exit_code"], code);
        assert_eq!(summary["ok"], code == 0);
        assert_eq!(summary.get("error").is_some(), code != 0, "{summary}");
    };
    for (arguments, code) in runs {
        run(&world, arguments, *code);
    }
    world.set("ICECORE_PASSPHRASE", "wrong-passphrase");
    run(&world, &["snapshots"], 12);
}
