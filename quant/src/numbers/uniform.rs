//! Uniform quantization of one value: eq 1, 2 and 3.
//!
//! ```text
//! eq 1   x_int = clip( round(x / s) - z, qmin, qmax )        round half to even
//! eq 2   [qmin, qmax] = [-2^(b-1), 2^(b-1) - 1]  signed      [0, 2^b - 1]  unsigned
//! eq 3   x_hat = s * (x_int + z)
//! ```
//!
//! # The sign of z, stated once
//! Here `z` is **subtracted** when quantizing and added when restoring. The common convention
//! (PyTorch, ONNX, gemmlowp) adds its zero point `Z` when quantizing: `q = round(x / s) + Z`. So
//! `z = -Z`: see [`zero_point_to_common`] and [`zero_point_from_common`], the only two places where
//! one becomes the other. The code of real zero is `-z`.
//!
//! # Exactness
//! "Divide" means the quotient of the two real numbers `x` and `s`, not a rounded one. A quotient
//! taken in `f32` may fall *on* a tie that the real quotient only comes near, and then rounds the
//! wrong way. The `f64` quotient of two `f32` cannot: for a tie `m = k + 1/2` of at most 18 bits,
//! `x - m s` is either zero or at least `2^-43` of `x`, which 53 bits see. So [`quantize_value`] divides in
//! `f64`.

use engine::{Error, Result};
use serde::{Deserialize, Serialize};

use super::stored;

/// The integers a value may become: `qmin..=qmax` (eq 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "stored::Grid")]
pub struct Grid {
    /// Smallest code.
    pub qmin: i32,
    /// Largest code.
    pub qmax: i32,
}

impl Grid {
    /// What no bits can say: the one code 0, `2^0` of them. Only weights of a [layer that is dropped](crate::LayerBits) have it.
    pub const ZERO: Self = Self { qmin: 0, qmax: 0 };

    /// The grid of `bits` bits (eq 2): `[-2^(b-1), 2^(b-1) - 1]` signed, `[0, 2^b - 1]` unsigned. One
    /// bit gives `[-1, 0]` and `[0, 1]`.
    ///
    /// # Errors
    /// Unless `1 <= bits <= 16`.
    pub fn new(bits: u32, signed: bool) -> Result<Self> {
        if !(1..=16).contains(&bits) {
            return Err(Error::value("grid", format!("bits must be 1 to 16, got {bits}")));
        }
        // book: grid
        Ok(if signed {
            Self { qmin: -(1 << (bits - 1)), qmax: (1 << (bits - 1)) - 1 }
        } else {
            Self { qmin: 0, qmax: (1 << bits) - 1 }
        })
        // book end
    }

    /// [`Grid::new`] with `signed = true`.
    ///
    /// # Errors
    /// Unless `1 <= bits <= 16`.
    pub fn signed(bits: u32) -> Result<Self> {
        Self::new(bits, true)
    }

    /// The grid of weights of `bits` bits: signed, or, of no bits at all, [`Grid::ZERO`].
    ///
    /// # Errors
    /// Unless `bits <= 16`.
    pub fn of_weights(bits: u32) -> Result<Self> {
        if bits == 0 { Ok(Self::ZERO) } else { Self::signed(bits) }
    }

    /// [`Grid::new`] with `signed = false`.
    ///
    /// # Errors
    /// Unless `1 <= bits <= 16`.
    pub fn unsigned(bits: u32) -> Result<Self> {
        Self::new(bits, false)
    }

    /// Whether there are negative codes.
    pub fn is_signed(self) -> bool {
        self.qmin < 0
    }

    /// Number of codes, `2^b`.
    pub fn levels(self) -> usize {
        (self.qmax - self.qmin + 1) as usize
    }

    /// The width `b`.
    pub fn bits(self) -> u32 {
        self.levels().ilog2()
    }

    /// Number of steps between zero and the clipping value alpha, so that `s = alpha / steps`:
    /// `2^(b-1)` signed (so `+alpha` lands one above `qmax` and clips), `2^b - 1` unsigned.
    pub fn steps(self) -> i32 {
        if self.is_signed() { -self.qmin } else { self.qmax }
    }

    /// Whether `code` is on the grid.
    pub fn contains(self, code: i32) -> bool {
        (self.qmin..=self.qmax).contains(&code)
    }
}

/// What one scale is shared by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Granularity {
    /// One scale and zero point for the whole tensor.
    PerTensor,
    /// One for each index of axis 0, the output channel of a weight.
    PerChannel,
}

impl std::str::FromStr for Granularity {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.replace('-', "_").as_str() {
            "per_tensor" => Ok(Self::PerTensor),
            "per_channel" => Ok(Self::PerChannel),
            _ => {
                let known = ["per_tensor", "per_channel"];
                Err(Error::unknown_choice("granularity", "granularity", text, &known))
            }
        }
    }
}

impl std::fmt::Display for Granularity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::PerTensor => "per_tensor",
            Self::PerChannel => "per_channel",
        })
    }
}

/// Everything that turns a tensor into codes and back: grid, scales, zero points, granularity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "stored::QParams")]
pub struct QParams {
    grid: Grid,
    scale: Vec<f32>,
    zero_point: Vec<i32>,
    granularity: Granularity,
}

/// Zero points are kept this small so that `x_int + z` is exact in `f32`.
const LARGEST_ZERO_POINT: u32 = 1 << 21;

impl QParams {
    /// One scale and zero point (project's sign) for the whole tensor.
    ///
    /// # Errors
    /// If the scale is not a positive finite number, or `|z| > 2^21`.
    pub fn per_tensor(grid: Grid, scale: f32, zero_point: i32) -> Result<Self> {
        check(scale, zero_point)?;
        let (scale, zero_point) = (vec![scale], vec![zero_point]);
        Ok(Self { grid, scale, zero_point, granularity: Granularity::PerTensor })
    }

    /// One scale and zero point for each index of axis 0.
    ///
    /// # Errors
    /// If the two lists differ in length or are empty, or as in [`QParams::per_tensor`].
    pub fn per_channel(grid: Grid, scale: Vec<f32>, zero_point: Vec<i32>) -> Result<Self> {
        if scale.is_empty() || scale.len() != zero_point.len() {
            let detail = format!("{} scales but {} zero points", scale.len(), zero_point.len());
            return Err(Error::value("per_channel", detail));
        }
        for (&s, &z) in scale.iter().zip(&zero_point) {
            check(s, z)?;
        }
        Ok(Self { grid, scale, zero_point, granularity: Granularity::PerChannel })
    }

    /// The grid.
    pub fn grid(&self) -> Grid {
        self.grid
    }

    /// The scales: one, or one per channel.
    pub fn scales(&self) -> &[f32] {
        &self.scale
    }

    /// The zero points: one, or one per channel.
    pub fn zero_points(&self) -> &[i32] {
        &self.zero_point
    }

    /// What one scale is shared by.
    pub fn granularity(&self) -> Granularity {
        self.granularity
    }

    /// Scale and zero point of channel `c` (any `c` when per tensor).
    pub fn channel(&self, c: usize) -> (f32, i32) {
        match self.granularity {
            Granularity::PerTensor => (self.scale[0], self.zero_point[0]),
            Granularity::PerChannel => (self.scale[c], self.zero_point[c]),
        }
    }

    /// The real interval that is represented without clipping, `[s (qmin + z), s (qmax + z)]`, of
    /// channel `c`.
    pub fn clip_range(&self, c: usize) -> (f32, f32) {
        let (s, z) = self.channel(c);
        (restore_value(self.grid.qmin, s, z), restore_value(self.grid.qmax, s, z))
    }
}

fn check(scale: f32, zero_point: i32) -> Result<()> {
    if !(scale.is_finite() && scale > 0.0) {
        return Err(Error::value("scale", format!("must be positive and finite, got {scale}")));
    }
    check_zero_point(zero_point)
}

/// Refuses a zero point with which `x_int + z` would not be exact.
pub(crate) fn check_zero_point(zero_point: i32) -> Result<()> {
    if zero_point.unsigned_abs() > LARGEST_ZERO_POINT {
        let detail = format!("must lie within +-{LARGEST_ZERO_POINT}, got {zero_point}");
        return Err(Error::value("zero_point", detail));
    }
    Ok(())
}

/// The project's `z` from the common zero point: its negative.
// book: zero_point
pub fn zero_point_from_common(common: i32) -> i32 {
    -common
}
// book end

/// The common zero point (PyTorch, ONNX, gemmlowp) from the project's `z`: its negative.
pub fn zero_point_to_common(z: i32) -> i32 {
    -z
}

/// Eq 1 for one value: divide, round half to even, subtract `z`, clip. `+-inf` clips.
///
/// ```
/// use quant::{Grid, numbers::uniform::quantize_value};
/// let grid = Grid::signed(4)?; // -8..=7
/// assert_eq!(quantize_value(1.25, 0.5, 0, grid)?, 2); // 2.5 is a tie: to even
/// assert_eq!(quantize_value(1.75, 0.5, 0, grid)?, 4); // 3.5 is a tie: to even
/// assert_eq!(quantize_value(9.00, 0.5, 0, grid)?, 7); // clips
/// assert!(quantize_value(f32::NAN, 0.5, 0, grid).is_err());
/// # Ok::<(), engine::Error>(())
/// ```
///
/// # Errors
/// If `x` is NaN.
// book: quantize_value
pub fn quantize_value(x: f32, s: f32, z: i32, grid: Grid) -> Result<i32> {
    if x.is_nan() {
        return Err(Error::value("quantize", "NaN has no code"));
    }
    let rounded = (f64::from(x) / f64::from(s)).round_ties_even();
    Ok((rounded - f64::from(z)).clamp(f64::from(grid.qmin), f64::from(grid.qmax)) as i32)
}
// book end

/// Eq 3 for one code: `s (x_int + z)`, rounded once, to `f32`; the largest float where that would be beyond it, so that
/// finite values have finite errors under every scale.
///
/// ```
/// # use quant::numbers::uniform::restore_value;
/// assert_eq!(restore_value(5, 0.5, -1), 2.0);
/// assert_eq!(restore_value(-3, 2e38, 0), f32::MIN);
/// ```
#[inline]
// book: restore_value
pub fn restore_value(x_int: i32, s: f32, z: i32) -> f32 {
    restore_rounded((x_int + z) as f32, s)
}
// book end

/// [`restore_value`] of `x_int + z` as a float.
#[inline(always)]
pub fn restore_rounded(r: f32, s: f32) -> f32 {
    (r * s).clamp(f32::MIN, f32::MAX)
}
