//! Who may go on: every party waits at each of its calls until the schedule grants it, one at a
//! time, so that a seed decides everything.

use icecore::env::{Clock, Sleeper, Timestamp};
use icecore::store::ObjectKey;
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// One number after another from a seed: SplitMix64.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x2545_f491_4f6c_dd1d).wrapping_add(1))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    pub fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }

    /// Of very different lengths, up to two to the `bits` milliseconds.
    pub fn time(&mut self, bits: u64) -> Duration {
        let most = 1 << self.below(bits + 1);
        Duration::from_millis(1 + self.below(most))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Computing,
    /// At a call, which may be granted from this moment on.
    Waiting(i64),
    Finished,
}

/// What a party's machine does to it.
#[derive(Debug, Clone, Copy)]
pub struct Fate {
    /// It stops for ever at this call.
    pub crashes_at: Option<u64>,
    /// One call in so many fails; 0: none.
    pub fails_one_in: u64,
    /// One call in so many takes minutes; 0: none.
    pub pauses_one_in: u64,
    /// It stands still for so long before this call: others do all their work meanwhile.
    pub stalls: Option<(u64, Duration)>,
    /// How far its clock is off.
    pub clock_off: i64,
}

impl Fate {
    pub fn drawn(random: &mut Random) -> Self {
        let hour = 3_600_000_000_000;
        Self {
            crashes_at: random.one_in(4).then(|| 10 + random.below(150)),
            fails_one_in: [0, 0, 25, 60][random.below(4) as usize],
            pauses_one_in: [0, 0, 60, 120][random.below(4) as usize],
            stalls: (random.one_in(2)).then(|| {
                let call = 5 + random.below(90);
                (call, Duration::from_secs(1 << random.below(10)))
            }),
            clock_off: (random.below(11) as i64 - 5) * hour,
        }
    }
}

/// What is in the store: bytes, and when they came.
pub type Objects = BTreeMap<ObjectKey, (Arc<[u8]>, Timestamp)>;

/// A PUT that takes effect after its answer.
#[derive(Debug, Clone)]
pub struct Late {
    pub due: i64,
    pub key: ObjectKey,
    pub bytes: Arc<[u8]>,
}

pub struct State {
    pub objects: Objects,
    pub late: Vec<Late>,
    pub random: Random,
    pub now: i64,
    pub calls: u64,
    /// A digest of all that happened, and the words for it where they are wanted.
    pub digest: u64,
    pub trace: Option<Vec<String>>,
    turns: Vec<Turn>,
    fates: Vec<Fate>,
    made: Vec<u64>,
    /// What each party's calls take: drawn in the order of its own calls, not of all.
    paces: Vec<Random>,
    running: Option<usize>,
}

/// The store and the schedule, shared by all parties.
pub struct Core {
    state: Mutex<State>,
    granted: Vec<Condvar>,
}

/// A party was stopped for ever.
pub struct Crashed;

impl Core {
    pub fn new(objects: Objects, now: i64, fates: Vec<Fate>, mut random: Random) -> Arc<Self> {
        let parties = fates.len();
        Arc::new(Self {
            granted: (0..parties).map(|_| Condvar::new()).collect(),
            state: Mutex::new(State {
                objects,
                late: Vec::new(),
                now,
                calls: 0,
                digest: 0,
                trace: None,
                turns: vec![Turn::Computing; parties],
                made: vec![0; parties],
                paces: (0..parties).map(|_| Random::new(random.next())).collect(),
                fates,
                running: None,
                random,
            }),
        })
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the party's next call is granted; `pause` is added to what it takes anyway.
    pub fn enter(&self, party: usize, pause: Duration) -> Result<MutexGuard<'_, State>, Crashed> {
        let mut state = self.state();
        state.check_alive(party)?;
        let fate = state.fates[party];
        let pace = &mut state.paces[party];
        let mut takes = pace.time(9) + pause;
        if fate.pauses_one_in > 0 && pace.one_in(fate.pauses_one_in) {
            takes += pace.time(20);
        }
        state.made[party] += 1;
        if let Some((call, stalled)) = fate.stalls
            && call == state.made[party]
        {
            takes += stalled;
        }
        let ready = state.now + i64::try_from(takes.as_nanos()).unwrap();
        state.turns[party] = Turn::Waiting(ready);
        if state.running == Some(party) {
            state.running = None;
        }
        self.grant(&mut state);
        while state.running != Some(party) {
            state = self.granted[party]
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.turns[party] = Turn::Computing;
        state.calls += 1;
        state.check_alive(party)?;
        Ok(state)
    }

    /// The party is done.
    pub fn finish(&self, party: usize) {
        let mut state = self.state();
        state.turns[party] = Turn::Finished;
        if state.running == Some(party) {
            state.running = None;
        }
        self.grant(&mut state);
    }

    /// When every party waits or is done, the one whose call is due first may go on.
    fn grant(&self, state: &mut State) {
        if state.running.is_some() || state.turns.contains(&Turn::Computing) {
            return;
        }
        let ready = |(party, turn): (usize, &Turn)| match turn {
            Turn::Waiting(ready) => Some((*ready, party)),
            _ => None,
        };
        let next = state.turns.iter().enumerate().filter_map(ready).min();
        if let Some((ready, party)) = next {
            state.now = state.now.max(ready);
            state.land_due();
            state.running = Some(party);
            self.granted[party].notify_one();
        }
    }
}

impl State {
    fn check_alive(&self, party: usize) -> Result<(), Crashed> {
        match self.fates[party].crashes_at {
            Some(call) if self.made[party] > call => Err(Crashed),
            _ => Ok(()),
        }
    }

    /// Whether this call is the party's last: it may still take effect.
    pub fn crashes_now(&self, party: usize) -> bool {
        self.fates[party].crashes_at == Some(self.made[party])
    }

    pub fn fails_now(&mut self, party: usize) -> bool {
        let chances = self.fates[party].fails_one_in;
        chances > 0 && self.random.one_in(chances)
    }

    fn land_due(&mut self) {
        let now = self.now;
        let (mut due, rest): (Vec<Late>, Vec<Late>) = std::mem::take(&mut self.late)
            .into_iter()
            .partition(|late| late.due <= now);
        self.late = rest;
        due.sort_by_key(|late| late.due);
        due.into_iter().for_each(|late| self.land(late));
    }

    pub fn land(&mut self, late: Late) {
        self.note("late", usize::MAX, late.key.as_str());
        self.objects
            .insert(late.key, (late.bytes, Timestamp(self.now)));
    }

    pub fn note(&mut self, what: &str, party: usize, object: &str) {
        for byte in what.bytes().chain([party as u8]).chain(object.bytes()) {
            self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        let now = self.now / 1_000_000;
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{now} {party} {what} {object}"));
        }
    }
}

/// A party's clock, and how it sleeps.
pub struct PartyTime {
    pub core: Arc<Core>,
    pub party: usize,
}

impl Clock for PartyTime {
    fn now(&self) -> Timestamp {
        let state = self.core.state();
        Timestamp(state.now + state.fates[self.party].clock_off)
    }
}

impl Sleeper for PartyTime {
    fn sleep(&self, duration: Duration) {
        drop(self.core.enter(self.party, duration));
    }
}
