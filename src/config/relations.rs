//! What the tables of a configuration say of each other.

use crate::config::nearest::nearest;
use crate::config::value::{Problem, Table, Value};
use crate::config::{Config, Job, JobKind, RestorePlan};
use std::collections::BTreeMap;

/// Records every name that leads nowhere and every pair of tables that cannot both be meant.
pub(super) fn check(config: &Config, file: &Table<'_, '_>) {
    same_repositories(config, file);
    prices(config, file);
    // Those with a mistake of their own too: that one is told, and not once more by each job.
    let names = |kind| -> BTreeMap<String, _> { tables_of(file, kind).into_iter().collect() };
    let (sources, repositories) = (names("source"), names("repository"));
    for (name, value) in tables_of(file, "job") {
        let Some(job) = config.jobs.get(&name) else {
            continue;
        };
        named(&value, "sources", "source", &job.sources, &sources);
        let own = &job.repositories;
        named(&value, "repositories", "repository", own, &repositories);
        pruners(&value, job, config);
        drills(&value, job);
        restores(&value, job);
    }
    ages(config, file);
}

fn tables_of<'v, 't>(file: &Table<'v, 't>, kind: &str) -> Vec<(String, Value<'v, 't>)> {
    let entries = file.entries().into_iter().filter(|(key, _)| key == kind);
    entries
        .filter_map(|(_, value)| value.table().ok())
        .flat_map(|table| table.entries())
        .collect()
}

fn at<'v, 't>(table: &Value<'v, 't>, key: &str) -> Value<'v, 't> {
    let entries = table.table().map(|table| table.entries());
    let found = entries.into_iter().flatten().find(|(own, _)| own == key);
    found.map_or_else(|| table.clone(), |(_, value)| value)
}

fn unknown<T>(kind: &str, name: &str, known: &BTreeMap<String, T>) -> Problem {
    let problem = Problem::new(format!("there is no [{kind}.{name}]"));
    let names: Vec<&str> = known.keys().map(String::as_str).collect();
    match nearest(name, &names) {
        Some(near) => problem.help(format!("did you mean {near:?}?")),
        None if names.is_empty() => problem,
        None => problem.help(format!("there is {}", names.join(", "))),
    }
}

fn named<T>(
    job: &Value<'_, '_>,
    key: &str,
    kind: &str,
    names: &[String],
    known: &BTreeMap<String, T>,
) {
    let list = at(job, key);
    for (place, name) in names.iter().enumerate() {
        if !known.contains_key(name) {
            list.faults.add(list.at.clone(), unknown(kind, name, known));
        }
        if names[..place].contains(name) {
            let twice = Problem::new(format!("{} names {name:?} twice", list.name));
            list.faults.add(list.at.clone(), twice);
        }
    }
}

/// One place under two names would be copied to itself, and counted as two copies.
fn same_repositories(config: &Config, file: &Table<'_, '_>) {
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    let tables = tables_of(file, "repository");
    for (name, value) in &tables {
        let Some(repository) = config.repositories.get(name) else {
            continue;
        };
        let place = repository.url.split('?').next().unwrap_or_default();
        let place = place.trim_end_matches('/');
        if let Some(first) = seen.insert(place, name) {
            let url = at(value, "url");
            let problem = Problem::new(format!(
                "{name:?} is the same place as {first:?}: it would count as two copies"
            ));
            url.faults.add(url.at.clone(), problem);
        }
    }
}

fn prices(config: &Config, file: &Table<'_, '_>) {
    let mut known = crate::cost::built_in();
    known.extend(config.prices.clone());
    for (name, value) in tables_of(file, "repository") {
        let repository = config.repositories.get(&name);
        let price = repository.and_then(|repository| repository.price.as_ref());
        if let Some(price) = price.filter(|price| !known.contains_key(*price)) {
            let place = at(&value, "price");
            place
                .faults
                .add(place.at.clone(), unknown("prices", price, &known));
        }
    }
}

fn pruners(table: &Value<'_, '_>, job: &Job, config: &Config) {
    let place = at(table, "prune_by");
    for (repository, pruner) in &job.prune_by {
        let problem = if !job.repositories.contains(repository) {
            let own = job.repositories.iter().map(|name| (name.clone(), ()));
            unknown("repository", repository, &own.collect::<BTreeMap<_, _>>())
        } else {
            match config.jobs.get(pruner) {
                // It may be in the configuration of another host.
                None => continue,
                Some(job) if job.kind == JobKind::Prune => continue,
                Some(_) => Problem::new(format!("[job.{pruner}] does not prune"))
                    .help("write kind = \"prune\" there"),
            }
        };
        place.faults.add(place.at.clone(), problem);
    }
    let is_pruned_here = |name: &&String| !job.prune_by.contains_key(*name);
    let keeps_nowhere = job.keep.as_ref().is_some_and(|keep| !keep.keep_forever)
        && job.kind == JobKind::Prune
        && !job.repositories.iter().any(|name| is_pruned_here(&name));
    if keeps_nowhere {
        let problem = Problem::new("this job prunes, and leaves every repository to others");
        place.faults.add(place.at.clone(), problem);
    }
}

fn drills(table: &Value<'_, '_>, job: &Job) {
    let Some(drill) = &job.drill else { return };
    let place = at(table, "drill");
    for source in drill.query.keys() {
        if !job.sources.contains(source) {
            let own = job.sources.iter().map(|name| (name.clone(), ()));
            let problem = unknown("source", source, &own.collect::<BTreeMap<_, _>>());
            place.faults.add(place.at.clone(), problem);
        }
    }
}

/// A job without sources has nothing that could be brought back.
fn restores(table: &Value<'_, '_>, job: &Job) {
    if job.kind == JobKind::Prune && job.restore != RestorePlan::default() {
        let place = at(table, "restore");
        let problem = Problem::new("this job takes no snapshots: there is nothing to restore")
            .help("write restore.stop and the others in the job that captures the sources");
        place.faults.add(place.at.clone(), problem);
    }
}

/// One source cannot be under a duty to be kept and a duty to be erased sooner, in whatever jobs.
fn ages(config: &Config, file: &Table<'_, '_>) {
    let tables = tables_of(file, "job");
    let keeps = tables.iter().filter_map(|(name, value)| {
        let job = config.jobs.get(name)?;
        Some((name, value, job, job.keep.as_ref()?))
    });
    let keeps: Vec<_> = keeps.collect();
    for (place, (name, value, job, keep)) in keeps.iter().enumerate() {
        for (first_name, _, first, first_keep) in &keeps[..place] {
            let pairs = [(keep.min, first_keep.max), (first_keep.min, keep.max)];
            let clash = pairs.iter().find_map(|pair| match *pair {
                (Some(min), Some(max)) if min.may_exceed(max) => Some((min, max)),
                _ => None,
            });
            let shared = job.sources.iter().find(|s| first.sources.contains(s));
            if let (Some((min, max)), Some(source)) = (clash, shared) {
                let keep = at(value, "keep");
                let problem = Problem::new(format!(
                    "source {source:?} is kept at least {min} and at most {max}, by [job.{name}] \
                     and [job.{first_name}]: both cannot hold"
                ));
                let problem =
                    problem.help("put what falls under each duty into a source of its own");
                keep.faults.add(keep.at.clone(), problem);
            }
        }
    }
}
