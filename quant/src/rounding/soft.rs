//! A weight whose rounding is learned, on the tape.
//!
//! ```text
//! w_hat = s clip( floor(w / s) + h(v), qmin, qmax )            (7d), AdaRound's formula 22
//! dv    = dw_hat s h'(v)   where nothing is clipped, else 0
//! ```
//!
//! `w` and `s` stay; `v` is trained. In the end `h` is 0 or 1, and `w_hat` is `s` times a code of eq 1's grid: the float
//! weight is replaced by it, and the ordinary rounding finds that code again.

use std::sync::Arc;

use engine::{Op, Record, Result, Tape, Tensor, Var};

use super::rectified::{inverse_rectified_sigmoid, rectified_sigmoid, rectified_sigmoid_slope};
use crate::QParams;

/// What does not change while the rounding of a weight is learned.
#[derive(Clone)]
pub struct SoftWeight {
    /// `floor(w / s)` of each weight.
    floor: Arc<Vec<f32>>,
    q: QParams,
}

impl SoftWeight {
    /// The weight `w` (its channels first) under the symmetric quantizer `q`, and the `v` that gives back `w` itself.
    pub fn new(w: &Tensor, q: QParams) -> (Self, Tensor) {
        let row = w.len() / w.dims()[0].max(1);
        let quotients: Vec<f32> =
            w.data().iter().enumerate().map(|(i, w)| w / q.channel(i / row.max(1)).0).collect();
        let v =
            Tensor::from_fn(w.shape(), |i| inverse_rectified_sigmoid(quotients[i] - quotients[i].floor()));
        (Self { floor: Arc::new(quotients.iter().map(|q| q.floor()).collect()), q }, v)
    }

    /// The quantizer.
    pub fn quantizer(&self) -> &QParams {
        &self.q
    }

    /// `w_hat` with `up(v)` in place of `h(v)`.
    fn restored(&self, v: &Tensor, up: impl Fn(f32) -> f32) -> Tensor {
        let row = v.len() / v.dims()[0].max(1);
        let (qmin, qmax) = self.bounds();
        Tensor::from_fn(v.shape(), |i| {
            self.q.channel(i / row).0 * (self.floor[i] + up(v.data()[i])).clamp(qmin, qmax)
        })
    }

    fn bounds(&self) -> (f32, f32) {
        (self.q.grid().qmin as f32, self.q.grid().qmax as f32)
    }

    /// `w_hat` in training.
    pub fn soft(&self, v: &Tensor) -> Tensor {
        self.restored(v, rectified_sigmoid)
    }

    /// `w_hat` when training is over: `s` times the learned codes.
    pub fn hard(&self, v: &Tensor) -> Tensor {
        self.restored(v, |v| if v >= 0.0 { 1.0 } else { 0.0 })
    }

    /// [`soft`](Self::soft) of the variables `v` on the tape.
    pub fn soft_on(&self, tape: &mut Tape, v: Var) -> Result<Var> {
        let w_hat = self.soft(tape.value(v));
        Ok(tape.push(w_hat, &[v], self.clone()))
    }
}

impl Op for SoftWeight {
    fn name(&self) -> &'static str {
        "soft_rounding"
    }

    fn backward(&self, ctx: &Record<'_>, mut dw: Tensor) -> Vec<Option<Tensor>> {
        let v = ctx.input(0);
        let row = v.len() / v.dims()[0].max(1);
        let (qmin, qmax) = self.bounds();
        for (i, (dw, &v)) in dw.data_mut().iter_mut().zip(v.data()).enumerate() {
            let code = self.floor[i] + rectified_sigmoid(v);
            let inside = code >= qmin && code <= qmax;
            *dw *= if inside { self.q.channel(i / row).0 * rectified_sigmoid_slope(v) } else { 0.0 };
        }
        vec![Some(dw)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Grid, linear_quantize};

    fn weight() -> (Tensor, QParams) {
        let w = Tensor::from_fn([4, 6], |i| (i as f32 * 0.7).sin());
        (w, QParams::per_tensor(Grid::signed(3).unwrap(), 0.21, 0).unwrap())
    }

    #[test]
    fn it_starts_at_the_weight_itself_and_ends_at_a_neighbour() {
        let (w, q) = weight();
        let (soft, v) = SoftWeight::new(&w, q.clone());
        let (lo, hi) = q.clip_range(0);
        for ((&w, &start), &end) in w.data().iter().zip(soft.soft(&v).data()).zip(soft.hard(&v).data()) {
            assert!((w.clamp(lo, hi) - start).abs() < 1e-5, "{w} {start}");
            assert!((w.clamp(lo, hi) - end).abs() <= 0.5 * 0.21 + 1e-5, "h >= 1/2 rounds to nearest");
        }
    }

    #[test]
    fn the_ordinary_rounding_finds_the_learned_codes_again() {
        let (w, q) = weight();
        let (soft, v) = SoftWeight::new(&w, q.clone());
        let flipped = v.map(|v| -v);
        let codes = linear_quantize::<i8>(&soft.hard(&flipped), &q).unwrap();
        for (i, (&code, &v)) in codes.data().iter().zip(flipped.data()).enumerate() {
            let up = if v >= 0.0 { 1.0 } else { 0.0 };
            assert_eq!(f32::from(code), ((w.data()[i] / 0.21).floor() + up).clamp(-4.0, 3.0));
        }
    }

    #[test]
    fn the_gradient_is_that_of_the_formula() {
        let (w, q) = weight();
        let (soft, v) = SoftWeight::new(&w, q);
        let dw = Tensor::from_fn(w.shape(), |i| (i as f32).cos());
        let mut tape = Tape::new();
        let var = tape.leaf(v.clone(), true);
        let y = soft.soft_on(&mut tape, var).unwrap();
        tape.backward(y, dw.clone()).unwrap();
        let (e, mut checked) = (1e-2, 0);
        for i in 0..v.len() {
            let h = rectified_sigmoid(v.data()[i]);
            let code = soft.floor[i] + h;
            let kink = [h, 1.0 - h, (code + 4.0).abs(), (code - 3.0).abs()].iter().any(|d| *d < 0.02);
            if kink {
                continue; // there the two sides differ
            }
            checked += 1;
            let at = |d: f32| {
                let moved = Tensor::from_fn(v.shape(), |j| v.data()[j] + if i == j { d } else { 0.0 });
                f64::from(soft.soft(&moved).data()[i])
            };
            let want = f64::from(dw.data()[i]) * (at(e) - at(-e)) / f64::from(2.0 * e);
            let got = f64::from(tape.grad(var).unwrap().data()[i]);
            assert!((got - want).abs() < 2e-4, "{i}: {got} {want}");
        }
        assert!(checked > 15, "{checked}");
    }
}
