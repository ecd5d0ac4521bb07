//! What an estimate looks like: for people, and for scripts.

use super::{Estimate, OWN_DISK, Share};
use crate::cli::invocation::Invocation;
use crate::cli::text;
use crate::cost::{Line, Month, Price};
use crate::units::{bytes, elapsed};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// From this amount on cents are enough.
const CENTS_FROM: f64 = 0.05;

/// An amount for people: cents, or as many digits as a small one needs.
pub fn money(amount: f64) -> String {
    match amount {
        amount if amount == 0.0 || amount >= CENTS_FROM => format!("{amount:.2}"),
        amount if amount >= 0.000_1 => format!("{amount:.4}"),
        amount => format!("{amount:.7}"),
    }
}

/// An amount for scripts: what additions of fractions leave is cut.
pub fn rounded(amount: f64) -> f64 {
    (amount * 1e8).round() / 1e8
}

/// Shows an estimate.
pub fn show(invocation: &Invocation, estimate: &Estimate, prices: &BTreeMap<String, Price>) {
    let (subject, output) = (&estimate.subject, &invocation.output);
    let mut title = vec![text::line(&subject.name)];
    title.extend(subject.place.as_deref().map(text::line));
    title.extend(subject.bytes.map(|now| format!("{} now", bytes(now))));
    let classes = estimate.classes.iter().map(|class| match class.after_days {
        0 if class.name == OWN_DISK => OWN_DISK.to_owned(),
        0 => format!("{} at {}", class.name, class.price.storage),
        days => format!(
            "{} at {} from {days} days on",
            class.name, class.price.storage
        ),
    });
    title.push(classes.collect::<Vec<_>>().join(", "));
    output.line(&title.join(" · "));
    if let [class] = estimate.classes.as_slice()
        && class.name == OWN_DISK
    {
        output.remark(
            "No price: a directory costs what its disk costs. price = \"NAME\" of the \
            repository, with [prices.NAME], gives it one; --class compares",
        );
    }
    let now = subject.classes_now.iter();
    let now: Vec<String> = now
        .map(|(class, size)| format!("{class} {}", bytes(*size)))
        .collect();
    if now.len() > 1 {
        output.line(&format!("now in {}", now.join(", ")));
    }
    show_shares(invocation, estimate);
    show_months(invocation, estimate);
    let last = estimate.months.last().map(Month::sum).unwrap_or_default();
    if last.small_objects > 0.0 {
        output.line(&format!(
            "of the last month {} because objects are smaller than the class's minimum",
            money(last.small_objects)
        ));
    }
    let state = newest_bytes(estimate);
    if let Some(home) = estimate
        .classes
        .first()
        .filter(|home| home.name != OWN_DISK)
    {
        output.line(&format!(
            "restoring the newest state once ({}): {}",
            bytes(state as u64),
            money(home.price.read(state))
        ));
    }
    let compared = compared(estimate, prices).into_iter();
    let compared: Vec<String> = compared
        .map(|(class, month)| format!("{class} {}", money(month)))
        .collect();
    let mean = estimate
        .months
        .first()
        .map_or(0.0, |month| month.sum().bytes);
    output.line(&format!(
        "{} for a month, storage only: {}",
        bytes(mean as u64),
        compared.join(" · ")
    ));
}

fn show_shares(invocation: &Invocation, estimate: &Estimate) {
    let head = [
        "JOB",
        "KEEPS",
        "EVERY",
        "STATE",
        "GROWS/DAY",
        "CHANGES/DAY",
        "FIRST MONTH",
        "LAST MONTH",
        "ALL",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let mut is_unknown = false;
    for (share, months) in estimate.subject.shares.iter().zip(&estimate.shares) {
        let total = |month: Option<&Month>| money(month.map_or(0.0, |month| month.sum().total()));
        let of = |figure: fn(&crate::cost::Workload) -> u64| {
            bytes(share.workloads.iter().map(figure).sum())
        };
        let measured = |text: String| if share.known { text } else { "?".to_owned() };
        is_unknown |= !share.known;
        let every = share.workloads.iter().map(|one| one.every).min();
        rows.push(vec![
            share
                .job
                .as_deref()
                .map_or_else(|| "-".to_owned(), text::line),
            policy(share),
            every.map_or_else(|| "-".to_owned(), elapsed),
            of(|one| one.bytes),
            measured(of(|one| one.growth)),
            measured(of(|one| one.change)),
            total(months.first()),
            total(months.last()),
            money(months.iter().map(|month| month.sum().total()).sum()),
        ]);
    }
    let right = [false, false, true, true, true, true, true, true, true];
    for line in text::table(&rows, &right) {
        invocation.output.line(&line);
    }
    if is_unknown {
        invocation.output.remark(
            "Less than a day of snapshots says nothing of growth: counted as none; give --daily-growth \
             and --daily-change",
        );
    }
}

fn show_months(invocation: &Invocation, estimate: &Estimate) {
    let mut head = vec!["MONTH".to_owned(), "STORED AT END".to_owned()];
    head.extend(estimate.classes.iter().map(|class| class.name.clone()));
    head.extend(["STORAGE", "EARLY", "REQUESTS", "TOTAL"].map(str::to_owned));
    let right = vec![true; head.len()];
    let mut rows = vec![head];
    for (number, month) in estimate.months.iter().enumerate() {
        let mut row = vec![(number + 1).to_string(), bytes(month.bytes_end)];
        row.extend(month.lines.iter().map(|line| bytes(line.bytes as u64)));
        row.extend(amounts(&month.sum()));
        rows.push(row);
    }
    let mut sum = Line::default();
    for month in &estimate.months {
        sum.add(&month.sum());
    }
    let mut row = vec!["all".to_owned(), String::new()];
    row.extend(estimate.classes.iter().map(|_| String::new()));
    row.extend(amounts(&sum));
    rows.push(row);
    for line in text::table(&rows, &right) {
        invocation.output.line(&line);
    }
}

fn amounts(line: &Line) -> [String; 4] {
    [line.storage, line.early, line.requests, line.total()].map(money)
}

/// Says what all repositories cost together.
pub fn tell_total(invocation: &Invocation, total: f64, months: u32) {
    let over = match months {
        1 => "a month".to_owned(),
        months => format!("{months} months"),
    };
    invocation
        .output
        .line(&format!("all repositories, {over}: {}", money(total)));
}

fn policy(share: &Share) -> String {
    share
        .policy
        .as_ref()
        .map_or_else(|| "everything".to_owned(), ToString::to_string)
}

/// What the newest states take together, bytes.
fn newest_bytes(estimate: &Estimate) -> f64 {
    let workloads = estimate
        .subject
        .shares
        .iter()
        .flat_map(|share| &share.workloads);
    workloads.map(|workload| workload.bytes as f64).sum()
}

/// What the mean of the first month would cost in each class of the price table, the dearest first.
fn compared(estimate: &Estimate, prices: &BTreeMap<String, Price>) -> Vec<(String, f64)> {
    let mean = estimate
        .months
        .first()
        .map_or(0.0, |month| month.sum().bytes);
    let mut compared: Vec<_> = prices
        .iter()
        .map(|(class, price)| (class.clone(), price.month(mean)))
        .collect();
    compared.sort_by(|one, other| other.1.total_cmp(&one.1));
    compared
}

/// An estimate for scripts.
pub fn describe(estimate: &Estimate, prices: &BTreeMap<String, Price>) -> Value {
    let subject = &estimate.subject;
    let home = estimate.classes.first();
    let shares = subject.shares.iter().zip(&estimate.shares);
    let jobs = shares.map(|(share, months)| {
        let sum = |figure: fn(&crate::cost::Workload) -> u64| {
            share.workloads.iter().map(figure).sum::<u64>()
        };
        json!({
            "job": share.job,
            "keep": policy(share),
            "bytes": sum(|one| one.bytes),
            "daily_growth": sum(|one| one.growth),
            "daily_change": sum(|one| one.change),
            "measured": share.known,
            "total": rounded(months.iter().map(|month| month.sum().total()).sum()),
            "months": months.iter().map(|month| rounded(month.sum().total())).collect::<Vec<_>>(),
        })
    });
    json!({
        "repository": subject.name,
        "location": subject.place,
        "bytes": subject.bytes,
        "bytes_by_class": subject.classes_now,
        "jobs": jobs.collect::<Vec<_>>(),
        "months": estimate.months.iter().map(|month| describe_month(estimate, month)).collect::<Vec<_>>(),
        "restore": home.map(|home| rounded(home.price.read(newest_bytes(estimate)))),
        "compared": compared(estimate, prices).iter().map(|(class, month)| {
            json!({ "class": class, "month": rounded(*month) })
        }).collect::<Vec<_>>(),
    })
}

fn describe_month(estimate: &Estimate, month: &Month) -> Value {
    let classes = estimate
        .classes
        .iter()
        .zip(&month.lines)
        .map(|(class, line)| {
            json!({
                "class": class.name,
                "gb_months": rounded(class.price.gigabytes(line.bytes)),
                "storage": rounded(line.storage),
                "small_objects": rounded(line.small_objects),
                "early": rounded(line.early),
                "puts": line.puts,
                "requests": rounded(line.requests),
            })
        });
    json!({
        "bytes_end": month.bytes_end,
        "snapshots_end": month.snapshots_end,
        "classes": classes.collect::<Vec<_>>(),
        "total": rounded(month.sum().total()),
    })
}

/// The price table for scripts.
pub fn table(prices: &BTreeMap<String, Price>) -> Value {
    let table = prices.iter().map(|(class, price)| {
        json!({
            "class": class,
            "storage": price.storage,
            "put": price.put,
            "get": price.get,
            "retrieval": price.retrieval,
            "min_days": price.min_days,
            "min_object": price.min_object,
            "gb": price.gb,
        })
    });
    Value::Array(table.collect())
}
