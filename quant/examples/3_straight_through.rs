//! Chapter 3: rounding has no gradient, so training pretends that it is the identity. A weight that must become 0.3 is
//! pulled there through its own rounding, and stays as near as its grid lets it.
//!
//! `cargo run -p quant --example 3_straight_through`

use engine::{Tape, Tensor};
use quant::training::fake_quantize::fake_quantize_on;
use quant::{Grid, QParams, Result, Ste};

fn main() -> Result<()> {
    let (mut w, target, rate) = (-1.0f32, 0.3f32, 0.1f32);
    let q = QParams::per_tensor(Grid::signed(3)?, 0.25, 0)?;
    for step in 0..40 {
        let mut tape = Tape::new();
        let latent = tape.leaf(Tensor::from_vec([1], vec![w])?, true);
        let rounded = fake_quantize_on(&mut tape, latent, &q, Ste::Identity)?;
        let w_hat = tape.value(rounded).data()[0];
        // L = (w_hat - target)^2 / 2, so dL/dw_hat = w_hat - target, and straight through: dL/dw is the same.
        tape.backward(rounded, Tensor::from_vec([1], vec![w_hat - target])?)?;
        w -= rate * tape.grad(latent).expect("a leaf that learns").data()[0];
        if step % 8 == 0 {
            println!("step {step:>2}: latent weight {w:+.3}, rounded {w_hat:+.3}");
        }
    }
    let nearest = quant::fake_quantize(&Tensor::from_vec([1], vec![target])?, &q)?.data()[0];
    println!("the code nearest to {target} is {nearest}; the latent weight is {w:+.3}");
    assert!((w - target).abs() < 0.2);
    Ok(())
}
