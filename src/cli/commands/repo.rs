//! `repo`: the repository as such.

use crate::cli::commands::init::InitArguments;
use crate::cli::commands::recover::RecoverArguments;
use crate::cli::error::CommandResult;
use crate::cli::invocation::Invocation;
use crate::cli::locks;
use crate::cli::output::Report;
use crate::cli::rule_321::Rule;
use crate::cli::text;
use crate::format::layout;
use crate::repository::CredentialKind;
use crate::store::StoreExt;
use crate::units::bytes;
use clap::Subcommand;
use serde_json::json;

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum RepoCommand {
    /// Make a repository and write its recovery kit
    Init(InitArguments),
    /// Show what a repository is and how large
    Info,
    /// Copy what a bucket's earlier versions hold of a repository to a new place: after somebody
    /// deleted or overwrote it
    Recover(RecoverArguments),
}

/// Shows what a repository is.
pub fn info(invocation: &Invocation) -> CommandResult<Report> {
    let copies = invocation.open_copies(None, "repo info")?;
    let open = &copies.first;
    let repository = &open.repository;
    let set = invocation.list_snapshots(repository)?;
    let objects = repository.store().list_all("")?;
    let size: u64 = objects.iter().map(|object| object.size).sum();
    let packs = objects
        .iter()
        .filter(|object| layout::parse_pack(object.key.as_str()).is_some());
    let packs = packs.count() as u64;
    let visible = set.summaries().iter().filter(|summary| !summary.hidden);
    let snapshots = visible.clone().count() as u64;
    let newest = visible.max_by_key(|summary| summary.captured);
    let config = repository.config();
    let access = repository.access();

    let mut rows = vec![
        ("repository", config.repository.to_string()),
        ("location", open.place.to_string()),
        ("cipher", repository.suite().name().to_owned()),
        ("created", invocation.moment(config.created)),
        (
            "size",
            format!("{} in {}", bytes(size), text::counted(packs, "pack")),
        ),
        ("snapshots", crate::units::count(snapshots)),
    ];
    if let Some(newest) = newest {
        let taken = invocation.moment(newest.captured);
        rows.push((
            "newest",
            format!(
                "{taken}  {}  {}",
                newest.id.short(),
                text::line(&newest.source)
            ),
        ));
    }
    rows.push((
        "unlocked by",
        format!(
            "{} (slot {}), {}",
            text::line(access.label()),
            access.slot().short(),
            access.kind().map_or("other", CredentialKind::name),
        ),
    ));
    rows.push(("domains", domains(&open.repository)));
    let shown = set.summaries().iter().filter(|summary| !summary.hidden);
    let locks = locks::look(open, &mut shown.map(|summary| summary.id))?;
    if let Some(locks) = &locks {
        rows.push(("locks", locks.line(invocation)));
    }
    let lineage = open.repository.lineage();
    if let Some(lineage) = lineage {
        let meaning = "repositories with the same one are siblings: copies keep deltas";
        rows.push(("lineage", format!("{}   {meaning}", lineage.short())));
    }
    for (name, value) in rows {
        invocation.output.line(&format!("{name:<12} {value}"));
    }
    invocation.remark_on_labels(&open.repository);
    let rule = Rule::of(&copies.places());
    rule.tell(invocation);
    Ok(Report::with(json!({
        "repository_id": config.repository.to_string(),
        "location": open.place.to_string(),
        "cipher": repository.suite().name(),
        "created": config.created.to_rfc3339(),
        "bytes": size,
        "packs": packs,
        "snapshots": snapshots,
        "newest": newest.map(|newest| newest.captured.to_rfc3339()),
        "credential": access.label(),
        "lineage": lineage.map(|lineage| lineage.to_string()),
        "locks": locks.map(|locks| locks.describe()),
        "rule_3_2_1": rule.describe(),
        "domains": repository.domain_names().iter().map(|domain| domain.name.clone()).collect::<Vec<_>>(),
    })))
}

fn domains(repository: &crate::repository::Repository) -> String {
    let names = repository
        .domain_names()
        .into_iter()
        .map(|domain| text::line(&domain.name));
    names.collect::<Vec<_>>().join(", ")
}
