//! How likely a bit is, by what the bits before it were.

/// Counts of zeros and ones.
///
/// ```text
/// P(1)  =  ( n_1 + 1/2 ) / ( n_0 + n_1 + 1 )                                        (6h)
/// ```
///
/// Half a bit of each kind is there before the first: nothing is ever impossible, and what the model pays for not knowing
/// the frequency is about `log2(n) / 2` bits after `n` of them. Counts are halved at [`LIMIT`](Self::LIMIT), so that the model
/// follows layers that differ.
///
/// ```
/// use quant::coding::BitModel;
/// let mut model = BitModel::default();
/// assert_eq!(model.probability(), 0.5);
/// (0..3).for_each(|_| model.learn(true));
/// assert_eq!(model.probability(), 3.5 / 4.0);
/// assert_eq!(model.share(), (3.5 / 4.0 * 65536.0) as u32);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BitModel {
    seen: [u16; 2],
}

impl BitModel {
    /// Bits that are remembered.
    pub const LIMIT: u16 = 1024;

    /// `P(1)` of (6h).
    pub fn probability(self) -> f64 {
        let [zeros, ones] = self.seen.map(f64::from);
        (ones + 0.5) / (zeros + ones + 1.0)
    }

    /// `P(1)` in units of `2^-16`, rounded down, and never 0 or 1: what a coder can use, being the same on every machine.
    pub fn share(self) -> u32 {
        let [zeros, ones] = self.seen.map(u32::from);
        (((2 * ones + 1) << 16) / (2 * (zeros + ones) + 2)).clamp(1, 65_535)
    }

    /// Takes in a bit.
    pub fn learn(&mut self, bit: bool) {
        self.seen[usize::from(bit)] += 1;
        if self.seen[0] + self.seen[1] >= Self::LIMIT {
            self.seen = self.seen.map(|n| n / 2);
        }
    }
}
