//! What a tensor becomes: the levels of a grid and the share of values on each, and the picture of it.

use anyhow::Result;
use engine::Tensor;
use quant::numbers::uniform::restore_value;
use quant::{Granularity, QParams, linear_quantize};

use crate::show::histogram::Histogram;
use crate::show::plot::{After, QuantizedLevels, histogram};
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

/// A network by its name, and what it has of a tensor: its own values and their quantizer. `None`: there is nothing to draw,
/// and the name says why.
pub type Named<'a> = (String, Option<(&'a Tensor, QParams)>);

/// Stands behind the name of a network with a scale for each channel.
const PER_CHANNEL: &str = " (per channel)";

/// Values in floats, and in each of the quantized networks the share of values on each level of the grid, with the
/// clipping range. A small picture has a small legend.
///
/// # Errors
/// If a value is NaN.
pub fn before_and_after(
    title: &str,
    (name, float): (&str, &Tensor),
    after: Vec<Named<'_>>,
    size: Size,
) -> Result<Plot> {
    let before = Histogram::over(float.data(), if size == Size::SMALL { 60 } else { 100 });
    let drawn = |(name, found): Named<'_>| match found {
        None => Ok(After { name, ..After::default() }),
        Some((values, q)) => drawn(name, values, &q),
    };
    let after = after.into_iter().map(drawn).collect::<Result<Vec<_>>>()?;
    Ok(histogram(title, (name, &before), &after, size))
}

/// How to read those of the pictures that have a network with a scale for each channel; `None` if there is no such one.
pub fn note(plots: &[Plot]) -> Option<&'static str> {
    let mut names = plots.iter().flat_map(|plot| &plot.legend).map(|(name, _)| name);
    names.any(|name| name.ends_with(PER_CHANNEL)).then_some(
        "Per channel: each output channel has a scale and a grid of its own, so that there are no levels in common to draw; \
         dashed are the narrowest and the widest of the channels' clipping ranges.",
    )
}

/// One grid is drawn with its levels; of the grids of channels there is room for the ranges only.
fn drawn(name: String, values: &Tensor, q: &QParams) -> Result<After> {
    let (name, levels) = match q.granularity() {
        Granularity::PerTensor => (name, quantized(values, q)?),
        Granularity::PerChannel => (name + PER_CHANNEL, None),
    };
    Ok(After { name, levels, clips: clips(q) })
}

/// Both ends of the clipping range, of several the narrowest and the widest; an end at zero clips nothing that is there.
fn clips(q: &QParams) -> Vec<f64> {
    let ranges = || (0..q.scales().len()).map(|c| q.clip_range(c));
    let extremes = |ends: &mut dyn Iterator<Item = f32>| {
        ends.fold([f32::INFINITY, f32::NEG_INFINITY], |[least, most], v| [least.min(v), most.max(v)])
    };
    let lower = extremes(&mut ranges().map(|(lo, _)| lo));
    let upper = extremes(&mut ranges().map(|(_, hi)| hi));
    let mut clips: Vec<f64> = [lower, upper].concat().into_iter().map(f64::from).collect();
    clips.dedup();
    clips.retain(|clip| *clip != 0.0);
    clips
}

#[cfg(test)]
mod tests {
    use quant::Grid;

    use super::*;

    /// Values in two channels.
    fn values() -> Tensor {
        Tensor::from_vec([2, 3], vec![-1.0, 0.25, 0.5, -4.0, 1.0, 3.0]).unwrap()
    }

    #[test]
    fn one_grid_is_drawn_with_its_levels_and_the_grids_of_channels_with_their_ranges() {
        let grid = Grid::signed(2).unwrap(); // -2..=1
        let one = QParams::per_tensor(grid, 1.0, 0).unwrap();
        assert_eq!(clips(&one), [-2.0, 1.0]);
        let each = QParams::per_channel(grid, vec![0.5, 2.0], vec![0, 0]).unwrap();
        assert_eq!(clips(&each), [-4.0, -1.0, 0.5, 2.0]);
        assert_eq!(clips(&QParams::per_tensor(Grid::unsigned(2).unwrap(), 1.0, 0).unwrap()), [3.0]);

        let x = values();
        let picture =
            |networks: Vec<Named<'_>>| before_and_after("w", ("float", &x), networks, Size::USUAL).unwrap();
        let named = |name: &str, q: &QParams| (name.to_string(), Some((&x, q.clone())));
        let both = picture(vec![named("a", &each), ("b (in floats)".into(), None), named("c", &one)]);
        let legend: Vec<&str> = both.legend.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(legend, ["float", "a (per channel)", "b (in floats)", "c"]);
        let count = |what: &str| both.body.matches(what).count();
        assert_eq!((count("'s1 rule'"), count("'s2 rule'"), count("'s3 rule'")), (4, 0, 2));
        assert_eq!((count("'s1 line'"), count("'s3 line'")), (0, 1));
        assert!(note(&[picture(vec![named("c", &one)]), both]).unwrap().contains("narrowest"));
        assert!(note(&[picture(vec![named("c", &one)])]).is_none());
    }
}
