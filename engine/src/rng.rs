//! Random numbers whose streams never change: Philox4x32-10.
//!
//! A *counter-based* generator is a function, not a state: block `i` of stream `s` under seed `k` is
//! `philox(key = k, counter = (i, s))`, ten rounds of multiply and xor that leave no statistical trace of
//! their input. Any draw can be computed without the draws before it, so what depends on (seed, epoch,
//! image) can be drawn on any thread, in any order, and again after a resumed run, with the same result.
//!
//! **Frozen.** Everything below (the block function, how seed and stream enter it, how words become
//! numbers) is part of the project's contract: a run's seed means the same run in every release, on every
//! machine. Only `+ - * / sqrt` of IEEE arithmetic are used, no system logarithm. Known-answer tests hold
//! it; a better idea becomes a second generator beside this one.
//!
//! Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011), section 3.2.

/// What a stream is for. Draws for different purposes never meet, whatever their epoch and index.
///
/// The numbers are frozen: a new purpose takes a new number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Purpose {
    /// Initial weights; index = number of the parameter.
    Init = 0,
    /// The order of the images in an epoch.
    Shuffle = 1,
    /// Crop, flip and cutout of one image; index = the image.
    Augment = 2,
    /// Synthetic samples and images; index = the block of samples, or the image.
    Synthetic = 3,
    /// The choice of calibration or validation images.
    Subset = 4,
    /// Search over bit widths.
    Search = 5,
    /// Post-training reconstruction: batches and dropped roundings; epoch = the unit, index = the iteration and place.
    Reconstruction = 6,
    /// A folder of pictures: epoch 0, which of a class (the index) are test images; epoch 1, the order of each part.
    Split = 7,
    /// Tests and benchmarks.
    Test = 255,
}

/// One stream of random numbers.
///
/// ```
/// use engine::rng::{Purpose, Rng};
/// let mut a = Rng::at(7, Purpose::Augment, 3, 41); // seed 7, epoch 3, image 41
/// let mut b = Rng::at(7, Purpose::Augment, 3, 41);
/// assert_eq!(a.next_u32(), b.next_u32());
/// assert!((0.0..1.0).contains(&a.uniform()));
/// ```
#[derive(Clone, Debug)]
pub struct Rng {
    key: [u32; 2],
    stream: u64,
    next_block: u64,
    block: [u32; 4],
    used: usize,
}

impl Rng {
    /// Stream number `stream` of `seed`, from its beginning.
    pub fn new(seed: u64, stream: u64) -> Self {
        Self { key: halves(seed), stream, next_block: 0, block: [0; 4], used: 4 }
    }

    /// The stream addressed by (purpose, epoch, index): `purpose << 56 | epoch << 32 | index`, with 24 bits
    /// of epoch and 32 of index (higher bits are dropped).
    pub fn at(seed: u64, purpose: Purpose, epoch: usize, index: usize) -> Self {
        let stream =
            ((purpose as u64) << 56) | ((epoch as u64 & 0xff_ffff) << 32) | (index as u64 & 0xffff_ffff);
        Self::new(seed, stream)
    }

    /// 32 random bits: the words of the blocks in order.
    pub fn next_u32(&mut self) -> u32 {
        if self.used == 4 {
            let [s0, s1] = halves(self.stream);
            let [i0, i1] = halves(self.next_block);
            self.block = philox4x32_10([i0, i1, s0, s1], self.key);
            self.next_block += 1;
            self.used = 0;
        }
        let word = self.block[self.used];
        self.used += 1;
        word
    }

    /// 64 random bits: the next word is the low half, the one after it the high half.
    pub fn next_u64(&mut self) -> u64 {
        let low = u64::from(self.next_u32());
        low | (u64::from(self.next_u32()) << 32)
    }

    /// Uniform in `[0, 1)`: the 24 high bits of one word times `2^-24`.
    pub fn uniform(&mut self) -> f32 {
        (self.next_u32() >> 8) as f32 * (1.0 / (1u32 << 24) as f32)
    }

    /// Uniform in `[0, 1)` in double precision: the 53 high bits of 64 times `2^-53`.
    pub fn uniform_f64(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f32) -> bool {
        self.uniform() < p
    }

    /// Standard normal, by Marsaglia's polar method in double precision: a point `(u, v)` uniform in the unit
    /// disc, `r2 = u^2 + v^2`, gives `u * sqrt(-2 ln(r2) / r2)`. (The second normal `v * ...` is not kept, so
    /// that a stream's position depends on nothing but its words.)
    pub fn normal(&mut self) -> f32 {
        self.normal_f64() as f32
    }

    /// [`Rng::normal`] before it is rounded to single precision.
    pub fn normal_f64(&mut self) -> f64 {
        loop {
            let u = 2.0 * self.uniform_f64() - 1.0;
            let v = 2.0 * self.uniform_f64() - 1.0;
            let r2 = u * u + v * v;
            if r2 > 0.0 && r2 < 1.0 {
                return u * (-2.0 * ln(r2) / r2).sqrt();
            }
        }
    }

    /// Uniform among the integers `0..n`, without bias: the high half of `n * 64 random bits`, drawn again
    /// when the low half falls into the `2^64 mod n` values that would favour some results (Lemire 2019).
    ///
    /// # Panics
    /// If `n` is 0: there is nothing to choose from.
    pub fn below(&mut self, n: usize) -> usize {
        assert!(n > 0, "cannot choose among zero integers");
        let n = n as u64;
        let unfair = n.wrapping_neg() % n;
        loop {
            let product = u128::from(self.next_u64()) * u128::from(n);
            if product as u64 >= unfair {
                return (product >> 64) as usize;
            }
        }
    }

    /// Every order equally likely (Fisher and Yates, from the end).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

/// Ten rounds on a block of four words. Each round multiplies two words to 64 bits, keeps the low halves
/// and xors the high halves with the other two words and the key; the key moves by a Weyl sequence.
pub fn philox4x32_10(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let [low0, high0] = halves(u64::from(counter[0]) * 0xD251_1F53);
        let [low1, high1] = halves(u64::from(counter[2]) * 0xCD9E_8D57);
        counter = [high1 ^ counter[1] ^ key[0], low1, high0 ^ counter[3] ^ key[1], low0];
        key = [key[0].wrapping_add(0x9E37_79B9), key[1].wrapping_add(0xBB67_AE85)];
    }
    counter
}

/// Low and high half.
fn halves(word: u64) -> [u32; 2] {
    [word as u32, (word >> 32) as u32]
}

/// Natural logarithm of a normal positive `x`, by operations that every machine rounds alike:
/// `x = m * 2^e` with `m` in `[sqrt(1/2), sqrt(2))`, and `ln m = 2 (t + t^3/3 + t^5/5 + ...)` with
/// `t = (m - 1) / (m + 1)`, `|t| < 0.172`, so that 11 terms leave an error below `1e-17`.
///
/// Public because samples other than the normal (Laplace, gamma) must be as reproducible.
pub fn ln(x: f64) -> f64 {
    debug_assert!(x.is_normal() && x > 0.0);
    let bits = x.to_bits();
    let mut exponent = ((bits >> 52) as i64 - 1023) as f64;
    let mut m = f64::from_bits((bits & ((1 << 52) - 1)) | (1023 << 52));
    if m > std::f64::consts::SQRT_2 {
        m *= 0.5;
        exponent += 1.0;
    }
    let t = (m - 1.0) / (m + 1.0);
    let t2 = t * t;
    let mut series = 0.0;
    for k in (0..11).rev() {
        series = series * t2 + 1.0 / f64::from(2 * k + 1);
    }
    exponent * std::f64::consts::LN_2 + 2.0 * t * series
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors published with the authors' own implementation (Random123, `kat_vectors`).
    #[test]
    fn known_answers_of_the_block_function() {
        assert_eq!(philox4x32_10([0; 4], [0; 2]), [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
        assert_eq!(
            philox4x32_10([u32::MAX; 4], [u32::MAX; 2]),
            [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]
        );
        assert_eq!(
            philox4x32_10([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0]),
            [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1]
        );
    }

    #[test]
    fn draws_are_frozen() {
        let mut rng = Rng::at(2026, Purpose::Test, 1, 2);
        let words = [rng.next_u32(), rng.next_u32()];
        let (uniform, normal, below) = (rng.uniform(), rng.normal(), rng.below(1000));
        let mut order: Vec<usize> = (0..8).collect();
        rng.shuffle(&mut order);
        let drawn =
            format!("{words:x?} {:08x} {:08x} {below} {order:?}", uniform.to_bits(), normal.to_bits());
        assert_eq!(drawn, "[6ad64054, e7d63701] 3f44e42d bfaa52f6 484 [7, 5, 6, 2, 1, 4, 3, 0]");
    }

    #[test]
    fn streams_and_seeds_differ() {
        let first = |seed, stream| Rng::new(seed, stream).next_u64();
        let draws = [first(0, 0), first(1, 0), first(1 << 32, 0), first(0, 1), first(0, 1 << 32)];
        for i in 0..draws.len() {
            assert!(!draws[..i].contains(&draws[i]));
        }
    }

    #[test]
    fn logarithm_is_accurate() {
        let mut rng = Rng::new(1, 0);
        for _ in 0..10_000 {
            let x = rng.uniform_f64() * 10f64.powi(rng.below(40) as i32 - 20) + 1e-30;
            assert!((ln(x) - x.ln()).abs() <= 4e-16 * x.ln().abs().max(1.0), "{x}");
        }
    }

    #[test]
    fn moments_and_frequencies() {
        let mut rng = Rng::new(3, 9);
        let n = 100_000;
        let normals: Vec<f64> = (0..n).map(|_| rng.normal_f64()).collect();
        let moment = |p| normals.iter().map(|x| x.powi(p)).sum::<f64>() / f64::from(n);
        // four standard errors of each moment
        assert!(moment(1).abs() < 0.013 && (moment(2) - 1.0).abs() < 0.018 && (moment(4) - 3.0).abs() < 0.13);
        let mean = (0..n).map(|_| f64::from(rng.uniform())).sum::<f64>() / f64::from(n);
        assert!((mean - 0.5).abs() < 0.004);
        let mut counts = [0i32; 7];
        (0..n).for_each(|_| counts[rng.below(7)] += 1);
        assert!(counts.iter().all(|c| (c - n / 7).abs() < 450), "{counts:?}");
    }

    #[test]
    fn shuffle_reaches_every_order() {
        let mut counts = std::collections::BTreeMap::new();
        for i in 0..6000 {
            let mut order = [0, 1, 2];
            Rng::new(5, i).shuffle(&mut order);
            *counts.entry(order).or_insert(0) += 1;
        }
        assert!(counts.len() == 6 && counts.values().all(|&c: &i32| (c - 1000).abs() < 120), "{counts:?}");
    }
}
