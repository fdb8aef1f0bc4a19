//! From an accumulator to the next layer's code, in integers: everything between two convolutions in one step.
//!
//! What stands between the sum of a convolution and the code of its result is affine, channel by channel: the scales
//! of input and weight, batch norm, the residual sum, the scale and zero point of the output. In real numbers
//!
//! ```text
//! y / s_y - z_y   =   M[c] acc + R r + B[c]          acc: the sum, r: the residual's code
//! ```
//!
//! and in integers
//!
//! ```text
//! eq 7   v     = (acc << k) m[c] + (r << k_r) m_r + b[c]         64 bits, exact
//!        y_int = clip( floor(v / 2^(32 + t)), lo, hi )
//!
//!        m[c]  = round( M[c] 2^(32 + t - k) )    |m| < 2^31      b[c] = round( (B[c] + 1/2) 2^(32 + t) )
//! ```
//!
//! The half in `b` makes the floor a rounding: to the nearest code, **half up**. A ReLU is `lo`, the code of real zero.
//! Nothing else is rounded. The bias is kept at the resolution of `v`, `2^-(32+t)` of a code, rather than as an
//! int32 at scale `s_x s_w`: a step of that scale is `|M|` codes, which is not little at 2 bits, and rounding batch
//! norm's shift to it would move results by up to half of that.
//!
//! `M` counts as 0 where `acc` can be nothing but 0: a channel whose weights all round to zero. `k` is 0 unless some
//! `|M| >= 1/2`, `t` as large as `|m| < 2^31` and sums within 64 bits allow: mostly the largest channel keeps all 31 bits. One
//! `k` and one `t` per layer; a channel whose `M` is `2^j` times smaller keeps `31 - j` bits. So a layer with one offset of
//! millions of codes, which saturates whatever its sums are, has coarser multipliers in its other channels. Where
//! `acc << k` has 32 bits, `m` and `m_r`, each at most 1/2 off, move the result by at most 1/4 of a code each nevertheless
//! (`2^31 / 2 / 2^32`); where sums have more, it can be more.
//!
//! The division is by `2^32` first and then by `2^t`, so that what lies between the two is a 32-bit number. Related:
//! Jacob et al., "Quantization and training of neural networks for efficient integer-arithmetic-only inference"
//! (CVPR 2018), its formula 6, with one multiplier per layer and the bias in int32.

use engine::{Error, Result};

/// The affine map to a layer's codes in real numbers: `M acc + R r + B`, for every channel.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RealMap {
    /// `M[c]`: codes per unit of the accumulator.
    pub per_acc: Vec<f64>,
    /// `R`: codes per unit of the residual's code; `None` if there is no residual.
    pub per_residual: Option<f64>,
    /// `B[c]`: the code at `acc = r = 0`, not rounded.
    pub offset: Vec<f64>,
}

/// What can come in: the largest `|acc|` of each channel, and the largest code of the residual.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bounds {
    /// Of each channel, proven (see [`crate::integer::bound`]).
    pub acc: Vec<i64>,
    /// What `sum x_int w_int` cannot exceed, without the zero point: that is the number which the engine shifts by `k`, the zero
    /// point's share being part of its bias. Behind a zero point of -128 it is twice as large as `acc`.
    pub codes: Vec<i64>,
    /// `2^b - 1` of the residual's width.
    pub residual: i64,
}

impl Bounds {
    /// Those of sums without a zero point.
    pub fn new(acc: Vec<i64>, residual: i64) -> Self {
        Self { codes: acc.clone(), acc, residual }
    }
}

/// Eq 7 with its numbers: one output of one layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requantize {
    /// `k`: left shift of the accumulator.
    pub left: u32,
    /// `t`: right shift after the upper half is taken.
    pub shift: u32,
    /// `m`: one per channel.
    pub multiplier: Vec<i32>,
    /// `b`: one per channel, the half included.
    pub bias: Vec<i64>,
    /// `k_r` and `m_r`, if there is a residual.
    pub residual: Option<(u32, i32)>,
    /// Smallest code: 0, or that of real zero behind a ReLU.
    pub lo: i32,
    /// Largest code.
    pub hi: i32,
}

/// `t` is below this: the upper half of `v` has 32 bits.
const MAX_SHIFT: u32 = 31;

impl Requantize {
    /// The integers of eq 7 for a real map.
    ///
    /// # Errors
    /// If no choice of `k` and `t` keeps all of eq 7 within 64 bits (and `acc << k` within 32), or a number of the map
    /// is not finite.
    pub fn new(map: &RealMap, bounds: &Bounds, lo: i32, hi: i32) -> Result<Self> {
        let finite = map.per_acc.iter().chain(&map.offset).chain(&map.per_residual).all(|v| v.is_finite());
        if !finite || map.per_acc.len() != map.offset.len() || bounds.acc.len() != map.offset.len() {
            return Err(Error::value("requantize", "scales and offsets must be finite, one per channel"));
        }
        // A sum that is always zero, as of a channel whose weights all round to zero, needs no multiplier.
        let alive = map.per_acc.iter().zip(&bounds.acc).map(|(m, acc)| if *acc == 0 { 0.0 } else { *m });
        let map = &RealMap { per_acc: alive.collect(), ..map.clone() };
        let largest = map.per_acc.iter().fold(0.0f64, |a, m| a.max(m.abs()));
        let left = (0..31).find(|&k| fits(largest, 32 - k as i32)).unwrap_or(31);
        let most = (0..=MAX_SHIFT).rev().find(|&t| fits(largest, (32 + t - left) as i32)).unwrap_or(0);
        (0..=most)
            .rev()
            .find_map(|shift| Self::with(map, left, shift, lo, hi).filter(|r| r.is_safe(bounds)))
            .ok_or_else(|| {
                let detail =
                    format!(
                    "its channels are too uneven: no 64-bit fixed point holds a multiplier of {largest:e} beside sums \
                     up to {}; make the channels' weights and the batch norm behind them of similar size, or take more \
                     bits",
                    bounds.acc.iter().max().unwrap_or(&0)
                );
                Error::value("requantize", detail)
            })
    }

    /// With these shifts, if the multipliers fit 32 bits.
    fn with(map: &RealMap, left: u32, shift: u32, lo: i32, hi: i32) -> Option<Self> {
        let multiplier = map.per_acc.iter().map(|m| fixed(*m, (32 + shift - left) as i32));
        let residual = match map.per_residual {
            Some(r) => {
                let left = (0..31).find(|&k| fits(r, (32 + shift) as i32 - k as i32))?;
                Some((left, fixed(r, (32 + shift - left) as i32)?))
            }
            None => None,
        };
        let bias = map.offset.iter().map(|b| {
            let exact = (b + 0.5) * 2f64.powi((32 + shift) as i32);
            // Room for the products: is_safe adds them up.
            (exact.abs() < 2f64.powi(62)).then_some(exact.round_ties_even() as i64)
        });
        Some(Self {
            left,
            shift,
            multiplier: multiplier.collect::<Option<_>>()?,
            bias: bias.collect::<Option<_>>()?,
            residual,
            lo,
            hi,
        })
    }

    /// Whether nothing can overflow: `|v| < 2^63` and `acc << k`, `r << k_r` within 32 bits, for everything within
    /// `bounds`, with the zero point and without it. (An accumulator of more than 32 bits is made of two.)
    pub fn is_safe(&self, bounds: &Bounds) -> bool {
        let (k_r, m_r) = self.residual.unwrap_or((0, 0));
        if self.left > 31 || k_r > 31 || self.shift > MAX_SHIFT {
            return false;
        }
        let r = i128::from(bounds.residual) << k_r;
        let channels = self.multiplier.iter().zip(&self.bias).zip(bounds.acc.iter().zip(&bounds.codes));
        let safe = |((&m, &b), (&acc, &codes)): ((&i32, &i64), (&i64, &i64))| {
            let [acc, codes] = [acc, codes].map(|sum| i128::from(sum) << self.left);
            let v = acc * i128::from(m).abs() + r * i128::from(m_r).abs() + i128::from(b).abs();
            v < 1 << 63 && (acc.max(codes) < 1 << 31 || self.left == 0)
        };
        r < 1 << 31 && channels.into_iter().all(safe)
    }

    /// Eq 7 as it reads, in 128 bits.
    // book: apply_ref
    pub fn apply_ref(&self, channel: usize, acc: i64, r: i64) -> i32 {
        let (k_r, m_r) = self.residual.unwrap_or((0, 0));
        let v = (i128::from(acc) << self.left) * i128::from(self.multiplier[channel])
            + (i128::from(r) << k_r) * i128::from(m_r)
            + i128::from(self.bias[channel]);
        (v >> (32 + self.shift)).clamp(i128::from(self.lo), i128::from(self.hi)) as i32
    }
    // book end
}

/// `round(x 2^e)`, if its absolute value is below `2^31`.
fn fixed(x: f64, e: i32) -> Option<i32> {
    let exact = (x * 2f64.powi(e)).round_ties_even();
    (exact.abs() < 2f64.powi(31)).then_some(exact as i32)
}

fn fits(x: f64, e: i32) -> bool {
    fixed(x, e).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(m: f64, r: Option<f64>, b: f64) -> RealMap {
        RealMap { per_acc: vec![m], per_residual: r, offset: vec![b] }
    }

    fn bounds(acc: i64) -> Bounds {
        Bounds::new(vec![acc], 255)
    }

    #[test]
    fn the_nearest_code_of_the_real_map_half_up() {
        for m in [0.4999, 0.25, 1e-3, -3e-5, 7.3, 250.0, 0.0] {
            let q = Requantize::new(&map(m, Some(0.7), -1.25), &bounds(4000), -40_000, 60_000).unwrap();
            for acc in -4000..4000 {
                let r = i64::rem_euclid(acc, 256);
                let real = m * acc as f64 + 0.7 * r as f64 - 1.25;
                let code = f64::from(q.apply_ref(0, acc, r));
                let clipped = real.clamp(-40_000.0, 60_000.0);
                assert!((code - clipped).abs() <= 0.5 + 1e-4, "{m} {acc}: {real} became {code}");
            }
        }
        let half = Requantize::new(&map(0.25, None, 0.0), &bounds(100), -10, 10).unwrap();
        assert_eq!([-6, -2, 2, 6].map(|acc| half.apply_ref(0, acc, 0)), [-1, 0, 1, 2], "ties go up");
    }

    #[test]
    fn a_large_multiplier_shifts_left_and_a_small_one_right() {
        let of = |m| Requantize::new(&map(m, None, 0.0), &bounds(1000), 0, 255).unwrap();
        assert_eq!((of(0.3).left, of(0.3).shift), (0, 0));
        assert_eq!((of(2.0).left, of(2.0).shift), (3, 0));
        assert_eq!((of(2f64.powi(-9)).left, of(2f64.powi(-9)).shift), (0, 7));
        assert_eq!(of(2f64.powi(-9)).multiplier[0], 1 << 30);
    }

    #[test]
    fn a_residual_has_a_left_shift_of_its_own() {
        let q = Requantize::new(&map(2f64.powi(-9), Some(1.0), 0.0), &bounds(1000), 0, 255).unwrap();
        assert_eq!((q.left, q.shift), (0, 7), "the residual takes no bits from the accumulator's multiplier");
        assert_eq!(q.residual, Some((9, 1 << 30)));
        assert_eq!(q.apply_ref(0, 512, 3), 4);
    }

    #[test]
    fn a_channel_whose_sum_is_always_zero_does_not_spoil_the_others() {
        let map = RealMap { per_acc: vec![1e9, 0.25], per_residual: None, offset: vec![3.0, 0.0] };
        let bounds = Bounds::new(vec![0, 1 << 20], 0);
        let q = Requantize::new(&map, &bounds, 0, 255).unwrap();
        assert_eq!((q.left, q.multiplier[0], q.apply_ref(0, 0, 0)), (0, 0, 3));
        assert_eq!(q.apply_ref(1, 400, 0), 100);
        let alive = Bounds::new(vec![1 << 20; 2], 0);
        let message = Requantize::new(&map, &alive, 0, 255).unwrap_err().to_string();
        assert!(message.contains("channels are too uneven"), "{message}");
    }

    #[test]
    fn safe_up_to_the_last_sum_below_2_63() {
        let q = |m: i32, m_r: i32, b: i64| Requantize {
            left: 0,
            shift: 0,
            multiplier: vec![m],
            bias: vec![b],
            residual: Some((0, m_r)),
            lo: 0,
            hi: 255,
        };
        let bounds = Bounds::new(vec![1 << 32], 1 << 30);
        let rest = (1 << 62) - (1 << 60);
        for sign in [1, -1] {
            assert!(
                !q(sign << 30, sign << 30, i64::from(sign) * rest).is_safe(&bounds),
                "2^62 + 2^60 + rest = 2^63"
            );
            assert!(q(sign << 30, sign << 30, i64::from(sign) * (rest - 1)).is_safe(&bounds));
        }
        // Shifted, sums and residuals have 32 bits; the shifts themselves have ends.
        let shifted = |left, shift, acc, k_r, residual| {
            Requantize { left, shift, residual: Some((k_r, 1)), ..q(1, 1, 0) }
                .is_safe(&Bounds::new(vec![acc], residual))
        };
        assert!(
            shifted(0, 0, 1 << 31, 0, 0)
                && shifted(1, 0, (1 << 30) - 1, 0, 0)
                && !shifted(1, 0, 1 << 30, 0, 0)
        );
        assert!(
            shifted(0, 0, 1, 1, (1 << 30) - 1)
                && !shifted(0, 0, 1, 1, 1 << 30)
                && !shifted(0, 0, 1, 0, 1 << 31)
        );
        assert!(shifted(31, 31, 0, 0, 0) && !shifted(32, 31, 0, 0, 0) && !shifted(31, 32, 0, 0, 0));
        // A shift by 128 would be none in 128 bits, and lose everything in 32.
        assert!(shifted(0, 0, 0, 31, 0));
        [32, 64, 128, 135, 256, u32::MAX].iter().for_each(|&k_r| assert!(!shifted(0, 0, 0, k_r, 0), "{k_r}"));
    }

    #[test]
    fn what_cannot_be_exact_is_refused() {
        let new = |m, b, acc| Requantize::new(&map(m, None, b), &bounds(acc), 0, 255).map(|_| ());
        assert!(new(4.0, 0.0, i64::from(i32::MAX)).is_err(), "acc << k needs more than 32 bits");
        assert!(new(1e12, 0.0, 10).is_err());
        assert!(new(0.1, 1e12, 10).is_err());
        let half = 2f64.powi(30);
        assert!(
            new(0.3, half - 0.5, 10).is_err() && new(0.3, half - 1.0, 10).is_ok(),
            "a bias of 2^62, and just below"
        );
        assert!(new(f64::NAN, 0.0, 10).is_err());
    }
}
