//! `snapshots`: the list.

use crate::cli::arguments::selection::SelectionArguments;
use crate::cli::error::CommandResult;
use crate::cli::exit_code::Exit;
use crate::cli::invocation::Invocation;
use crate::cli::listing::SnapshotProof;
use crate::cli::output::Report;
use crate::cli::text;
use crate::format::protocol::ProofKind;
use crate::repository::Snapshot;
use crate::units::bytes;
use clap::Args;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Options of `snapshots`.
#[derive(Debug, Args)]
pub struct SnapshotsArguments {
    /// Only the newest N of each source
    #[arg(long, value_name = "N")]
    last: Option<usize>,

    /// Which snapshots.
    #[command(flatten)]
    selection: SelectionArguments,
}

/// Lists snapshots, oldest first.
pub fn run(invocation: &Invocation, arguments: &SnapshotsArguments) -> CommandResult<Report> {
    let open = invocation.open_repository()?;
    let set = invocation.list_snapshots(&open.repository)?;
    let mut chosen = set.select(&arguments.selection, invocation);
    if let Some(last) = arguments.last {
        keep_last(&mut chosen, last);
    }
    let header = [
        "ID",
        &format!(
            "TAKEN ({})",
            text::offset(invocation.now(), &invocation.zone)
        ),
        "SOURCE",
        "SIZE",
        "ADDED",
        "PROVEN",
    ]
    .map(str::to_owned)
    .to_vec();
    let mut rows = vec![header];
    let hosts: BTreeSet<_> = chosen.iter().map(|s| &s.label.host).collect();
    let several_hosts = hosts.len() > 1;
    let names = Names::new(&chosen, invocation.global.verbose > 0);
    for snapshot in &chosen {
        let proof = set.proof(snapshot.id);
        rows.push(row(invocation, snapshot, proof, &names, several_hosts));
        let described = describe(snapshot, proof);
        invocation.output.object("snapshot", described);
    }
    if chosen.is_empty() {
        invocation.output.line("no snapshots");
    } else {
        let lines = text::table(&rows, &[false, false, false, true, true, false]);
        for line in lines {
            if !invocation.output.line(&line) {
                break;
            }
        }
    }
    invocation.remark_on_labels(&open.repository);
    let exit = match set.damaged {
        0 => Exit::Done,
        _ => Exit::Damage,
    };
    Ok(Report::with(json!({ "snapshots": chosen.len(), "damaged": set.damaged })).exit(exit))
}

/// The newest `last` of each source of each host; `chosen` is oldest first and stays so.
fn keep_last(chosen: &mut Vec<&Snapshot>, last: usize) {
    let mut counts = BTreeMap::new();
    chosen.reverse();
    chosen.retain(|snapshot| {
        let source = (snapshot.label.source.clone(), snapshot.label.host.clone());
        let count = counts.entry(source).or_insert(0usize);
        *count += 1;
        *count <= last
    });
    chosen.reverse();
}

/// Short names of sources, where they are different; with `-v` the identities.
struct Names {
    identities: BTreeMap<String, BTreeSet<String>>,
    full: bool,
}

impl Names {
    fn new(chosen: &[&Snapshot], full: bool) -> Self {
        let mut identities: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for snapshot in chosen {
            let source = &snapshot.label.source;
            let same = identities.entry(text::short_source(source)).or_default();
            same.insert(source.clone());
        }
        Self { identities, full }
    }

    fn of(&self, source: &str) -> String {
        let short = text::short_source(source);
        let shared = self
            .identities
            .get(&short)
            .is_some_and(|same| same.len() > 1);
        match self.full || shared {
            true => text::line(source),
            false => short,
        }
    }
}

fn row(
    invocation: &Invocation,
    snapshot: &Snapshot,
    proof: Option<SnapshotProof>,
    names: &Names,
    several_hosts: bool,
) -> Vec<String> {
    let label = &snapshot.label;
    let mut source = names.of(&label.source);
    if several_hosts {
        source.push_str(&format!(" on {}", text::line(&label.host)));
    }
    for (key, value) in &label.tags {
        source.push_str(&format!(" [{}={}]", text::line(key), text::line(value)));
    }
    let mut proven = proven(invocation, label.checked.as_deref(), proof);
    if label.suspect {
        proven = "SUSPECT".to_owned();
    } else if !label.complete {
        proven = "incomplete".to_owned();
    }
    vec![
        snapshot.id.short(),
        invocation.moment(label.captured),
        source,
        bytes(label.totals.bytes),
        bytes(label.totals.bytes_stored),
        proven,
    ]
}

/// The strongest of what is known: started as a database, read back, checked when it was captured,
/// its structure.
fn proven(invocation: &Invocation, checked: Option<&str>, proof: Option<SnapshotProof>) -> String {
    let on = |what: &str, proof: SnapshotProof| {
        let day = text::day(proof.finished, &invocation.zone);
        format!("{what} {day}")
    };
    match (proof, checked) {
        (Some(proof), _) if proof.kind == ProofKind::Drill => on("drill", proof),
        (Some(proof), _) if proof.kind == ProofKind::ReadData => on("read back", proof),
        (_, Some(checked)) => text::line(checked),
        (Some(proof), None) => on("structure", proof),
        (None, None) => "-".to_owned(),
    }
}

/// A snapshot as JSON.
fn describe(snapshot: &Snapshot, proof: Option<SnapshotProof>) -> Value {
    let label = &snapshot.label;
    let totals = &label.totals;
    json!({
        "id": snapshot.id.to_string(),
        "taken": label.captured.to_rfc3339(),
        "stored": snapshot.stored.map(|stored| stored.to_rfc3339()),
        "source": label.source,
        "host": label.host,
        "tags": label.tags,
        "job": label.job,
        "set_id": label.set.to_string(),
        "parent_id": label.parent.map(|parent| parent.to_string()),
        "complete": label.complete,
        "suspect": label.suspect,
        "checked": label.checked,
        "proven": proof.map(|proof| json!({
            "kind": match proof.kind {
                ProofKind::ReadData => "read-data",
                ProofKind::Structure => "structure",
                ProofKind::Drill => "drill",
            },
            "finished": proof.finished.to_rfc3339(),
        })),
        "files": totals.files,
        "directories": totals.directories,
        "bytes": totals.bytes,
        "bytes_new": totals.bytes_new,
        "bytes_stored": totals.bytes_stored,
        "duration_seconds": totals.milliseconds as f64 / 1000.0,
    })
}
