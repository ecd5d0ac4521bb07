//! Numbers for moments and places.

/// Numbers in a row from a seed: SplitMix64.
pub struct Random(u64);

impl Random {
    /// The same row for the same seed.
    pub fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// From the system, shown so that a failure can be repeated by hand.
    pub fn fresh(what: &str) -> Self {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).unwrap();
        let seed = u64::from_le_bytes(bytes);
        println!("{what}: seed {seed}");
        Self(seed)
    }

    /// A number in `0..bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
