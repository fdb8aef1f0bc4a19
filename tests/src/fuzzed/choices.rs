//! Choices made by bytes: the fuzzer's way to say what network it wants.

use engine::rng::{Purpose, Rng};

/// Bytes that are read one after the other; behind the last one come zeros.
pub(super) struct Choices<'a>(pub(super) &'a [u8]);

impl Choices<'_> {
    /// The next byte.
    pub(super) fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().map_or((0, &[][..]), |(first, rest)| (*first, rest));
        self.0 = rest;
        first
    }

    /// Whether the bytes have come to their end.
    pub(super) fn ended(&self) -> bool {
        self.0.is_empty()
    }

    /// One of `0..n`, for `n` up to 256.
    pub(super) fn below(&mut self, n: usize) -> usize {
        usize::from(self.byte()) % n.max(1)
    }

    /// One of `low..=high`.
    pub(super) fn within(&mut self, low: i32, high: i32) -> i32 {
        let word = u32::from_le_bytes([self.byte(), self.byte(), self.byte(), 0]);
        let span = i64::from(high) - i64::from(low) + 1;
        (i64::from(low) + i64::from(word) % span) as i32
    }

    /// One of these.
    pub(super) fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// Once in `n` times.
    pub(super) fn rarely(&mut self, n: usize) -> bool {
        self.below(n) == n - 1
    }

    /// `+-2^e` with `e` in `low..=high`, times something between 1 and 2.
    pub(super) fn magnitude(&mut self, low: i32, high: i32) -> f64 {
        let e = self.within(low, high);
        let part = 1.0 + f64::from(self.byte()) / 256.0;
        let sign = if self.byte() % 4 == 3 { -1.0 } else { 1.0 };
        sign * part * 2f64.powi(e)
    }

    /// Random numbers, many for few bytes.
    pub(super) fn rng(&mut self) -> Rng {
        let seed = u64::from(self.byte()) | u64::from(self.byte()) << 8;
        Rng::at(seed, Purpose::Test, 0, 0)
    }
}
