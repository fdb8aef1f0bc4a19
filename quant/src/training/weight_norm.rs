//! Weight normalisation before rounding: the grid always sees weights of mean zero and of one fixed spread.
//!
//! ```text
//! u       = (w - mean(w)) / std(w)
//! w_norm  = spread u                                                                         (9g)
//! dw      = spread / std(w) ( dy - mean(dy) - u mean(dy u) )
//! ```
//!
//! Li, Dong and Wang, "Additive powers-of-two quantization" (ICLR 2020), section 2.3, normalise so that a clipping value
//! once found stays the right one while the weights move, and so that the outermost levels of two or three bits do not
//! starve when weights drift to one side. Their spread is 1; here it is the spread that the layer began with, so that
//! training starts from nearly the network it was given: a convolution's mean is small, and the scale is unchanged.
//!
//! The statistics are those of the whole tensor, as are the course's scales.

use engine::{Error, Op, Record, Result, Tape, Tensor, Var};

/// `std(w)`, that of all values.
///
/// # Errors
/// If all values are equal or one is not finite: there is nothing to normalise by.
pub fn spread(w: &Tensor) -> Result<f32> {
    Ok(Moments::of(w)?.std as f32)
}

/// `w_norm` of (9g).
///
/// # Errors
/// As [`spread`].
pub fn normalize_weight(w: &Tensor, spread: f32) -> Result<Tensor> {
    let moments = Moments::of(w)?;
    Ok(Tensor::from_fn(w.shape(), |i| (f64::from(spread) * moments.u(w.data()[i])) as f32))
}

/// [`normalize_weight`] on a tape.
///
/// # Errors
/// As [`spread`].
pub fn normalize_weight_on(tape: &mut Tape, w: Var, spread: f32) -> Result<Var> {
    let moments = Moments::of(tape.value(w))?;
    let w_norm = normalize_weight(tape.value(w), spread)?;
    Ok(tape.push(w_norm, &[w], NormalizeWeight { moments, spread }))
}

/// Mean and standard deviation, summed in order: the same bits for any number of threads.
#[derive(Clone, Copy)]
struct Moments {
    mean: f64,
    std: f64,
}

impl Moments {
    fn of(w: &Tensor) -> Result<Self> {
        let n = w.len() as f64;
        let mean = w.data().iter().map(|&w| f64::from(w)).sum::<f64>() / n;
        let var = w.data().iter().map(|&w| (f64::from(w) - mean).powi(2)).sum::<f64>() / n;
        if !(var > 0.0 && var.is_finite()) {
            let detail = format!("weights of mean {mean} and variance {var} have no spread to divide by");
            return Err(Error::value("normalize_weight", detail));
        }
        Ok(Self { mean, std: var.sqrt() })
    }

    fn u(self, w: f32) -> f64 {
        (f64::from(w) - self.mean) / self.std
    }
}

struct NormalizeWeight {
    moments: Moments,
    spread: f32,
}

impl Op for NormalizeWeight {
    fn name(&self) -> &'static str {
        "normalize_weight"
    }

    fn backward(&self, record: &Record<'_>, dy: Tensor) -> Vec<Option<Tensor>> {
        let (w, n) = (record.input(0).data(), dy.len() as f64);
        let pairs = || dy.data().iter().zip(w);
        // book: weight_norm
        let mean_dy = dy.data().iter().map(|&dy| f64::from(dy)).sum::<f64>() / n;
        let mean_dy_u = pairs().map(|(&dy, &w)| f64::from(dy) * self.moments.u(w)).sum::<f64>() / n;
        let factor = f64::from(self.spread) / self.moments.std;
        let dw = pairs().map(|(&dy, &w)| factor * (f64::from(dy) - mean_dy - self.moments.u(w) * mean_dy_u));
        // book end
        let dw = dw.map(|dw| dw as f32).collect();
        vec![Some(Tensor::from_vec(dy.shape(), dw).expect("one gradient for each weight"))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights() -> Tensor {
        Tensor::from_fn([3, 5], |i| (i as f32 * 0.7).sin() * 0.2 + 0.05)
    }

    #[test]
    fn normalized_weights_have_mean_zero_and_the_spread_asked_for() {
        let w = normalize_weight(&weights(), 0.25).unwrap();
        assert!(w.data().iter().sum::<f32>().abs() < 1e-6);
        assert!((spread(&w).unwrap() - 0.25).abs() < 1e-6);
        let own = spread(&weights()).unwrap();
        let twice = normalize_weight(&normalize_weight(&weights(), own).unwrap(), own).unwrap();
        let once = normalize_weight(&weights(), own).unwrap();
        assert!(twice.data().iter().zip(once.data()).all(|(a, b)| (a - b).abs() < 1e-6));
    }

    #[test]
    fn the_gradient_equals_finite_differences() {
        let (w, spread, h) = (weights(), 0.3, 1e-3f32);
        let dy = Tensor::from_fn([3, 5], |i| (i as f32 * 1.3).cos());
        let loss = |w: &Tensor| -> f64 {
            let y = normalize_weight(w, spread).unwrap();
            y.data().iter().zip(dy.data()).map(|(&y, &dy)| f64::from(y) * f64::from(dy)).sum()
        };
        let mut tape = Tape::new();
        let x = tape.leaf(w.clone(), true);
        let y = normalize_weight_on(&mut tape, x, spread).unwrap();
        tape.backward(y, dy.clone()).unwrap();
        for i in 0..w.len() {
            let (mut up, mut down) = (w.clone(), w.clone());
            up.data_mut()[i] += h;
            down.data_mut()[i] -= h;
            let expected = (loss(&up) - loss(&down)) / f64::from(2.0 * h);
            let dw = f64::from(tape.grad(x).unwrap().data()[i]);
            assert!((dw - expected).abs() < 2e-3, "{i}: {dw} {expected}");
        }
    }

    #[test]
    fn equal_weights_are_refused() {
        let error = normalize_weight(&Tensor::full([4], 0.5), 1.0).unwrap_err().to_string();
        assert!(error.contains("no spread to divide by"), "{error}");
    }
}
