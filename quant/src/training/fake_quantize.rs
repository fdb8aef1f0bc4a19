//! Fake quantization: eq 1 and eq 3 at once, inside float training.
//!
//! ```text
//! forward    x_hat = s ( clip(round(x / s) - z, qmin, qmax) + z )       (3a)
//! backward   dx = dx_hat where x is in the clip range,    clipped STE   (3c)
//!                 0 elsewhere
//!            dx = dx_hat                                  identity STE  (3d)
//! ```
//!
//! Rounding has zero gradient almost everywhere, so the straight-through estimator (Bengio et al.
//! 2013) pretends it is the identity. What it pretends about *clipping* is a choice. The identity rule
//! lets a clipped weight be pulled back. For activations it is ruinous at few bits: the clipped value no
//! longer depends on its input, yet the input keeps receiving gradient and drifts. So activations
//! default to the clipped rule, weights to the identity.

use engine::kernel::{Isa, Plain};
use engine::ops::InputMap;
use engine::{Error, Op, Record, Result, Tape, Tensor, Var};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::numbers::entry::{CHUNK, for_each_channel, name_nan};
use crate::numbers::round_slice::round_slice;
use crate::numbers::uniform::restore_rounded;
use crate::{Granularity, QParams, quantize_bias};

/// What the backward pass of fake quantization is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ste {
    /// `dx = dx_hat` everywhere.
    Identity,
    /// `dx = dx_hat` where `s (qmin + z) <= x <= s (qmax + z)`, zero elsewhere.
    Clipped,
}

/// `x_hat`: `x` quantized and restored. Equal, bit for bit, to
/// [`linear_dequantize`](crate::linear_dequantize) of [`linear_quantize`](crate::linear_quantize), in one pass.
///
/// ```
/// use engine::Tensor;
/// use quant::{fake_quantize, Grid, QParams};
/// let q = QParams::per_tensor(Grid::unsigned(2)?, 0.5, 0)?; // 0, 0.5, 1, 1.5
/// let x = Tensor::from_vec([4], vec![-1.0, 0.6, 1.2, 9.0])?;
/// assert_eq!(fake_quantize(&x, &q)?.data(), [0.0, 0.5, 1.0, 1.5]);
/// # Ok::<(), engine::Error>(())
/// ```
///
/// # Errors
/// If a value is NaN or the channels are not those of `q`.
pub fn fake_quantize(x: &Tensor, q: &QParams) -> Result<Tensor> {
    let mut y = Tensor::scratch(x.shape());
    for_each_channel("fake_quantize", x.shape(), q, |channel, span| {
        let (x, y) = (&x.data()[span.clone()], &mut y.data_mut()[span]);
        let chunks = x.par_chunks(CHUNK).zip(y.par_chunks_mut(CHUNK));
        chunks.map(|(x, y)| Isa::active().run_plain(Round { x, y, q, channel })).collect()
    })
    .map_err(|e| name_nan("fake_quantize", x, e))?;
    Ok(y)
}

/// [`fake_quantize`] of a slice of one channel.
struct Round<'a> {
    x: &'a [f32],
    y: &'a mut [f32],
    q: &'a QParams,
    channel: usize,
}

impl Plain for Round<'_> {
    type Output = Result<()>;

    #[inline(always)]
    fn run(self) -> Result<()> {
        let (s, z) = self.q.channel(self.channel);
        let (lo, hi) = (self.q.grid().qmin + z, self.q.grid().qmax + z);
        if (lo.abs().max(hi.abs()) as f32 * s).is_finite() {
            return round_slice(self.x, self.y, s, z, self.q.grid(), |r| r * s); // nothing to clamp
        }
        round_slice(self.x, self.y, s, z, self.q.grid(), |r| restore_rounded(r, s))
    }
}

/// The gradient of clipping, in place: zero where `x` lies outside the clip range.
pub(super) struct Clip<'a> {
    pub x: &'a [f32],
    pub dy: &'a mut [f32],
    pub range: (f32, f32),
}

impl Plain for Clip<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let (lo, hi) = self.range;
        for (dy, &x) in self.dy.iter_mut().zip(self.x) {
            // book: clip
            *dy = if (x >= lo) & (x <= hi) { *dy } else { 0.0 };
            // book end
        }
    }
}

/// Fake quantization of a layer's input, computed by the layer: the numbers of [`fake_quantize_on`], per tensor.
pub struct FakeQuantizeInput {
    /// The layer, for messages.
    layer: String,
    q: QParams,
    ste: Ste,
}

impl FakeQuantizeInput {
    /// The input of `layer`, with one scale for the whole tensor.
    ///
    /// # Errors
    /// If `q` has one for each channel.
    pub fn new(layer: &str, q: QParams, ste: Ste) -> Result<Self> {
        match q.granularity() {
            Granularity::PerTensor => Ok(Self { layer: layer.to_owned(), q, ste }),
            Granularity::PerChannel => Err(Error::value("fake_quantize", "inputs have one scale per tensor")),
        }
    }

    fn in_layer(&self, error: Error) -> Error {
        Error::value("quantize", format!("layer `{}`: {error}", self.layer))
    }
}

impl InputMap for FakeQuantizeInput {
    fn forward(&self, x: &[f32], y: &mut [f32]) -> Result<()> {
        Isa::active().run_plain(Round { x, y, q: &self.q, channel: 0 }).map_err(|e| self.in_layer(e))
    }

    fn backward(&self, x: &[f32], dy: &mut [f32]) {
        if self.ste == Ste::Clipped {
            Isa::active().run_plain(Clip { x, dy, range: self.q.clip_range(0) });
        }
    }

    fn record(&self, tape: &mut Tape, x: Var) -> Result<Var> {
        fake_quantize_on(tape, x, &self.q, self.ste).map_err(|e| self.in_layer(e))
    }
}

/// `x_int + z` of every value, as floats: [`fake_quantize`] without the scale.
///
/// # Errors
/// As [`fake_quantize`].
pub fn codes(x: &Tensor, q: &QParams) -> Result<Tensor> {
    rounded(x, q, |r, _| r)
}

/// `finish(x_int + z, s)` of every value.
fn rounded(x: &Tensor, q: &QParams, finish: fn(f32, f32) -> f32) -> Result<Tensor> {
    let mut y = Tensor::scratch(x.shape());
    for_each_channel("fake_quantize", x.shape(), q, |channel, span| {
        let (s, z) = q.channel(channel);
        let (x, y) = (&x.data()[span.clone()], &mut y.data_mut()[span]);
        x.par_chunks(CHUNK)
            .zip(y.par_chunks_mut(CHUNK))
            .try_for_each(|(x, y)| round_slice(x, y, s, z, q.grid(), |r| finish(r, s)))
    })
    .map_err(|e| name_nan("fake_quantize", x, e))?;
    Ok(y)
}

/// [`fake_quantize`] on a tape, with the gradient of `ste`. The scale is a constant of this pass.
///
/// # Errors
/// As [`fake_quantize`].
#[doc(alias = "_quantize_func_STE")]
pub fn fake_quantize_on(tape: &mut Tape, x: Var, q: &QParams, ste: Ste) -> Result<Var> {
    let x_hat = fake_quantize(tape.value(x), q)?;
    Ok(tape.push(x_hat, &[x], FakeQuantize { q: q.clone(), ste }))
}

/// A layer's bias as the integer layer has it: `b_hat = s round(b / s)` with `s = s_x s_w` of each output
/// channel. Identity STE.
///
/// # Errors
/// As [`quantize_bias`].
pub fn fake_quantize_bias_on(tape: &mut Tape, b: Var, s: &[f64]) -> Result<Var> {
    let shape = tape.value(b).shape();
    let b_int = quantize_bias(tape.value(b).data(), s)?;
    let b_hat = b_int.iter().zip(s).map(|(&b, s)| (b as f64 * s) as f32).collect();
    Ok(tape.push(Tensor::from_vec(shape, b_hat)?, &[b], StraightThrough))
}

struct StraightThrough;

impl Op for StraightThrough {
    fn name(&self) -> &'static str {
        "straight_through"
    }

    fn backward(&self, _: &Record<'_>, dy: Tensor) -> Vec<Option<Tensor>> {
        vec![Some(dy)]
    }
}

struct FakeQuantize {
    q: QParams,
    ste: Ste,
}

impl Op for FakeQuantize {
    fn name(&self) -> &'static str {
        "fake_quantize"
    }

    fn backward(&self, record: &Record<'_>, mut dy: Tensor) -> Vec<Option<Tensor>> {
        if self.ste == Ste::Clipped {
            let x = record.input(0);
            for_each_channel("fake_quantize", x.shape(), &self.q, |channel, span| {
                let range = self.q.clip_range(channel);
                let (x, dy) = (&x.data()[span.clone()], &mut dy.data_mut()[span]);
                let chunks = x.par_chunks(CHUNK).zip(dy.par_chunks_mut(CHUNK));
                chunks.for_each(|(x, dy)| Isa::active().run_plain(Clip { x, dy, range }));
                Ok(())
            })
            .expect("the forward pass has met the same channels");
        }
        vec![Some(dy)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Grid;

    #[test]
    fn value_and_both_gradients() {
        // The grid is -1, -0.5, 0, 0.5; 0.6 rounds down to 0.5 but lies beyond the clip range.
        let q = QParams::per_tensor(Grid::signed(2).unwrap(), 0.5, 0).unwrap();
        for (ste, dx) in [(Ste::Identity, [1., 2., 3., 4.]), (Ste::Clipped, [0., 2., 3., 0.])] {
            let mut tape = Tape::new();
            let x = tape.leaf(Tensor::from_vec([4], vec![-3.0, -1.0, 0.3, 0.6]).unwrap(), true);
            let y = fake_quantize_on(&mut tape, x, &q, ste).unwrap();
            assert_eq!(tape.value(y).data(), [-1.0, -1.0, 0.5, 0.5]);
            tape.backward(y, Tensor::from_vec([4], vec![1., 2., 3., 4.]).unwrap()).unwrap();
            assert_eq!(tape.grad(x).unwrap().data(), dx);
        }
    }

    #[test]
    fn clipping_follows_each_channel() {
        let q = QParams::per_channel(Grid::unsigned(1).unwrap(), vec![1.0, 4.0], vec![0, 0]).unwrap();
        let mut tape = Tape::new();
        let x = tape.leaf(Tensor::full([2, 1], 3.0), true);
        let y = fake_quantize_on(&mut tape, x, &q, Ste::Clipped).unwrap();
        assert_eq!(tape.value(y).data(), [1.0, 4.0]);
        tape.backward(y, Tensor::full([2, 1], 1.0)).unwrap();
        assert_eq!(tape.grad(x).unwrap().data(), [0.0, 1.0]);
    }
}
