//! Repeatable data: names, sentences and tokens that compress about as well as real ones.

/// SplitMix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014).
pub struct Random(u64);

const WORDS: &[&str] = &[
    "order",
    "parcel",
    "customer",
    "invoice",
    "paid",
    "shipped",
    "returned",
    "address",
    "street",
    "delivery",
    "morning",
    "signed",
    "refund",
    "partial",
    "stock",
    "warehouse",
    "north",
    "south",
    "call",
    "before",
    "arrival",
    "gift",
    "wrapped",
    "fragile",
    "insured",
    "weight",
    "volume",
    "confirmed",
    "pending",
    "urgent",
    "copy",
    "contract",
    "quarter",
    "discount",
    "currency",
    "rate",
];

impl Random {
    /// The same seed gives the same data.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    /// A number below `bound`, which is not zero.
    pub fn below(&mut self, bound: u32) -> u32 {
        (self.next() % u64::from(bound)) as u32
    }

    /// So many words.
    pub fn words(&mut self, number: u32) -> String {
        let word = |_| WORDS[self.below(WORDS.len() as u32) as usize];
        (0..number).map(word).collect::<Vec<_>>().join(" ")
    }

    /// 32 hexadecimal digits: a token, which hardly compresses.
    pub fn token(&mut self) -> String {
        format!("{:016x}{:016x}", self.next(), self.next())
    }
}
