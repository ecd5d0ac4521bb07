//! Changes to good inputs, blind to their structure: flips, cuts, splices, wrong lengths.

/// Longest input, bytes.
const INPUT_BYTES_MAX: usize = 16 << 10;

/// Numbers at the edges of what lengths and counts may be.
const EDGES: [u64; 12] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    u64::MAX,
];

/// Gives one changed seed after another; the same ones for the same number.
pub struct Mutator<'s> {
    random: u64,
    seeds: &'s [Vec<u8>],
}

impl<'s> Mutator<'s> {
    pub fn new(seed: u64, seeds: &'s [Vec<u8>]) -> Self {
        assert!(!seeds.is_empty());
        Self {
            random: seed,
            seeds,
        }
    }

    /// SplitMix64.
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.random() % bound.max(1) as u64) as usize
    }

    fn any_seed(&mut self) -> &'s [u8] {
        let seeds = self.seeds;
        &seeds[self.below(seeds.len())]
    }

    /// A seed with one to eight changes.
    pub fn next_input(&mut self) -> Vec<u8> {
        let mut input = self.any_seed().to_vec();
        for _ in 0..=self.below(8) {
            self.change(&mut input);
        }
        input.truncate(INPUT_BYTES_MAX);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let position = self.below(input.len());
        match self.below(9) {
            0 => self.flip(input, position),
            1 => input.truncate(position),
            2 => {
                let length = self.below(64);
                let random = (0..length).map(|_| self.random() as u8).collect::<Vec<_>>();
                input.splice(position..position, random);
            }
            3 => self.splice(input, position),
            4 => self.edge(input, position),
            5 => self.cbor_head(input, position),
            6 => {
                let end = (position + self.below(64)).min(input.len());
                input.drain(position..end);
            }
            7 => {
                let end = (position + self.below(64)).min(input.len());
                let copied = input[position..end].to_vec();
                let place = self.below(input.len() + 1);
                input.splice(place..place, copied);
            }
            _ => {
                if let Some(byte) = input.get_mut(position) {
                    *byte = self.random() as u8;
                }
            }
        }
    }

    fn flip(&mut self, input: &mut [u8], position: usize) {
        let bit = self.below(8);
        if let Some(byte) = input.get_mut(position) {
            *byte ^= 1 << bit;
        }
    }

    /// Continues with the middle of another seed.
    fn splice(&mut self, input: &mut Vec<u8>, position: usize) {
        let other = self.any_seed();
        let start = self.below(other.len());
        input.truncate(position);
        input.extend_from_slice(&other[start.min(other.len())..]);
    }

    /// Writes an extreme number of 1, 2, 4 or 8 bytes.
    fn edge(&mut self, input: &mut [u8], position: usize) {
        let number = EDGES[self.below(EDGES.len())].to_le_bytes();
        let length = 1 << self.below(4);
        let end = (position + length).min(input.len());
        input[position..end].copy_from_slice(&number[..end - position]);
    }

    /// Claims a CBOR text, array or map of an extreme length.
    fn cbor_head(&mut self, input: &mut Vec<u8>, position: usize) {
        let major = self.below(8) as u8;
        let number = EDGES[self.below(EDGES.len())];
        let head = [&[major << 5 | 0x1b][..], &number.to_be_bytes()].concat();
        let end = (position + self.below(3)).min(input.len());
        input.splice(position..end, head);
    }
}
