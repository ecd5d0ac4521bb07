//! `check --repair --from`: what the check found damaged is brought back from another copy.

use crate::check::{CheckReport, Damage};
use crate::cli::arguments::twins::FromUnlockArguments;
use crate::cli::commands::prune::carry_out;
use crate::cli::error::{CommandError, CommandResult, ErrorKind};
use crate::cli::invocation::{Invocation, OpenRepository};
use crate::cli::second::End;
use crate::cli::text;
use crate::copy::{Broken, CopyOptions, RepairReport, Side, repair};
use crate::env::SystemSleeper;
use crate::id::PackId;
use crate::monitor::Monitor;
use crate::prune::{Context, PruneOptions, PrunePlan};
use crate::repository::index::Index;
use crate::units::bytes;
use clap::Args;
use serde_json::{Value, json};
use std::collections::HashSet;

/// Options of a repair.
#[derive(Debug, Args)]
pub struct RepairArguments {
    /// Bring back what is damaged or missing from the copy given with --from, then check again; exit
    /// code 0 when all is whole
    #[arg(long, requires = "from", conflicts_with_all = ["no_key", "snapshots"])]
    pub repair: bool,

    /// Another copy of the repository: a sibling (repo init --like) or a mirror
    #[arg(long, value_name = "REPO", requires = "repair")]
    pub from: Option<String>,

    /// How it is unlocked.
    #[command(flatten)]
    pub unlock: FromUnlockArguments,

    /// With --repair: only say what is damaged
    #[arg(short = 'n', long, requires = "repair")]
    pub dry_run: bool,
}

/// What was repaired.
pub struct Repaired {
    report: RepairReport,
    packs_removed: u64,
}

impl Repaired {
    /// For scripts.
    pub fn describe(&self) -> Value {
        json!({
            "objects": self.report.objects.len(),
            "blobs": self.report.blobs,
            "bytes_stored": self.report.bytes_stored,
            "packs_removed": self.packs_removed,
        })
    }
}

/// Repairs what `found` names from the copy at `from`.
pub fn run(
    invocation: &Invocation,
    arguments: &RepairArguments,
    from: &str,
    open: &OpenRepository,
    index: &Index,
    found: &CheckReport,
) -> CommandResult<Repaired> {
    let source = invocation.open_second(from, End::From, arguments.unlock.given())?;
    let source_index = invocation.open_second_index(&source.repository, &open.repository)?;
    let broken: Vec<Broken> = found.damage.iter().map(broken).collect();
    let (ui, cancel) = (&*invocation.ui, &invocation.cancel);
    let options = CopyOptions {
        effort: invocation.global.compression,
        workers: invocation.workers(),
    };
    let (to, from) = (side(open, index), side(&source, &source_index));
    let repaired = repair(to, from, &broken, options, ui, cancel);
    ui.clear();
    let report = repaired?;
    invocation.output.line(&format!(
        "repaired from {}: {} brought back, {} stored anew, {}",
        source.place,
        text::counted(report.objects.len() as u64, "object"),
        text::counted(report.blobs, "blob"),
        bytes(report.bytes_stored),
    ));
    if !report.lost.is_empty() {
        ui.warn(&format!(
            "{} whole in neither copy: what needs them stays damaged",
            match report.lost.len() {
                1 => "1 blob is".to_owned(),
                lost => format!("{lost} blobs are"),
            }
        ));
    }
    let packs_removed = match report.damaged_packs.is_empty() {
        true => 0,
        false => remove(invocation, open, report.damaged_packs.clone())?,
    };
    Ok(Repaired {
        report,
        packs_removed,
    })
}

fn side<'a>(open: &'a OpenRepository, index: &'a Index) -> Side<'a> {
    Side {
        repository: &open.repository,
        index,
    }
}

fn broken(damage: &Damage) -> Broken {
    Broken {
        object: damage.object.clone(),
        blobs: damage.blobs.clone(),
    }
}

/// Removes damaged packs as a prune does. Where something in them is needed and lost they stay.
fn remove(
    invocation: &Invocation,
    open: &OpenRepository,
    damaged: HashSet<PackId>,
) -> CommandResult<u64> {
    let context = Context {
        monitor: &*invocation.ui,
        cancel: &invocation.cancel,
        sleeper: &SystemSleeper,
    };
    let options = PruneOptions {
        damaged,
        scratch: invocation.scratch(&open.repository),
        ..PruneOptions::default()
    };
    let removed = PrunePlan::new(&open.repository, options, context)
        .map_err(CommandError::from)
        .and_then(|plan| carry_out(invocation, open, &plan, context));
    invocation.ui.clear();
    match removed {
        Ok(pruned) => Ok(pruned.packs),
        // The check that follows says what is still damaged.
        Err(error) if matches!(error.kind, ErrorKind::Damage | ErrorKind::Refused) => {
            let why = error.message();
            invocation
                .ui
                .warn(&format!("damaged packs stay where they are: {why}"));
            Ok(0)
        }
        Err(error) => Err(error),
    }
}
