//! What a tensor becomes: the levels of a grid and the share of values on each.

use anyhow::Result;
use engine::Tensor;
use quant::numbers::uniform::restore_value;
use quant::{QParams, linear_quantize};

use crate::show::plot::QuantizedLevels;

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
