//! `diff`: what differs between two snapshots.

use crate::cli::arguments::selection::SelectionArguments;
use crate::cli::commands::ls::{clean, kind_name, path_fields};
use crate::cli::error::{CommandError, CommandResult};
use crate::cli::invocation::Invocation;
use crate::cli::output::Report;
use crate::cli::text;
use crate::diff::{
    Change, DatabaseDifference, DiffError, DiffOptions, DiffTotals, Difference, Fate, Side,
    TableDifference, diff,
};
use crate::entry::{Aspect, Entry, EntryKind};
use crate::repository::{Need, Reader, Snapshot};
use crate::selector::SnapshotPath;
use crate::tree::Node;
use crate::units::{bytes, count};
use clap::Args;
use serde_json::{Value, json};

/// Most schema objects and tables of one database that a screen shows.
const SHOWN_MAX: usize = 20;

/// Options of `diff`.
#[derive(Debug, Args)]
pub struct DiffArguments {
    /// The earlier snapshot, and what in it
    #[arg(value_name = "SNAP[:PATH]")]
    before: SnapshotPath,

    /// The later one; a path given for one of them counts for both
    #[arg(value_name = "SNAP[:PATH]", default_value = "latest")]
    after: SnapshotPath,

    /// Also what differs in mode, owner, time or attributes only
    #[arg(short, long)]
    metadata: bool,

    /// Of databases compare the schema and the counts taken at capture, not the rows
    #[arg(long)]
    no_rows: bool,

    /// Which snapshots.
    #[command(flatten)]
    selection: SelectionArguments,
}

/// Why telling differences ended early.
enum Stop {
    Unheard,
    Failed(DiffError),
}

impl From<DiffError> for Stop {
    fn from(error: DiffError) -> Self {
        Self::Failed(error)
    }
}

/// Compares two snapshots.
pub fn run(invocation: &Invocation, arguments: &DiffArguments) -> CommandResult<Report> {
    let open = invocation.open_repository_to(Need::Read, "diff")?;
    let set = invocation.list_snapshots(&open.repository)?;
    let (before, after) = (&arguments.before, &arguments.after);
    let resolve = |wanted| invocation.resolve_path(&set, wanted, &arguments.selection, "diff");
    let sides = [
        Side {
            snapshot: resolve(before)?,
            path: path(before, after),
        },
        Side {
            snapshot: resolve(after)?,
            path: path(after, before),
        },
    ];
    let index = invocation.open_index(&open.repository)?;
    let reader = Reader::new(&open.repository, &index);
    let name = |snapshot: &Snapshot| {
        let taken = invocation.moment(snapshot.label.captured);
        format!("{} ({taken})", snapshot.id.short())
    };
    let [first, second] = [name(sides[0].snapshot), name(sides[1].snapshot)];
    invocation
        .output
        .say(&format!("diff  {first}  ->  {second}"));
    let options = DiffOptions {
        metadata: arguments.metadata,
        rows: !arguments.no_rows,
    };
    let mut tell = |difference: Difference| match show(invocation, &difference) {
        true => Ok(()),
        false => Err(Stop::Unheard),
    };
    let (ui, cancel) = (&*invocation.ui, &invocation.cancel);
    let sides = [&sides[0], &sides[1]];
    let found = diff::<Stop>(&reader, sides, options, ui, cancel, &mut tell);
    ui.clear();
    let totals = match found {
        Ok(totals) => totals,
        Err(Stop::Unheard) => return Ok(Report::done()),
        Err(Stop::Failed(error)) => return Err(error.into()),
    };
    invocation.output.line(&conclusion(&totals));
    Ok(Report::with(json!({
        "before_id": sides[0].snapshot.id.to_string(),
        "after_id": sides[1].snapshot.id.to_string(),
        "added": totals.added,
        "removed": totals.removed,
        "changed": totals.changed,
        "kinds": totals.kinds,
        "metadata": totals.metadata,
        "bytes_added": totals.bytes_added,
        "bytes_removed": totals.bytes_removed,
    })))
}

/// The path of a side: its own, or the other's.
fn path(own: &SnapshotPath, other: &SnapshotPath) -> Vec<u8> {
    let path = own.path.as_deref().or(other.path.as_deref());
    path.map_or_else(Vec::new, clean)
}

fn conclusion(totals: &DiffTotals) -> String {
    if totals.is_same() {
        return "nothing differs".to_owned();
    }
    let with_bytes = |number: u64, what: &str, size: u64| match size {
        0 => format!("{} {what}", count(number)),
        _ => format!("{} {what} ({})", count(number), bytes(size)),
    };
    let mut parts = vec![
        with_bytes(totals.added, "added", totals.bytes_added),
        with_bytes(totals.removed, "removed", totals.bytes_removed),
        format!("{} changed", count(totals.changed)),
    ];
    if totals.kinds > 0 {
        parts.push(format!("{} of another kind", count(totals.kinds)));
    }
    if totals.metadata > 0 {
        parts.push(format!("{} with other metadata", count(totals.metadata)));
    }
    parts.join(", ")
}

fn show(invocation: &Invocation, difference: &Difference) -> bool {
    let output = &invocation.output;
    if output.is_json() {
        return output.object("difference", describe(difference));
    }
    let entry = |node: &Option<Node>| node.as_ref().map(|node| node.entry.entry.clone());
    let (before, after) = (entry(&difference.before), entry(&difference.after));
    let letter = match difference.change {
        Change::Added => '+',
        Change::Removed => '-',
        Change::Content => 'M',
        Change::Kind => 'T',
        Change::Metadata => 'U',
    };
    let path = text::path(&difference.path);
    let what = what(before.as_ref(), after.as_ref(), &difference.aspects);
    let heard = output.line(format!("{letter}  {path}  {what}").trim_end());
    let mut database = difference.database.iter().flat_map(database_lines);
    heard && database.all(|line| output.line(&line))
}

/// What is to be said about an entry, or two under one name.
pub fn what(before: Option<&Entry>, after: Option<&Entry>, aspects: &[Aspect]) -> String {
    let (Some(before), Some(after)) = (before, after) else {
        let entry = before.or(after);
        return match entry.map(|entry| &entry.kind) {
            Some(EntryKind::File { size }) => bytes(*size),
            Some(kind) => kind_name(kind).to_owned(),
            None => String::new(),
        };
    };
    let sides = match (&before.kind, &after.kind) {
        (EntryKind::File { size: old }, EntryKind::File { size: new }) if old == new => bytes(*new),
        (EntryKind::File { size: old }, EntryKind::File { size: new }) => {
            format!("{} -> {}", bytes(*old), bytes(*new))
        }
        (EntryKind::Symlink { target: old }, EntryKind::Symlink { target: new }) if old != new => {
            format!("{} -> {}", text::path(old), text::path(new))
        }
        (old, new) if kind_name(old) == kind_name(new) => kind_name(new).to_owned(),
        (old, new) => format!("{} -> {}", kind_name(old), kind_name(new)),
    };
    let mut parts = vec![sides];
    parts.extend(aspects.iter().map(|aspect| match aspect {
        Aspect::Mode => {
            let (old, new) = (before.metadata.mode, after.metadata.mode);
            format!("mode {old:04o} -> {new:04o}")
        }
        Aspect::Owner => {
            let (old, new) = (&before.metadata, &after.metadata);
            format!("owner {}:{} -> {}:{}", old.uid, old.gid, new.uid, new.gid)
        }
        other => other.name().to_owned(),
    }));
    parts.join(", ")
}

fn database_lines(database: &DatabaseDifference) -> Vec<String> {
    let mut lines = Vec::new();
    for object in database.schema.iter().take(SHOWN_MAX) {
        let fate = match object.fate {
            Fate::Added => '+',
            Fate::Removed => '-',
            Fate::Changed => 'M',
        };
        let (kind, name) = (text::line(&object.kind), text::line(&object.name));
        lines.push(format!("     {fate} {kind} {name}"));
    }
    let shown = database.tables.iter().take(SHOWN_MAX);
    let tables: Vec<_> = shown.map(table_row).collect();
    let tables = text::table(&tables, &[false]);
    lines.extend(tables.into_iter().map(|line| format!("     {line}")));
    let left = database.schema.len().saturating_sub(SHOWN_MAX)
        + database.tables.len().saturating_sub(SHOWN_MAX);
    if left > 0 {
        lines.push(format!("     and {left} more differences: see --json"));
    }
    if database.tables_same > 0 {
        let same = text::counted(database.tables_same, "table");
        lines.push(format!("     {same} without a difference"));
    }
    if let Some(remark) = &database.remark {
        lines.push(format!("     {}", text::line(remark)));
    }
    lines
}

fn table_row(table: &TableDifference) -> Vec<String> {
    let rows = |rows: Option<u64>| rows.map_or_else(|| "-".to_owned(), count);
    let differing = match (&table.rows, &table.remark) {
        (Some(rows), _) => format!(
            "{} added, {} removed, {} changed",
            count(rows.added),
            count(rows.removed),
            count(rows.changed)
        ),
        (None, Some(remark)) => format!("rows not compared: {}", text::line(remark)),
        (None, None) => String::new(),
    };
    let (before, after) = (rows(table.rows_before), rows(table.rows_after));
    vec![
        text::line(&table.name),
        format!("{before} -> {after} rows"),
        differing,
    ]
}

/// A difference as JSON.
fn describe(difference: &Difference) -> Value {
    let change = match difference.change {
        Change::Added => "added",
        Change::Removed => "removed",
        Change::Content => "content",
        Change::Kind => "kind",
        Change::Metadata => "metadata",
    };
    let side = |node: &Option<Node>| node.as_ref().map(|node| entry_state(&node.entry.entry));
    let mut object = path_fields(&difference.path);
    object["change"] = json!(change);
    object["before"] = json!(side(&difference.before));
    object["after"] = json!(side(&difference.after));
    let aspects = difference.aspects.iter().map(|aspect| aspect.name());
    object["aspects"] = json!(aspects.collect::<Vec<_>>());
    object["database"] = json!(difference.database.as_ref().map(describe_database));
    object
}

/// An entry on one side as JSON.
pub fn entry_state(entry: &Entry) -> Value {
    let size = match entry.kind {
        EntryKind::File { size } => Some(size),
        _ => None,
    };
    json!({
        "kind": kind_name(&entry.kind),
        "size": size,
        "mode": format!("{:04o}", entry.metadata.mode),
        "uid": entry.metadata.uid,
        "gid": entry.metadata.gid,
        "modified": entry.metadata.modified.to_rfc3339(),
    })
}

fn describe_database(database: &DatabaseDifference) -> Value {
    let schema = database.schema.iter().map(|object| {
        let change = match object.fate {
            Fate::Added => "added",
            Fate::Removed => "removed",
            Fate::Changed => "changed",
        };
        json!({ "kind": object.kind, "name": object.name, "change": change })
    });
    let tables = database.tables.iter().map(|table| {
        json!({
            "name": table.name,
            "rows_before": table.rows_before,
            "rows_after": table.rows_after,
            "rows_added": table.rows.map(|rows| rows.added),
            "rows_removed": table.rows.map(|rows| rows.removed),
            "rows_changed": table.rows.map(|rows| rows.changed),
            "remark": table.remark,
        })
    });
    json!({
        "schema": schema.collect::<Vec<_>>(),
        "tables": tables.collect::<Vec<_>>(),
        "tables_same": database.tables_same,
        "remark": database.remark,
    })
}

impl From<DiffError> for CommandError {
    fn from(error: DiffError) -> Self {
        match error {
            DiffError::Record(error) => error.into(),
            DiffError::Interrupted(error) => error.into(),
            DiffError::Read { path, source } => {
                let context = format!("cannot compare {}", text::line(&path));
                Self::from(*source).within(&context)
            }
            DiffError::Database(error) => Self::from(*error),
            error @ DiffError::NoSuchPath(_) => {
                Self::usage(error).hint("icecore ls SNAP shows what is in it")
            }
            error => Self::failed(error),
        }
    }
}
