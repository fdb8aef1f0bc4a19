//! Gradients against finite differences: `dL/dx_i ~ (L(x + h e_i) - L(x - h e_i)) / 2h`.

use crate::{Shape, Tape, Tensor, Var};

/// A deterministic tensor of smooth-looking numbers in (-1, 1), different for each `phase`.
pub(crate) fn wave(shape: impl Into<Shape>, phase: u32) -> Tensor {
    Tensor::from_fn(shape, |i| ((i as f32 * 1.7 + phase as f32 * 0.9).sin() * 3.1).sin())
}

/// Checks the gradient of every input of `f` under the loss `L = sum_j r_j y_j` with fixed `r`.
pub(crate) fn check(inputs: &[Tensor], tolerance: f32, f: impl Fn(&mut Tape, &[Var]) -> Var) {
    let loss = |inputs: &[Tensor]| -> f64 {
        let mut tape = Tape::inference();
        let vars: Vec<Var> = inputs.iter().map(|x| tape.leaf(x.clone(), false)).collect();
        let y = f(&mut tape, &vars);
        let y = tape.value(y);
        y.data().iter().zip(wave(y.shape(), 99).data()).map(|(&y, &r)| f64::from(y) * f64::from(r)).sum()
    };
    let mut tape = Tape::new();
    let vars: Vec<Var> = inputs.iter().map(|x| tape.leaf(x.clone(), true)).collect();
    let y = f(&mut tape, &vars);
    let dy = wave(tape.value(y).shape(), 99);
    tape.backward(y, dy).expect("dy has the shape of y");
    let h = 1e-2;
    for (which, var) in vars.iter().enumerate() {
        let grad = tape.grad(*var).expect("every input has a gradient");
        for i in 0..inputs[which].len() {
            let mut moved: Vec<Tensor> = inputs.to_vec();
            moved[which].data_mut()[i] += h;
            let up = loss(&moved);
            moved[which].data_mut()[i] -= 2.0 * h;
            let numeric = ((up - loss(&moved)) / f64::from(2.0 * h)) as f32;
            let analytic = grad.data()[i];
            let bound = tolerance * (1.0 + numeric.abs());
            assert!(
                (numeric - analytic).abs() <= bound,
                "input {which}, element {i}: finite difference {numeric}, gradient {analytic}"
            );
        }
    }
}
