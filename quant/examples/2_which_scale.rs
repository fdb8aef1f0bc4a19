//! Chapter 2: the same thousand numbers under every rule that chooses a scale, and the least error there is.
//!
//! `cargo run -p quant --example 2_which_scale`

use engine::Tensor;
use engine::rng::{Purpose, Rng};
use quant::numbers::analysis::error_report;
use quant::scale::{Sample, TABLE, optimum};
use quant::{Grid, QParams, Result};

fn main() -> Result<()> {
    let mut rng = Rng::at(1, Purpose::Test, 0, 0);
    let x = Tensor::from_fn([1000], |_| rng.normal());
    let grid = Grid::signed(4)?;
    let best = optimum(&Sample::new(x.data()), grid);
    for rule in TABLE {
        let s = rule.scale(x.data(), grid)?;
        let error = error_report(&x, &QParams::per_tensor(grid, s, 0)?)?;
        println!(
            "{:<10} s = {s:.4}, mse = {:.5}, {:.2} times the least",
            rule.name,
            error.mse,
            error.mse / best.mse
        );
        assert!(error.mse >= best.mse);
    }
    println!("{:<10} s = {:.4}, mse = {:.5}", "(optimum)", best.scale, best.mse);
    Ok(())
}
