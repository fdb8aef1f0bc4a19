//! What a tensor becomes: the levels of a grid and the share of values on each, and the picture of it.

use anyhow::Result;
use engine::Tensor;
use quant::numbers::uniform::restore_value;
use quant::{Granularity, QParams, linear_quantize};

use crate::show::histogram::Histogram;
use crate::show::plot::{QuantizedLevels, histogram};
use crate::show::svg::{Plot, Size};

/// Grids with more levels than this are too fine to draw.
const MOST: usize = 256;

/// The levels of a tensor quantized with one scale; `None` if there are too many to draw.
///
/// # Errors
/// If a value is NaN.
pub fn quantized(x: &Tensor, q: &QParams) -> Result<Option<QuantizedLevels>> {
    let grid = q.grid();
    if grid.levels() > MOST {
        return Ok(None);
    }
    let (s, z) = q.channel(0);
    let mut counts = vec![0u64; grid.levels()];
    for &code in linear_quantize::<i32>(x, q)?.data() {
        counts[(code - grid.qmin) as usize] += 1;
    }
    let total = x.len().max(1) as f64;
    let levels = (grid.qmin..=grid.qmax)
        .zip(&counts)
        .map(|(code, &count)| (f64::from(restore_value(code, s, z)), count as f64 / total))
        .collect();
    Ok(Some(QuantizedLevels { step: f64::from(s), levels }))
}

/// Values under the name of what they belong to, with their quantizer.
pub type Named<'a> = (&'a str, &'a Tensor, QParams);

/// Values in floats, and in each of the quantized networks the share of values on each level of the grid, with the
/// clipping range. A small picture has a small legend.
///
/// # Errors
/// If a value is NaN.
pub fn before_and_after(
    title: &str,
    (name, float): (&str, &Tensor),
    after: &[Named<'_>],
    size: Size,
) -> Result<Plot> {
    let before = Histogram::over(float.data(), if size == Size::SMALL { 60 } else { 100 });
    let (mut outlines, mut rules) = (Vec::new(), Vec::new());
    // One picture has room for grids of one scale.
    for (name, values, q) in after.iter().filter(|(_, _, q)| q.granularity() == Granularity::PerTensor) {
        outlines.extend(quantized(values, q)?.map(|levels| ((*name).to_string(), levels)));
        let (lo, hi) = q.clip_range(0);
        let clips = [lo, hi].into_iter().filter(|clip| *clip != 0.0);
        rules.extend(clips.map(|clip| ((*name).to_string(), f64::from(clip))));
    }
    Ok(histogram(title, (name, &before), &outlines, &rules, size))
}
