//! Chapter 1: one number becomes a code (eq 1) and comes back (eq 3), on grids of fewer and fewer bits (eq 2).
//!
//! `cargo run -p quant --example 1_one_number`

use quant::numbers::uniform::{quantize_value, restore_value};
use quant::{Grid, Result};

fn main() -> Result<()> {
    let (x, range) = (0.7373, 1.0);
    for bits in [8, 4, 2] {
        let grid = Grid::signed(bits)?;
        let s = range / grid.steps() as f32;
        let x_int = quantize_value(x, s, 0, grid)?;
        let x_hat = restore_value(x_int, s, 0);
        println!(
            "{bits} bits, codes {}..={}: s = {s}, x_int = {x_int}, x_hat = {x_hat}",
            grid.qmin, grid.qmax
        );
        // Rounding moves a number by at most half a step; beyond the last code it clips.
        assert!((x - x_hat).abs() <= s / 2.0 || x_int == grid.qmax);
    }
    Ok(())
}
