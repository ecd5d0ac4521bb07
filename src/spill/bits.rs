//! One bit for each of many numbered things.

/// Bits, all clear at first.
#[derive(Debug, Default)]
pub struct Bits(Vec<u64>);

impl Bits {
    /// As many as `length`.
    pub fn new(length: usize) -> Self {
        Self(vec![0; length.div_ceil(64)])
    }

    /// Whether a bit is set; one beyond the length is not.
    pub fn get(&self, number: usize) -> bool {
        let word = self.0.get(number / 64).copied().unwrap_or(0);
        word >> (number % 64) & 1 == 1
    }

    /// Sets a bit within the length. Whether it was clear before.
    pub fn set(&mut self, number: usize) -> bool {
        let Some(word) = self.0.get_mut(number / 64) else {
            return false;
        };
        let bit = 1 << (number % 64);
        let was_clear = *word & bit == 0;
        *word |= bit;
        was_clear
    }
}
