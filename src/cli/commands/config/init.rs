//! `config init`: a configuration for what is found, to be read before it is used.

use crate::cli::commands::config::InitArguments;
use crate::cli::commands::config::fetch::write;
use crate::cli::commands::config::find::{Found, REBUILT, find};
use crate::cli::configuration::FILE;
use crate::cli::error::{CommandError, CommandResult};
use crate::cli::invocation::Invocation;
use crate::cli::output::Report;
use crate::cli::text;
use crate::cli::unlock::variable;
use crate::config::Config;
use serde_json::json;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Looks, writes, and says what comes next.
pub fn run(invocation: &Invocation, arguments: &InitArguments) -> CommandResult<Report> {
    let directory = arguments.directory.as_deref().unwrap_or(Path::new("."));
    let directory = directory
        .canonicalize()
        .map_err(|error| CommandError::file("look into", directory, &error).usage_kind())?;
    let found = find(&directory);
    let has_url = variable("DATABASE_URL").is_some();
    let zone = invocation.zone.iana_name().unwrap_or("UTC");
    let written = text_for(&directory, &found, has_url, zone);
    // What is offered must be right.
    Config::parse(&written).map_err(|error| {
        let first = error.faults.first().map(ToString::to_string);
        CommandError::failed(format!(
            "no configuration could be made of what was found: {}",
            first.unwrap_or_default()
        ))
    })?;
    let path = arguments
        .output
        .clone()
        .unwrap_or_else(|| PathBuf::from(FILE));
    let dry_run = arguments.dry_run.dry_run;
    let output = &invocation.output;
    output.say(&format!(
        "found {}, {}, {}{}",
        text::counted(found.databases.len() as u64, "SQLite database"),
        text::counted(found.secrets.len() as u64, "file of variables"),
        text::counted(found.compose.len() as u64, "compose file"),
        match has_url {
            true => ", DATABASE_URL",
            false => "",
        }
    ));
    match dry_run {
        true => written.lines().for_each(|line| {
            output.line(line);
        }),
        false => {
            write(&path, written.as_bytes(), arguments.overwrite)?;
            output.say(&format!("wrote {}", path.display()));
            output.say("Next: read it, choose where the repository is, then");
            output.say("  icecore config check");
            output.say("  icecore key generate FILE      the key it names");
            output.say("  icecore repo init -r local     once");
            output.say("  icecore run --all");
        }
    }
    Ok(Report::with(json!({
        "config": path.display().to_string(),
        "databases": found.databases,
        "secrets": found.secrets,
        "compose": found.compose.iter().map(|(path, _)| path).collect::<Vec<_>>(),
        "dry_run": dry_run,
    })))
}

/// A name for a table out of a file's name.
fn name(path: &Path, taken: &mut BTreeSet<String>) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let letters = stem
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    let mut base: String = letters.take(40).collect();
    if !base.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        base.insert(0, 'x');
    }
    let mut name = base.clone();
    let mut number = 2;
    while !taken.insert(name.clone()) {
        name = format!("{base}-{number}");
        number += 1;
    }
    name
}

/// A text as TOML writes it.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(c);
            }
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn text_for(directory: &Path, found: &Found, has_url: bool, zone: &str) -> String {
    let relative = |path: &Path| {
        let path = path.strip_prefix(directory).unwrap_or(path);
        quoted(&path.to_string_lossy())
    };
    let title = match directory.file_name() {
        Some(_) => name(directory, &mut BTreeSet::new()),
        None => "icecore".to_owned(),
    };
    let mut taken = BTreeSet::from(["files".to_owned(), "secrets".to_owned()]);
    let mut sources = String::new();
    let mut names = Vec::new();
    for path in &found.databases {
        let name = name(path, &mut taken);
        let _ = write!(
            sources,
            "[source.{name}]\ntype = \"sqlite\"\npath = {}\n\n",
            relative(path)
        );
        names.push(name);
    }
    let exclude = REBUILT
        .iter()
        .filter(|(name, _)| found.rebuilt.contains(name));
    let mut exclude: Vec<String> = exclude
        .map(|(name, reason)| format!("  {{ glob = \"{name}\", reason = \"{reason}\" }},\n"))
        .collect();
    for path in found.databases.iter().chain(&found.secrets) {
        let path = globset::escape(&path.to_string_lossy());
        let reason = "a source of its own";
        exclude.push(format!(
            "  {{ glob = {}, reason = \"{reason}\" }},\n",
            quoted(&path)
        ));
    }
    let _ = write!(
        sources,
        "[source.files]\ntype = \"files\"\npaths = [\".\"]\nexclude = [\n{}]\n\n",
        exclude.concat()
    );
    names.push("files".to_owned());
    let mut secrets_job = String::new();
    if !found.secrets.is_empty() {
        let paths: Vec<String> = found.secrets.iter().map(|path| relative(path)).collect();
        let _ = write!(
            sources,
            "# Secrets: apart from the data, under keys of their own (icecore domain create secrets).\n\
             [source.secrets]\ntype = \"files\"\npaths = [{}]\ndomain = \"secrets\"\n\n",
            paths.join(", ")
        );
        secrets_job.push_str(
            "[job.secrets]\nsources = [\"secrets\"]\nrepositories = [\"local\"]\n\
             schedule = \"on-change\"\nkeep = \"forever\"\n\n",
        );
    }
    if has_url {
        sources.push_str(
            "# DATABASE_URL is set. This version saves what its own dump prints:\n\
             # [source.database]\n# type = \"command\"\n# file = \"database.sql\"\n\
             # command = [\"pg_dump\", \"--dbname\", \"service=app\"]\n\n",
        );
    }
    for (path, images) in &found.compose {
        for image in images {
            let _ = writeln!(
                sources,
                "# {} starts {image}: add its dump as a source of type \"command\".",
                relative(path)
            );
        }
    }
    let names: Vec<String> = names.iter().map(|name| quoted(name)).collect();
    format!(
        "# Written by icecore config init. Read it, then: icecore config check\n\
         version  = 1\nname     = {}\ntimezone = {}\n\n\
         [repository.local]\nurl = \"/var/backups/icecore\"     # another disk than the data's\n\
         key = {{ file = \"/etc/icecore/host.key\" }}\n\n{sources}\
         [job.nightly]\nsources = [{}]\nrepositories = [\"local\"]\n\
         schedule = \"daily 03:00\"\nverify = \"read-back\"\n\
         keep = {{ daily = 14, weekly = 8, monthly = 12, min = \"7d\" }}\n\n{secrets_job}",
        quoted(&title),
        quoted(zone),
        names.join(", ")
    )
}
