//! Retention: any calendar, any policy.

use icecore::env::Timestamp;
use icecore::id::SnapshotId;
use icecore::retention::{Candidate, GroupKey, GroupPlan, Policy, plan};
use icecore::units::Span;
use std::collections::BTreeMap;

const NOW: Timestamp = Timestamp(1_793_502_000_500_000_000);

/// Six counts 1 ‖ minimum days 1 ‖ then candidates of 6: days 2 ‖ seconds 2 ‖ flags 1 ‖ group 1.
pub fn retention(data: &[u8]) {
    let Some((&head, rest)) = data.split_first_chunk::<7>() else {
        return;
    };
    let count = |place: usize| Some(u32::from(head[place] % 8));
    let policy = Policy {
        keep_last: count(0),
        keep_hourly: count(1),
        keep_daily: count(2),
        keep_weekly: count(3),
        keep_monthly: count(4),
        keep_yearly: count(5),
        min: (head[6] > 0).then(|| Span::days(u32::from(head[6]))),
        ..Policy::default()
    };
    let chunks = rest.as_chunks::<6>().0.iter().take(200).enumerate();
    let candidates: Vec<Candidate> = chunks
        .map(|(number, bytes)| candidate(number, bytes))
        .collect();
    let zone = jiff::tz::TimeZone::UTC;
    let Ok(groups) = plan(&policy, &candidates, NOW, &zone) else {
        return;
    };
    let decided: usize = groups.iter().map(|group| group.decisions.len()).sum();
    assert_eq!(decided, candidates.len(), "each snapshot has one fate");
    for group in &groups {
        let kept = group.decisions.iter().filter(|fate| fate.is_kept()).count();
        let has_rules = head[..6].iter().any(|count| count % 8 > 0);
        assert!(kept > 0 || !has_rules, "nothing is left of {}", group.key);
    }
    // Without a rule a minimum forgets nothing: there the first rule does cost snapshots.
    if head[..6].iter().any(|count| count % 8 > 0) {
        assert_generous(&policy, &candidates, &groups);
    }
}

/// A rule that keeps more never costs a snapshot.
fn assert_generous(policy: &Policy, candidates: &[Candidate], groups: &[GroupPlan]) {
    let more = Policy {
        keep_last: policy.keep_last.map(|count| count + 1),
        ..policy.clone()
    };
    let zone = jiff::tz::TimeZone::UTC;
    let generous = plan(&more, candidates, NOW, &zone).expect("a policy like the one before");
    for (group, generous) in groups.iter().zip(&generous) {
        let gone: Vec<_> = generous.forgotten().collect();
        let kept = group.decisions.iter().filter(|fate| fate.is_kept());
        for fate in kept {
            assert!(
                !gone.contains(&fate.id),
                "{} went for a more generous rule",
                fate.id
            );
        }
    }
}

fn candidate(number: usize, bytes: &[u8; 6]) -> Candidate {
    let days = i64::from(u16::from_le_bytes([bytes[0], bytes[1]])) - 100;
    let seconds = i64::from(u16::from_le_bytes([bytes[2], bytes[3]]));
    let ago = (days * 86_400 + seconds) * 1_000_000_000;
    let captured = Timestamp(NOW.0 - ago);
    let flags = bytes[4];
    let mut id = [0; 32];
    id[..8].copy_from_slice(&(number as u64).to_le_bytes());
    Candidate {
        id: SnapshotId(id),
        group: GroupKey {
            host: Some(format!("host {}", bytes[5] % 3)),
            ..GroupKey::default()
        },
        captured,
        stored: (flags & 1 != 0)
            .then_some(Timestamp(captured.0 + i64::from(flags) * 1_000_000_000)),
        tags: BTreeMap::new(),
        held: flags & 2 != 0,
        proven: flags & 4 != 0,
        flawed: flags & 8 != 0,
    }
}
