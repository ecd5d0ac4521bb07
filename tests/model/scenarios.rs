//! The bounded worlds that are searched.
//!
//! At first there are a withdrawn snapshot 0 and a visible snapshot 1. Blobs: the content a, the
//! content b, a node t above a, and a new content d, which can be stored as a delta against a.

use crate::model::scenario::{Attempt, Commit, Form, Part, Scenario};

const A: u8 = 0;
const B: u8 = 1;
const T: u8 = 2;
const D: u8 = 3;

/// Forms: each blob in full, and d as a delta.
const FULL_A: u16 = 1 << A;
const FULL_B: u16 = 1 << B;
const FULL_T: u16 = 1 << T;

/// Sessions of writers from 0 on, of prunes from 5 on.
fn writer(session: u8, attempts: u8, commits: u8) -> Part {
    let attempt = |number| Attempt {
        session: session + number,
        commits: (0..commits)
            .map(|commit| {
                let place = session * 2 + number * commits + commit;
                Commit {
                    snapshot: 2 + place,
                    pack: 4 + place,
                    segment: 3 + place,
                }
            })
            .collect(),
    };
    Part::Writer((0..attempts).map(attempt).collect())
}

fn pruner(number: u8) -> Part {
    Part::Pruner {
        session: 5 + number,
        pack: 12 + number,
        segment: 9 + number,
    }
}

/// The node t shares a pack with living b, its child a has one of its own.
fn base(name: &'static str, parts: Vec<Part>) -> Scenario {
    let mut sessions = vec![None; 6];
    let mut roots = vec![T, B, T, T, T, T];
    for part in &parts {
        let Part::Writer(attempts) = part else {
            continue;
        };
        for attempt in attempts {
            for (number, commit) in attempt.commits.iter().enumerate() {
                let snapshot = usize::from(commit.snapshot);
                sessions[snapshot] = Some(attempt.session);
                roots[snapshot] = [T, D][number];
            }
        }
    }
    let full = |blob| Form { blob, base: None };
    Scenario {
        name,
        forms: vec![
            full(A),
            full(B),
            full(T),
            full(D),
            Form {
                blob: D,
                base: Some(A),
            },
        ],
        links: vec![0, 0, 1 << A, 0],
        roots,
        sessions,
        packs: vec![FULL_T | FULL_B, FULL_A],
        segments: vec![0b11],
        snapshots: 0b11,
        hidden: 0b01,
        parts,
        repack: false,
        sweep: false,
        lists_at_once: false,
        faults: 0,
        bug: None,
    }
}

/// A second copy of b in a pack of its own: two prunes may each want to keep the other one.
fn with_copies(mut scenario: Scenario) -> Scenario {
    scenario.packs = vec![FULL_B, FULL_A | FULL_T, FULL_B];
    scenario.segments = vec![0b011, 0b100];
    scenario
}

/// The withdrawn snapshot needs a alone, and the writer wants d.
fn with_delta(mut scenario: Scenario) -> Scenario {
    scenario.roots = vec![A, B, D, D, D, D];
    scenario
}

pub const WRITER_PRUNE: &str = "a writer and a prune that repacks";
pub const WRITER_SWEEP: &str = "a writer and a prune that cleans up";
pub const WRITER_DELTA: &str = "a delta and a prune";
pub const WRITER_TWO_PRUNES: &str = "a writer and two prunes";
pub const TWO_PRUNES: &str = "two prunes and two copies";
pub const TWO_WRITERS: &str = "two writers and a prune";
pub const TWO_COMMITS: &str = "two commits of one session";
pub const FORGET: &str = "a writer, a prune, a forget, an undo";
pub const HOLD: &str = "a hold, a prune, a forget";
pub const HOLD_NEW: &str = "a writer, a prune, a hold of its snapshot";
pub const UNDO: &str = "a writer, a prune, an undo";
pub const UNDO_TWO_PRUNES: &str = "two prunes, an undo";
pub const HOLD_TWO_PRUNES: &str = "two prunes, a hold";
pub const READER_FORGET: &str = "a reader, a prune, a forget";
pub const READER_WRITER: &str = "a reader, a writer, a prune";

/// What continuous integration searches to the end.
pub fn short() -> Vec<Scenario> {
    let writer_prune = || vec![writer(0, 2, 1), pruner(0)];
    vec![
        Scenario {
            faults: 1,
            repack: true,
            ..base(WRITER_PRUNE, writer_prune())
        },
        Scenario {
            faults: 1,
            sweep: true,
            ..base(WRITER_SWEEP, writer_prune())
        },
        with_delta(base(WRITER_DELTA, writer_prune())),
        Scenario {
            lists_at_once: true,
            ..base(
                WRITER_TWO_PRUNES,
                vec![writer(0, 1, 1), pruner(0), pruner(1)],
            )
        },
        with_copies(base(TWO_PRUNES, vec![pruner(0), pruner(1)])),
        base(
            TWO_WRITERS,
            vec![writer(0, 1, 1), writer(1, 1, 1), pruner(0)],
        ),
        Scenario {
            faults: 1,
            repack: true,
            ..base(TWO_COMMITS, vec![writer(0, 1, 2), pruner(0)])
        },
        base(
            FORGET,
            vec![
                writer(0, 1, 1),
                pruner(0),
                Part::Forgetter(2),
                Part::Undoer(2),
            ],
        ),
        Scenario {
            faults: 1,
            ..base(HOLD, vec![pruner(0), Part::Holder(0), Part::Forgetter(1)])
        },
        base(HOLD_NEW, vec![writer(0, 1, 1), pruner(0), Part::Holder(2)]),
        base(UNDO, vec![writer(0, 1, 1), pruner(0), Part::Undoer(0)]),
        Scenario {
            lists_at_once: true,
            ..base(UNDO_TWO_PRUNES, vec![pruner(0), pruner(1), Part::Undoer(0)])
        },
        Scenario {
            lists_at_once: true,
            ..base(HOLD_TWO_PRUNES, vec![pruner(0), pruner(1), Part::Holder(0)])
        },
        Scenario {
            repack: true,
            ..base(
                READER_FORGET,
                vec![pruner(0), Part::Forgetter(1), Part::Reader],
            )
        },
        base(
            READER_WRITER,
            vec![writer(0, 1, 1), pruner(0), Part::Reader],
        ),
    ]
}

/// Larger worlds, searched on demand.
pub fn long() -> Vec<Scenario> {
    let at_once = |scenario: Scenario| Scenario {
        lists_at_once: true,
        ..scenario
    };
    vec![
        base(
            "two prunes, lists in steps",
            vec![writer(0, 1, 1), pruner(0), pruner(1)],
        ),
        Scenario {
            faults: 2,
            sweep: true,
            repack: true,
            ..base("two late PUTs", vec![writer(0, 2, 1), pruner(0)])
        },
        Scenario {
            faults: 1,
            sweep: true,
            ..at_once(base(
                "two prunes that clean up",
                vec![writer(0, 2, 1), pruner(0), pruner(1)],
            ))
        },
        with_copies(Scenario {
            faults: 1,
            sweep: true,
            ..base("two prunes, copies, late PUTs", vec![pruner(0), pruner(1)])
        }),
        Scenario {
            faults: 1,
            ..base(
                "two writers, late PUTs",
                vec![writer(0, 1, 1), writer(1, 1, 1), pruner(0)],
            )
        },
        at_once(base(
            "two writers and two prunes",
            vec![writer(0, 1, 1), writer(1, 1, 1), pruner(0), pruner(1)],
        )),
        Scenario {
            faults: 1,
            repack: true,
            ..base(
                "two commits, a reader",
                vec![writer(0, 1, 2), pruner(0), Part::Reader],
            )
        },
        Scenario {
            repack: true,
            ..at_once(base(
                "a reader, two prunes, a forget",
                vec![pruner(0), pruner(1), Part::Forgetter(1), Part::Reader],
            ))
        },
    ]
}
