#![allow(clippy::unwrap_used, clippy::expect_used)]

use crate::config::{Config, Notify, Severity};
use crate::env::Timestamp;
use crate::notice::payload::{Teller, ping};
use crate::notice::{Ledger, Notice, RATE_MAX, Tone};
use std::collections::{BTreeMap, BTreeSet};

fn targets() -> BTreeMap<String, Notify> {
    let text = "version = 1\n\
        [notify.ops]\non = [\"warning\", \"critical\"]\nurl = { env = \"U\" }\n\
        [notify.log]\non = [\"completed\", \"restore\"]\nkind = \"command\"\ncommand = [\"cat\"]\n\
        [notify.dead-man]\non = [\"completed\", \"critical\"]\nkind = \"ping\"\nurl = { env = \"P\" }\n";
    Config::parse(text).unwrap().notify
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(1_790_000_000 + seconds)
}

fn stale() -> Notice {
    let mut notice = Notice::problem(
        "stale",
        "db",
        Severity::Critical,
        "the newest is 26 h old".to_owned(),
        "icecore run --all",
    );
    notice.snapshot = Some("3fa2b1c0".to_owned());
    notice
}

fn receivers(ledger: &Ledger) -> Vec<(&str, Tone)> {
    let queue = ledger.queue.iter();
    queue
        .map(|one| (one.target.as_str(), one.notice.tone))
        .collect()
}

#[test]
fn a_condition_is_told_once_and_once_more_when_it_is_over() {
    let (mut ledger, targets) = (Ledger::default(), targets());
    let all = |_: &Notice| true;
    ledger.observe(vec![stale()], &all, &targets, at(0));
    ledger.observe(vec![stale()], &all, &targets, at(60));
    let told = [("dead-man", Tone::Problem), ("ops", Tone::Problem)];
    assert_eq!(receivers(&ledger), told);
    ledger.observe(vec![], &|_| false, &targets, at(120));
    assert_eq!(receivers(&ledger), told, "it was not judged");
    ledger.queue.clear();
    ledger.observe(vec![], &all, &targets, at(180));
    assert_eq!(
        receivers(&ledger),
        [("log", Tone::Resolved), ("ops", Tone::Resolved)]
    );
    ledger.observe(vec![], &all, &targets, at(240));
    assert_eq!(ledger.queue.len(), 2);
    let text = serde_json::to_string(&ledger).unwrap();
    assert_eq!(serde_json::from_str::<Ledger>(&text).unwrap(), ledger);
}

#[test]
fn a_receiver_that_is_down_for_three_minutes_gets_it_all_the_same() {
    let (mut ledger, targets) = (Ledger::default(), targets());
    ledger.observe(vec![stale()], &|_| true, &targets, at(0));
    ledger.queue.retain(|one| one.target == "ops");
    let (mut now, mut attempts, mut arrived) = (0, 0, None);
    while arrived.is_none() && now < 3600 {
        if let Some(delivery) = ledger.lease(at(now), &BTreeSet::new()) {
            attempts += 1;
            assert!(
                ledger.lease(at(now), &BTreeSet::new()).is_none(),
                "nobody else sends it meanwhile"
            );
            let is_up = now >= 180;
            let result = if is_up {
                Ok(())
            } else {
                Err("refused".to_owned())
            };
            assert_eq!(ledger.settle(delivery.number, result, at(now)), None);
            arrived = is_up.then_some(now);
        }
        now += 1;
    }
    assert!(arrived.unwrap() <= 300, "{arrived:?}");
    assert!(attempts <= 6, "{attempts}");
    assert!(ledger.queue.is_empty());
}

#[test]
fn a_process_that_was_killed_while_sending_leaves_it_to_the_next() {
    let (mut ledger, targets) = (Ledger::default(), targets());
    ledger.tell(stale(), &targets, at(0));
    ledger.queue.retain(|one| one.target == "ops");
    assert!(ledger.lease(at(0), &BTreeSet::new()).is_some());
    assert!(ledger.lease(at(30), &BTreeSet::new()).is_none());
    assert!(ledger.lease(at(100), &BTreeSet::new()).is_some());
    // A clock that was set back by a day holds nothing.
    assert!(ledger.lease(at(-86_400), &BTreeSet::new()).is_some());
}

#[test]
fn too_many_wait_and_none_is_lost() {
    let (mut ledger, targets) = (Ledger::default(), targets());
    for number in 0..RATE_MAX + 5 {
        let mut notice = stale();
        notice.subject = format!("db{number}");
        ledger.observe(vec![notice], &|_| false, &targets, at(0));
    }
    ledger.queue.retain(|one| one.target == "ops");
    let mut drain = |now| {
        let mut sent = 0;
        while let Some(delivery) = ledger.lease(at(now), &BTreeSet::new()) {
            ledger.settle(delivery.number, Ok(()), at(now));
            sent += 1;
        }
        sent
    };
    assert_eq!((drain(0), drain(300), drain(601)), (RATE_MAX, 0, 5));
}

#[test]
fn what_nobody_takes_for_a_week_is_given_up_and_a_start_at_once() {
    let (mut ledger, targets) = (Ledger::default(), targets());
    ledger.tell(stale(), &targets, at(0));
    let start = Notice::news("run-started", "nightly", Severity::Completed, String::new());
    ledger.tell(start, &targets, at(0));
    let waiting: Vec<&str> = ledger.queue.iter().map(|one| one.target.as_str()).collect();
    assert_eq!(
        waiting,
        ["dead-man", "ops", "dead-man"],
        "a start is for pings only"
    );
    let failed = || Err("refused".to_owned());
    let numbers: Vec<u64> = ledger.queue.iter().map(|one| one.number).collect();
    assert!(ledger.settle(numbers[2], failed(), at(0)).is_some());
    assert!(ledger.settle(numbers[0], failed(), at(3600)).is_none());
    assert!(
        ledger
            .settle(numbers[0], failed(), at(8 * 86_400))
            .is_some()
    );
}

#[test]
fn every_form_has_the_snapshot_and_the_remedy() {
    let teller = Teller {
        name: "portal".to_owned(),
        host: "portal-1".to_owned(),
    };
    let mut notice = stale();
    notice.message.push_str(" <!channel> & more");
    let forms = [
        teller.object(&notice).to_string(),
        teller.slack(&notice).to_string(),
        teller.pagerduty(&notice, "R0UT1NG").unwrap().to_string(),
        teller.text(&notice),
    ];
    for form in &forms {
        for part in ["3fa2b1c0", "icecore run --all", "portal", "CRITICAL"] {
            assert!(form.contains(part), "{part} in {form}");
        }
    }
    assert!(!forms[1].contains("<!channel>"), "{}", forms[1]);
    let event = teller.pagerduty(&notice, "R0UT1NG").unwrap();
    let resolved = Notice {
        tone: Tone::Resolved,
        ..notice.clone()
    };
    let over = teller.pagerduty(&resolved, "R0UT1NG").unwrap();
    assert_eq!(
        (&event["event_action"], &over["event_action"]),
        (&"trigger".into(), &"resolve".into())
    );
    assert_eq!(event["dedup_key"], over["dedup_key"]);
    assert_eq!((ping(&notice), ping(&resolved)), (Some("/fail"), None));
}
