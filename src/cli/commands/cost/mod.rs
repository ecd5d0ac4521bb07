//! `cost`: what storing costs, month by month, before there is a repository or from what is in one.

mod measure;
mod screen;

use crate::cli::error::{CommandError, CommandResult};
use crate::cli::exit_code::Exit;
use crate::cli::invocation::Invocation;
use crate::cli::output::Report;
use crate::cli::tier::{TierRule, tier_rule};
use crate::cost::{Class, EVERY_MIN, MONTHS_MAX, Month, Price, Workload, built_in, project};
use crate::retention::Policy;
use crate::units::{DAY_SECONDS, parse_duration, parse_size};
use clap::Args;
use jiff::tz::TimeZone;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

/// Where a bucket writes that is not told otherwise.
const STANDARD: &str = "STANDARD";

/// What a directory without a price is called.
const OWN_DISK: &str = "own disk";

/// Options of `cost`.
#[derive(Debug, Args)]
#[command(after_help = "By hand, before there is a repository:\n  \
    icecore cost --size 100GB --daily-growth 200MB --daily-change 1GB --keep daily=14,monthly=12\n\
    Prices come from [prices.NAME] of the configuration, else from a built-in table. How it is \
    computed, with two sheets worked by hand: docs/cost.md")]
pub struct CostArguments {
    /// How many months of 30 days
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=i64::from(MONTHS_MAX)))]
    months: u32,

    /// By hand: what the first snapshot takes in the repository; none is looked at
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    size: Option<u64>,

    /// What is added to it in a day and stays, as stored [default: as measured]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    daily_growth: Option<u64>,

    /// What of it is replaced in a day, as stored [default: as measured]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    daily_change: Option<u64>,

    /// Keep rules in one word, such as daily=14,weekly=8,monthly=12, or forever [default: those of the
    /// jobs, else forever]
    #[arg(long, value_name = "RULES")]
    keep: Option<Policy>,

    /// Time between two snapshots, at least 1h [default: that of the jobs, else 1d]
    #[arg(long, value_name = "DURATION", value_parser = every)]
    every: Option<Duration>,

    /// The price where data is written: a storage class, or a name of [prices.*] [default: that of the
    /// repository, else STANDARD]
    #[arg(long, value_name = "NAME")]
    class: Option<String>,

    /// As for prune: what only snapshots of so many days need goes to this class, such as
    /// STANDARD_IA=90d; may be given several times
    #[arg(long, value_name = "CLASS=AGE", value_parser = tier_rule)]
    tier: Vec<TierRule>,
}

fn every(text: &str) -> Result<Duration, String> {
    let every = parse_duration(text).map_err(|error| error.to_string())?;
    match every < EVERY_MIN {
        true => Err("snapshots closer than 1h are not told apart: give 1h or more".to_owned()),
        false => Ok(every),
    }
}

/// What one policy keeps in one repository: a job's, or everything of a repository.
struct Share {
    /// The job; `None` for what is of no job.
    job: Option<String>,
    /// Its sources there.
    workloads: Vec<Workload>,
    /// The rules; everything is kept without.
    policy: Option<Policy>,
    /// Whether growth and change were measured or given.
    known: bool,
    /// Zone of its rules.
    zone: TimeZone,
}

/// One repository, real or imagined.
struct Subject {
    /// Its name, where it has one.
    name: String,
    /// Where it is.
    place: Option<String>,
    /// What it takes now, bytes.
    bytes: Option<u64>,
    /// What lies in which class now, bytes; buckets only.
    classes_now: BTreeMap<String, u64>,
    /// The price of what is written there.
    class: Option<String>,
    /// Whose snapshots are there.
    shares: Vec<Share>,
}

/// What was computed for a repository.
struct Estimate {
    subject: Subject,
    classes: Vec<Class>,
    /// For each share, month by month.
    shares: Vec<Vec<Month>>,
    /// All of them.
    months: Vec<Month>,
}

/// Estimates.
pub fn run(invocation: &Invocation, arguments: &CostArguments) -> CommandResult<Report> {
    let mut prices = built_in();
    if let Some(configuration) = invocation.configuration()? {
        prices.extend(configuration.config.prices.clone());
    }
    let (subjects, exit) = match arguments.size {
        Some(size) => (vec![by_hand(invocation, arguments, size)], Exit::Done),
        None => measure::subjects(invocation, arguments)?,
    };
    invocation.ui.clear();
    let mut estimates = Vec::new();
    for subject in subjects {
        estimates.push(estimate(invocation, arguments, subject, &prices)?);
    }
    for estimate in &estimates {
        screen::show(invocation, estimate, &prices);
        let described = screen::describe(estimate, &prices);
        invocation.output.object("cost", described);
    }
    let total: f64 = estimates
        .iter()
        .flat_map(|estimate| &estimate.months)
        .map(|month| month.sum().total())
        .sum();
    if estimates.len() > 1 {
        screen::tell_total(invocation, total, arguments.months);
    }
    Ok(Report::with(json!({
        "months": arguments.months,
        "total": screen::rounded(total),
        "prices": screen::table(&prices),
    }))
    .exit(exit))
}

fn by_hand(invocation: &Invocation, arguments: &CostArguments, size: u64) -> Subject {
    let workload = Workload {
        bytes: size,
        growth: arguments.daily_growth.unwrap_or(0),
        change: arguments.daily_change.unwrap_or(0),
        every: arguments.every.unwrap_or(Duration::from_secs(DAY_SECONDS)),
        past: Vec::new(),
        past_bytes: 0,
        policy: arguments.keep.clone(),
    };
    Subject {
        name: "by hand".to_owned(),
        place: None,
        bytes: None,
        classes_now: BTreeMap::new(),
        class: Some(
            arguments
                .class
                .clone()
                .unwrap_or_else(|| STANDARD.to_owned()),
        ),
        shares: vec![Share {
            job: None,
            workloads: vec![workload],
            policy: arguments.keep.clone(),
            known: true,
            zone: invocation.zone.clone(),
        }],
    }
}

fn estimate(
    invocation: &Invocation,
    arguments: &CostArguments,
    subject: Subject,
    prices: &BTreeMap<String, Price>,
) -> CommandResult<Estimate> {
    let classes = classes(arguments, subject.class.as_deref(), prices)?;
    let mut months = vec![Month::default(); arguments.months as usize];
    let mut shares = Vec::new();
    for share in &subject.shares {
        let mut own = vec![Month::default(); arguments.months as usize];
        for workload in &share.workloads {
            invocation.cancel.check()?;
            let now = invocation.now();
            let projected = project(workload, &classes, arguments.months, now, &share.zone)
                .map_err(CommandError::usage)?;
            for (sum, month) in own.iter_mut().zip(&projected) {
                sum.add(month);
            }
        }
        for (sum, month) in months.iter_mut().zip(&own) {
            sum.add(month);
        }
        shares.push(own);
    }
    Ok(Estimate {
        subject,
        classes,
        shares,
        months,
    })
}

/// Where data is written, and where it goes with age, the warmest first.
fn classes(
    arguments: &CostArguments,
    home: Option<&str>,
    prices: &BTreeMap<String, Price>,
) -> CommandResult<Vec<Class>> {
    let price = |name: &str| {
        prices.get(name).copied().ok_or_else(|| {
            let known: Vec<&str> = prices.keys().map(String::as_str).collect();
            CommandError::usage(format!("there is no price of {name:?}")).hint(format!(
                "write [prices.{name}] with storage = … into the configuration; known are {}",
                known.join(", ")
            ))
        })
    };
    let class = |name: &str, price: Price, after_days: u32| Class {
        name: name.to_owned(),
        price,
        after_days,
    };
    let Some(home) = home else {
        return Ok(vec![class(OWN_DISK, Price::of_storage(0.0), 0)]);
    };
    let mut classes = vec![class(home, price(home)?, 0)];
    for rule in &arguments.tier {
        let days = u32::try_from(rule.after().as_secs() / DAY_SECONDS).unwrap_or(u32::MAX);
        classes.push(class(rule.class(), price(rule.class())?, days.max(1)));
    }
    classes.sort_by_key(|class| class.after_days);
    Ok(classes)
}
