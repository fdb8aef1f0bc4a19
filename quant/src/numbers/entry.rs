//! The public entry points on whole tensors: [`get_scale`], [`reset_scale_and_zero_point`],
//! [`linear_quantize`], [`linear_dequantize`].

use engine::{Error, Result, Shape, Tensor};
use rayon::prelude::*;

use crate::numbers::round_slice::{integer_of, round_slice};
use crate::numbers::uniform::{Granularity, Grid, QParams, restore_value};
use crate::scale::ScaleRule;
use crate::{Code, IntTensor};

/// How the zero point is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Symmetry {
    /// `z = 0`: the scale rule alone decides.
    Symmetric,
    /// Affine: `s = (max - min) / (2^b - 1)` and `z = round(min / s) - qmin`, with 0 counted among the
    /// values so that real zero has a code of its own. The scale rule is not asked.
    Asymmetric,
}

/// The scale of `x` on the grid of `bits` bits by `rule`. Always positive and finite: an all-zero
/// tensor gets 1 (see [`ScaleRule::scale`]).
///
/// ```
/// use engine::Tensor;
/// use quant::{get_scale, ScaleRule};
/// let x = Tensor::from_vec([3], vec![-2.0, 0.5, 1.0])?;
/// assert_eq!(get_scale(&x, 4, ScaleRule::SYMMETRIC, true)?, 2.0 / 8.0);
/// # Ok::<(), engine::Error>(())
/// ```
///
/// # Errors
/// If `bits` is not 1 to 16, or a value is NaN.
pub fn get_scale(x: &Tensor, bits: u32, rule: ScaleRule, signed: bool) -> Result<f32> {
    rule.scale(x.data(), Grid::new(bits, signed)?)
}

/// One scale for each index of axis 0 (the output channel of a weight).
///
/// # Errors
/// As [`get_scale`]; or if `x` has no axis 0 or no elements.
pub fn get_scales(x: &Tensor, bits: u32, rule: ScaleRule, signed: bool) -> Result<Vec<f32>> {
    let grid = Grid::new(bits, signed)?;
    x.data().chunks(channel_len(x.shape())?).map(|channel| rule.scale(channel, grid)).collect()
}

/// Scale and zero point of `x`, for the whole tensor.
///
/// # Errors
/// As [`get_scale`].
pub fn reset_scale_and_zero_point(
    x: &Tensor,
    bits: u32,
    rule: ScaleRule,
    mode: Symmetry,
    signed: bool,
) -> Result<QParams> {
    let grid = Grid::new(bits, signed)?;
    let (s, z) = scale_and_zero_point(x.data(), grid, rule, mode)?;
    QParams::per_tensor(grid, s, z)
}

/// Scale and zero point for each index of axis 0.
///
/// # Errors
/// As [`get_scales`].
pub fn reset_scales_and_zero_points(
    x: &Tensor,
    bits: u32,
    rule: ScaleRule,
    mode: Symmetry,
    signed: bool,
) -> Result<QParams> {
    let grid = Grid::new(bits, signed)?;
    let channels = x.data().chunks(channel_len(x.shape())?);
    let pairs: Vec<_> = channels.map(|c| scale_and_zero_point(c, grid, rule, mode)).collect::<Result<_>>()?;
    let (s, z) = pairs.into_iter().unzip();
    QParams::per_channel(grid, s, z)
}

fn scale_and_zero_point(x: &[f32], grid: Grid, rule: ScaleRule, mode: Symmetry) -> Result<(f32, i32)> {
    match mode {
        Symmetry::Symmetric => Ok((rule.scale(x, grid)?, 0)),
        Symmetry::Asymmetric => {
            ScaleRule::SYMMETRIC.scale(x, grid)?; // refuses NaN
            let finite = x.iter().copied().filter(|v| v.is_finite());
            let (min, max) = finite.fold((0.0f32, 0.0f32), |(lo, hi), v| (lo.min(v), hi.max(v)));
            Ok(affine(min, max, grid))
        }
    }
}

/// Scale and zero point that map `[min, max]`, extended to contain 0, onto the whole grid:
/// `s = (max - min) / (2^b - 1)`, within what a normal `f32` holds, `z = round(min / s) - qmin`. `(1, -qmin)` if the interval
/// is `[0, 0]`.
pub fn affine(min: f32, max: f32, grid: Grid) -> (f32, i32) {
    let (min, max) = (f64::from(min.min(0.0)), f64::from(max.max(0.0)));
    if max <= min {
        return (1.0, -grid.qmin);
    }
    let s = ((max - min) / f64::from(grid.qmax - grid.qmin)) as f32;
    let s = s.clamp(f32::MIN_POSITIVE, f32::MAX);
    (s, (min / f64::from(s)).round_ties_even() as i32 - grid.qmin)
}

/// Elements per task; fixed, so that the work is cut the same way for any number of threads.
pub(crate) const CHUNK: usize = 1 << 14;

/// Eq 1 on a tensor: the code of each value, as `T` (`u8`, `i8`, `u16`, `i16` or `i32`).
///
/// ```
/// use engine::Tensor;
/// use quant::{linear_quantize, linear_dequantize, Grid, QParams};
/// let q = QParams::per_tensor(Grid::unsigned(8)?, 0.5, 0)?;
/// let x = Tensor::from_vec([3], vec![-1.0, 1.6, 500.0])?;
/// let x_int = linear_quantize::<u8>(&x, &q)?;
/// assert_eq!(x_int.data(), [0, 3, 255]);
/// assert_eq!(linear_dequantize(&x_int, &q)?.data(), [0.0, 1.5, 127.5]);
/// # Ok::<(), engine::Error>(())
/// ```
///
/// # Errors
/// If a value is NaN, the grid does not fit `T`, or the channels are not those of `q`.
pub fn linear_quantize<T: Code>(x: &Tensor, q: &QParams) -> Result<IntTensor<T>> {
    let grid = q.grid();
    if grid.qmin < T::RANGE.0 || grid.qmax > T::RANGE.1 {
        let detail = format!("codes {}..={} do not fit {}", grid.qmin, grid.qmax, std::any::type_name::<T>());
        return Err(Error::value("linear_quantize", detail));
    }
    let mut codes = vec![T::default(); x.len()];
    for_each_channel("linear_quantize", x.shape(), q, |channel, span| {
        let (s, z) = q.channel(channel);
        let (x, codes) = (&x.data()[span.clone()], &mut codes[span]);
        x.par_chunks(CHUNK)
            .zip(codes.par_chunks_mut(CHUNK))
            .try_for_each(|(x, codes)| round_slice(x, codes, s, z, grid, |r| T::from_i32(integer_of(r) - z)))
    })
    .map_err(|e| name_nan("linear_quantize", x, e))?;
    IntTensor::from_vec(x.shape(), codes)
}

/// Eq 3 on a tensor: `x_hat = s (x_int + z)`.
///
/// # Errors
/// If the channels are not those of `q`, or a code is not on its grid.
pub fn linear_dequantize<T: Code>(x_int: &IntTensor<T>, q: &QParams) -> Result<Tensor> {
    let grid = q.grid();
    if let Some((i, code)) = x_int.data().iter().enumerate().find(|(_, code)| !grid.contains(code.to_i32())) {
        let detail = format!("code {} of element {i} is not in {}..={}", code.to_i32(), grid.qmin, grid.qmax);
        return Err(Error::value("linear_dequantize", detail));
    }
    let mut x_hat = Tensor::scratch(x_int.shape());
    for_each_channel("linear_dequantize", x_int.shape(), q, |channel, span| {
        let (s, z) = q.channel(channel);
        let (codes, x_hat) = (&x_int.data()[span.clone()], &mut x_hat.data_mut()[span]);
        codes.par_chunks(CHUNK).zip(x_hat.par_chunks_mut(CHUNK)).for_each(|(codes, x_hat)| {
            for (x_hat, &code) in x_hat.iter_mut().zip(codes) {
                *x_hat = restore_value(code.to_i32(), s, z);
            }
        });
        Ok(())
    })?;
    Ok(x_hat)
}

/// Runs `f(channel, elements)` for the whole tensor, or for each index of axis 0.
pub(crate) fn for_each_channel(
    op: &'static str,
    shape: Shape,
    q: &QParams,
    mut f: impl FnMut(usize, std::ops::Range<usize>) -> Result<()>,
) -> Result<()> {
    if q.granularity() == Granularity::PerTensor {
        return f(0, 0..shape.len());
    }
    let channels = shape.dims().first().copied().unwrap_or(0);
    if channels != q.scales().len() {
        let detail = format!("{} scales for axis 0 of {shape}", q.scales().len());
        return Err(Error::shape(op, detail));
    }
    let len = shape.len() / channels;
    (0..channels).try_for_each(|c| f(c, c * len..(c + 1) * len))
}

/// Replaces an error met in parallel by one that names the first NaN, the same for any thread count.
pub(crate) fn name_nan(op: &'static str, x: &Tensor, error: Error) -> Error {
    match x.data().iter().position(|v| v.is_nan()) {
        Some(i) => Error::value(op, format!("element {i} of {} is NaN", x.shape())),
        None => error,
    }
}

fn channel_len(shape: Shape) -> Result<usize> {
    match shape.dims().first() {
        Some(&channels) if !shape.is_empty() => Ok(shape.len() / channels),
        _ => Err(Error::shape("per_channel", format!("needs an axis 0 with elements, got {shape}"))),
    }
}
