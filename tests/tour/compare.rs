//! The second opinion: is what came back what was there?

use crate::Outcome;
use crate::database::count;
use crate::tree::{LIVE, REBUILT};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Holds a database against what a consistent copy must be: sound, its ledger balanced, and with
/// between `least` and `most` movements.
pub fn check(path: &Path, least: u64, most: u64) -> Outcome<()> {
    let connection = open(path)?;
    integrity(&connection, path)?;
    let difference: i64 = connection.query_row(
        "SELECT (SELECT sum(balance) FROM accounts) - (SELECT coalesce(sum(amount), 0) FROM movements)",
        [],
        |row| row.get(0),
    )?;
    if difference != 0 {
        return Err(format!("the ledger of {} is off by {difference}", path.display()).into());
    }
    let movements = count(&connection, "SELECT count(*) FROM movements")?;
    if !(least..=most).contains(&movements) {
        let name = path.display();
        return Err(format!("{name} has {movements} movements, not {least} to {most}").into());
    }
    println!(
        "integrity_check ok, the ledger balances, {movements} movements ({least} to {most} expected)"
    );
    Ok(())
}

/// Holds two databases against each other, row by row.
pub fn databases(left: &Path, right: &Path) -> Outcome<()> {
    let (ours, theirs) = (open(left)?, open(right)?);
    integrity(&theirs, right)?;
    let (ours, theirs) = (tables(&ours)?, tables(&theirs)?);
    for (table, (rows, _)) in &ours {
        match theirs.get(table) {
            Some(other) if ours.get(table) == Some(other) => {}
            Some((other, _)) => {
                return Err(format!("table {table} differs: {rows} and {other} rows").into());
            }
            None => return Err(format!("table {table} is missing").into()),
        }
    }
    if theirs.len() > ours.len() {
        return Err(format!("{} has more tables", right.display()).into());
    }
    let rows: u64 = ours.values().map(|(rows, _)| rows).sum();
    println!(
        "integrity_check ok, {} tables, all {rows} rows the same",
        ours.len()
    );
    Ok(())
}

/// Holds a restored tree against the live one: every byte, mode, time and link the same; in the
/// corner that went on changing, a beginning of what is there now; nothing that can be rebuilt.
pub fn trees(live: &Path, restored: &Path) -> Outcome<()> {
    let (mut ours, theirs) = (listing(live)?, listing(restored)?);
    let can_be_rebuilt = |path: &Path| {
        let mut names = REBUILT.iter().filter_map(|(path, _)| excluded_part(path));
        names.any(|name| path.components().any(|part| part.as_os_str() == name))
    };
    let left_out = ours.len();
    ours.retain(|path| !can_be_rebuilt(path));
    let left_out = left_out - ours.len();
    let (mut same, mut moving) = (0_u64, 0_u64);
    for path in &theirs {
        let (here, there) = (live.join(path), restored.join(path));
        if path.starts_with(LIVE) && path != Path::new(LIVE) {
            beginning(&here, &there)?;
            moving += 1;
        } else {
            equal(&here, &there, path == Path::new(LIVE))?;
            same += 1;
        }
    }
    let missing = |path: &&PathBuf| !path.starts_with(LIVE) && !theirs.contains(path);
    if let Some(path) = ours.iter().find(missing) {
        return Err(format!("{} was not restored", path.display()).into());
    }
    println!(
        "{same} entries equal in bytes, mode and time, {moving} that were being written are a \
         beginning of the live ones, {left_out} that can be rebuilt are not there"
    );
    Ok(())
}

/// `node_modules` of `node_modules/left/dist`, `__pycache__` of `tools/__pycache__`.
fn excluded_part(path: &str) -> Option<&str> {
    path.split('/')
        .find(|part| part.starts_with(['n', '.', '_']))
}

fn equal(here: &Path, there: &Path, moving: bool) -> Outcome<()> {
    let (left, right) = (fs::symlink_metadata(here)?, fs::symlink_metadata(there)?);
    let name = there.display();
    if left.mode() != right.mode() {
        return Err(format!("{name} has another kind or mode").into());
    }
    let time = |metadata: &fs::Metadata| (metadata.mtime(), metadata.mtime_nsec());
    if !moving && time(&left) != time(&right) {
        return Err(format!("{name} has another time").into());
    }
    let same = match left.file_type() {
        kind if kind.is_file() => fs::read(here)? == fs::read(there)?,
        kind if kind.is_symlink() => fs::read_link(here)? == fs::read_link(there)?,
        _ => true,
    };
    same.then_some(())
        .ok_or_else(|| format!("{name} differs").into())
}

fn beginning(here: &Path, there: &Path) -> Outcome<()> {
    if fs::read(here)?.starts_with(&fs::read(there)?) {
        return Ok(());
    }
    Err(format!("{} never was what is restored", here.display()).into())
}

/// Every path below a directory, from there, sorted.
fn listing(root: &Path) -> Outcome<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                waiting.push(entry.path());
            }
            found.push(entry.path().strip_prefix(root)?.to_owned());
        }
    }
    found.sort();
    Ok(found)
}

fn open(path: &Path) -> Outcome<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
    Ok(Connection::open_with_flags(path, flags)?)
}

fn integrity(connection: &Connection, path: &Path) -> Outcome<()> {
    let answer: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    match answer.as_str() {
        "ok" => Ok(()),
        _ => Err(format!("integrity_check of {}: {answer}", path.display()).into()),
    }
}

/// Rows and a hash over every value in the order of the rows, by table.
fn tables(connection: &Connection) -> Outcome<BTreeMap<String, (u64, u64)>> {
    let mut names = connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")?;
    let names: Vec<String> = names
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut tables = BTreeMap::new();
    for name in names {
        let mut all = connection.prepare(&format!("SELECT * FROM \"{name}\" ORDER BY rowid"))?;
        let columns = all.column_count();
        let (mut number, mut hasher) = (0_u64, DefaultHasher::new());
        let mut rows = all.query([])?;
        while let Some(row) = rows.next()? {
            number += 1;
            for column in 0..columns {
                digest(&mut hasher, row.get_ref(column)?);
            }
        }
        tables.insert(name, (number, hasher.finish()));
    }
    Ok(tables)
}

fn digest(hasher: &mut DefaultHasher, value: ValueRef) {
    match value {
        ValueRef::Null => hasher.write_u8(0),
        ValueRef::Integer(number) => hasher.write_i64(number),
        ValueRef::Real(number) => hasher.write_u64(number.to_bits()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
            hasher.write_usize(bytes.len());
            hasher.write(bytes);
        }
    }
}
