//! Alert rules and the dashboard, held against what icecore writes and against Prometheus' own tool.

use super::world;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Names of metrics in a text.
fn names(text: &str) -> BTreeSet<String> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c| !word(c));
    let names = words.filter(|word| word.starts_with("icecore_") && word.len() > "icecore_".len());
    names.map(str::to_owned).collect()
}

#[test]
fn rules_and_dashboard_ask_for_what_is_written() {
    let world = world("drill = { schedule = \"Sun 03:00\", command = [\"true\"] }");
    let text = fs::read_to_string(world.path("icecore.toml")).unwrap();
    let text = text.replace("[observe]", "[observe]\nprefix = \"icecore\"");
    let text = text.replace("url = \"backup\"", "url = \"backup\"\nmax_size = \"1 GiB\"");
    world.write("icecore.toml", text);
    world.run(&["run", "nightly"]).expect(0);
    world.run(&["drill", "--job", "nightly"]).expect(0);
    let metrics = fs::read_to_string(world.path("portal.prom")).unwrap();
    for line in [
        "icecore_drill_success{job=\"nightly\"} 1",
        "icecore_backup_enabled{job=\"nightly\"} 1",
    ] {
        assert!(
            metrics.lines().any(|found| found == line),
            "{line}\n{metrics}"
        );
    }
    let written = names(&metrics);
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/monitoring");
    let read = |name: &str| fs::read_to_string(directory.join(name)).unwrap();
    for file in ["alerts.yml", "grafana.json"] {
        let asked = names(&read(file));
        assert!(asked.len() > 5, "{file}");
        let unknown: Vec<_> = asked.difference(&written).collect();
        assert!(unknown.is_empty(), "{file} asks for {unknown:?}");
    }
    let dashboard: serde_json::Value = serde_json::from_str(&read("grafana.json")).unwrap();
    assert!(dashboard["panels"].as_array().unwrap().len() > 5);
    // Debian's package prometheus brings it; without, the rest has to do.
    let tool = Command::new("promtool")
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    if !tool.is_ok_and(|status| status.success()) {
        return;
    }
    let promtool = |arguments: &[&str], input: Stdio| {
        let mut command = Command::new("promtool");
        let command = command.args(arguments).current_dir(&directory).stdin(input);
        let output = command.output().unwrap();
        let told = [output.stdout, output.stderr].concat();
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&told)
        );
        told
    };
    promtool(&["check", "rules", "alerts.yml"], Stdio::null());
    promtool(&["test", "rules", "alerts_test.yml"], Stdio::null());
    let file = fs::File::open(world.path("portal.prom")).unwrap();
    promtool(&["check", "metrics"], file.into());
}
