//! CronJobs for Kubernetes. Their form is checked against what the API wants; nobody has run them yet.

use crate::cli::commands::schedule::{Item, Plan, ScheduledFile};
use crate::cli::error::CommandResult;
use crate::cli::place::Place;
use crate::config::SourceKind;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Longest name of a CronJob, bytes: the controller adds to it.
const NAME_BYTES_MAX: usize = 52;

/// How late a run may still begin, seconds: after a downtime of the cluster, one makes up for all.
const DEADLINE_SECONDS: u64 = 24 * 3600;

/// How much longer than its own timeout a job may live, seconds.
const TIMEOUT_SLACK_SECONDS: u64 = 120;

/// Where the configuration is mounted.
const CONFIGURATION: &str = "/etc/icecore";

/// Where records and indexes are.
const CACHE: &str = "/var/cache/icecore";

/// One file with a CronJob for each job.
pub(super) fn jobs(plan: &mut Plan<'_>) -> CommandResult<Vec<ScheduledFile>> {
    let name = dns_name(&plan.prefix());
    let mut text = format!(
        "{}\n\
         # UNTRIED: the form is right, but nobody has run these in a cluster yet. Look through them, and\n\
         # provide what they name:\n\
         #   kubectl create configmap {name}-config --from-file=icecore.toml={}\n\
         #   kubectl create secret generic {name}-secrets --from-file=… (mounted at /run/secrets/icecore)\n\
         #   kubectl create secret generic {name}-environment --from-literal=… (variables; may be absent)\n\
         #   claims {name}-cache, and those of the sources and repositories below\n\
         # Paths in the configuration are those inside the container; keys lie in /run/secrets/icecore.\n",
        plan.mark(),
        plan.configuration.path.display(),
    );
    let mut remarks =
        vec!["the CronJobs are untried: look through them before you rely on them".to_owned()];
    for item in &plan.items {
        let Some(cron) = item.schedule.as_cron() else {
            remarks.push(format!(
                "{}: {} cannot be said in a CronJob, and is left out; icecore daemon in a Deployment does it",
                item.name, item.schedule
            ));
            continue;
        };
        text.push_str("---\n");
        write(&cron_job(plan, item, &cron, &name)?, 0, &mut text);
    }
    plan.remarks.extend(remarks);
    Ok(vec![ScheduledFile {
        name: format!("{name}.yaml"),
        text,
    }])
}

fn cron_job(plan: &Plan<'_>, item: &Item<'_>, cron: &str, name: &str) -> CommandResult<Value> {
    let mut command = vec![
        "icecore".to_owned(),
        "--config".to_owned(),
        format!("{CONFIGURATION}/icecore.toml"),
        "--cache-dir".to_owned(),
        CACHE.to_owned(),
    ];
    command.extend(plan.action(item));
    let labels = json!({
        "app.kubernetes.io/name": "icecore",
        "app.kubernetes.io/instance": name,
    });
    let (mounts, volumes) = volumes(plan, item, name)?;
    let mut job = json!({
        // icecore tries again by itself, as the job says.
        "backoffLimit": 0,
        "template": {
            "metadata": { "labels": labels },
            "spec": {
                "restartPolicy": "Never",
                "automountServiceAccountToken": false,
                "securityContext": {
                    "runAsNonRoot": true,
                    "runAsUser": 10001,
                    "fsGroup": 10001,
                    "seccompProfile": { "type": "RuntimeDefault" },
                },
                "containers": [{
                    "name": "icecore",
                    "image": plan.image,
                    "command": command,
                    "env": [{ "name": "HOME", "value": CACHE }],
                    "envFrom": [{ "secretRef": { "name": format!("{name}-environment"), "optional": true } }],
                    "securityContext": {
                        "allowPrivilegeEscalation": false,
                        "readOnlyRootFilesystem": true,
                        "capabilities": { "drop": ["ALL"] },
                    },
                    "volumeMounts": mounts,
                }],
                "volumes": volumes,
            },
        },
    });
    if let Some(timeout) = item.timeout {
        job["activeDeadlineSeconds"] = json!(timeout.as_secs() + TIMEOUT_SLACK_SECONDS);
    }
    let own_name = dns_name(&plan.file_of(item));
    Ok(json!({
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": { "name": own_name, "labels": labels },
        "spec": {
            "schedule": cron,
            "timeZone": item.zone.iana_name().unwrap_or("Etc/UTC"),
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": DEADLINE_SECONDS,
            "successfulJobsHistoryLimit": 3,
            "failedJobsHistoryLimit": 5,
            "jobTemplate": { "metadata": { "labels": labels }, "spec": job },
        },
    }))
}

/// What is mounted: the configuration, secrets, the cache, and the directories of sources (written to
/// only beside databases), repositories and readable files.
fn volumes(plan: &Plan<'_>, item: &Item<'_>, name: &str) -> CommandResult<(Value, Value)> {
    let mut mounts = vec![
        json!({ "name": "config", "mountPath": CONFIGURATION, "readOnly": true }),
        json!({ "name": "secrets", "mountPath": "/run/secrets/icecore", "readOnly": true }),
        json!({ "name": "cache", "mountPath": CACHE }),
        json!({ "name": "tmp", "mountPath": "/tmp" }),
    ];
    let mut volumes = vec![
        json!({ "name": "config", "configMap": { "name": format!("{name}-config") } }),
        json!({ "name": "secrets", "secret": { "secretName": format!("{name}-secrets"), "defaultMode": 0o400 } }),
        json!({ "name": "cache", "persistentVolumeClaim": { "claimName": format!("{name}-cache") } }),
        json!({ "name": "tmp", "emptyDir": {} }),
    ];
    for (place, (path, read_only)) in directories(plan, item)?.into_iter().enumerate() {
        let volume = format!("data-{place}");
        let own = path
            .file_name()
            .map(|own| own.to_string_lossy().into_owned());
        let claim = dns_name(&format!("{name}-{}", own.unwrap_or_default()));
        mounts.push(json!({
            "name": volume, "mountPath": path.display().to_string(), "readOnly": read_only,
        }));
        volumes.push(json!({ "name": volume, "persistentVolumeClaim": { "claimName": claim } }));
    }
    Ok((json!(mounts), json!(volumes)))
}

fn directories(plan: &Plan<'_>, item: &Item<'_>) -> CommandResult<BTreeMap<PathBuf, bool>> {
    let (configuration, config) = (plan.configuration, &plan.configuration.config);
    let mut found = BTreeMap::new();
    let mut add = |path: PathBuf, read_only: bool| {
        let known = found.entry(path).or_insert(read_only);
        *known = *known && read_only;
    };
    if let Some(plan) = &item.job.export {
        add(configuration.resolved(&plan.to), false);
    }
    // A job that exports reads repositories, not sources.
    for name in item
        .job
        .sources
        .iter()
        .filter(|_| item.job.export.is_none())
    {
        match config.sources.get(name).map(|source| &source.kind) {
            Some(SourceKind::Sqlite { path, .. }) => {
                let path = configuration.resolved(path);
                add(path.parent().map(Path::to_owned).unwrap_or(path), false);
            }
            Some(SourceKind::Files { paths, .. }) => {
                for path in paths {
                    add(configuration.resolved(path), true);
                }
            }
            _ => {}
        }
    }
    for name in &item.job.repositories {
        let repository = config.repositories.get(name);
        let place = repository.map(|one| configuration.place(one)).transpose()?;
        if let Some(Place::Directory(path)) = place {
            add(path, false);
        }
    }
    Ok(found)
}

/// A name as the API takes it. One that had to be cut ends with a hash, so that it stays its own.
fn dns_name(text: &str) -> String {
    let fits = |c: char| match c.to_ascii_lowercase() {
        c if c.is_ascii_alphanumeric() => c,
        _ => '-',
    };
    let name: String = text.chars().map(fits).collect();
    let name = name.trim_matches('-');
    if name.len() <= NAME_BYTES_MAX {
        return name.to_owned();
    }
    let hash = blake3::hash(text.as_bytes()).to_hex();
    let head: String = name.chars().take(NAME_BYTES_MAX - 9).collect();
    format!("{}-{}", head.trim_end_matches('-'), &hash[..8])
}

/// A value as YAML: block form, every text as JSON writes it, which YAML reads the same way.
fn write(value: &Value, indent: usize, text: &mut String) {
    match value {
        Value::Object(map) => write_map(map, indent, text),
        Value::Array(items) => {
            for item in items {
                text.push_str(&" ".repeat(indent));
                text.push('-');
                let mut inner = String::new();
                match item {
                    Value::Object(map) if !map.is_empty() => {
                        write_map(map, indent + 2, &mut inner);
                        text.push(' ');
                        text.push_str(inner.trim_start());
                    }
                    other => text.push_str(&format!(" {other}\n")),
                }
            }
        }
        other => text.push_str(&format!("{}{other}\n", " ".repeat(indent))),
    }
}

fn write_map(map: &Map<String, Value>, indent: usize, text: &mut String) {
    for (key, value) in map {
        let is_block = match value {
            Value::Object(map) => !map.is_empty(),
            Value::Array(items) => items.iter().any(Value::is_object),
            _ => false,
        };
        text.push_str(&format!("{}{key}:", " ".repeat(indent)));
        match is_block {
            true => {
                text.push('\n');
                write(value, indent + 2, text);
            }
            // Flow form: JSON is YAML.
            false => text.push_str(&format!(" {value}\n")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{dns_name, write};
    use serde_json::json;

    #[test]
    fn names_fit_the_api() {
        assert_eq!(
            dns_name("icecore-Portal-nightly.db"),
            "icecore-portal-nightly-db"
        );
        let long = format!("icecore-{}", "x".repeat(100));
        let (a, b) = (dns_name(&long), dns_name(&format!("{long}y")));
        assert!(a.len() <= 52 && a != b, "{a} {b}");
    }

    #[test]
    fn yaml_is_in_blocks() {
        let mut text = String::new();
        let value = json!({
            "a": { "b": "yes: \"no\"", "c": [] },
            "d": [{ "e": 1, "f": { "g": true } }, { "h": ["x", "y"] }],
            "i": {},
        });
        write(&value, 0, &mut text);
        let expected = "\
a:
  b: \"yes: \\\"no\\\"\"
  c: []
d:
  - e: 1
    f:
      g: true
  - h: [\"x\",\"y\"]
i: {}
";
        assert_eq!(text, expected);
    }
}
