//! Chapter 4: a fully connected layer computed in integers (eq 6), beside the same layer in floats.
//!
//! `cargo run -p quant --example 4_a_layer_in_integers`

use engine::Tensor;
use engine::ops::linear_forward;
use engine::rng::{Purpose, Rng};
use quant::{
    PackedWeights, Result, ScaleRule, Symmetry, linear_quantize, quantize_bias, quantized_linear,
    reset_scale_and_zero_point,
};

fn main() -> Result<()> {
    let mut rng = Rng::at(1, Purpose::Test, 0, 0);
    let x = Tensor::from_fn([2, 16], |_| rng.uniform());
    let w = Tensor::from_fn([3, 16], |_| rng.normal());
    let b = Tensor::from_fn([3], |_| rng.normal());
    let q_x = reset_scale_and_zero_point(&x, 8, ScaleRule::SYMMETRIC, Symmetry::Symmetric, false)?;
    let q_w = reset_scale_and_zero_point(&w, 8, ScaleRule::SYMMETRIC, Symmetry::Symmetric, true)?;
    let (x_int, w_int) = (linear_quantize::<u8>(&x, &q_x)?, linear_quantize::<i8>(&w, &q_w)?);
    // The bias stands at the scale of the products.
    let s = f64::from(q_x.scales()[0]) * f64::from(q_w.scales()[0]);
    let b_int = quantize_bias(b.data(), &[s; 3])?;
    let y = quantized_linear(&x_int, &q_x, &PackedWeights::pack(w_int)?, &q_w, Some(&b_int))?;
    let y_float = linear_forward(&x, &w, &b)?;
    for (y, f) in y.data().iter().zip(y_float.data()) {
        println!("integers {y:+.4}, floats {f:+.4}");
        assert!((y - f).abs() < 0.1);
    }
    Ok(())
}
