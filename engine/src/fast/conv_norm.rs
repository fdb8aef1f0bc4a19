//! A convolution and the batch norm behind it as one operation of the training pass:
//!
//! `y = conv(x, w)`, `z = gamma (y - mean) / std + beta`, optionally `+ r` and ReLU.
//!
//! The numbers are those of [`conv2d`](super::conv2d()) and [`batch_norm_relu`](super::batch_norm_relu), bit for bit, and
//! so up to rounding those of the plain [`ops::conv2d`](crate::ops::conv2d()) and
//! [`ops::batch_norm`](crate::ops::batch_norm()). What is saved is memory traffic, which past the second-level cache costs as much as the arithmetic:
//!
//! - forward, the sums for mean and variance are taken of each group of images while the convolution's results are
//!   still in the cache;
//! - backward, `dy` is never in memory as a whole: each group's is computed into a buffer that stays in the cache, and
//!   both gradients of the convolution are taken from there;
//! - a function of the input (fake quantization) is computed of each group when the convolution wants it;
//! - without a residual the ReLU's mask is found again from `y`, so that neither `z` is read nor `dz` written.

use rayon::prelude::*;

use super::batch_norm::backward::{Coefficients, InputGrad, Mask, gradient_sums, parameter_gradients};
use super::batch_norm::forward::{Norm, apply, moments, statistics};
use super::conv2d::algorithm::{self, Algorithm};
use super::conv2d::batch::{self, Gradients, Group, Operands};
use crate::kernel::Isa;
use crate::kernel::channels;
use crate::kernel::pad::with_scratch;
use crate::ops::{BatchStats, Conv2dShape, InputMap};
use crate::{Error, Incoming, Op, Record, Result, Tape, Tensor, Var};

/// Inputs of [`conv_norm`](conv_norm()).
pub struct ConvNorm {
    /// `[N, H, W, C]`.
    pub x: Var,
    /// What the convolution does to `x` first.
    pub map: Option<Box<dyn InputMap>>,
    /// `[O, KH, KW, C]`.
    pub w: Var,
    /// `[O]`.
    pub gamma: Var,
    /// `[O]`.
    pub beta: Var,
    /// Added before the ReLU; as the result.
    pub residual: Option<Var>,
    /// Whether there is a ReLU.
    pub relu: bool,
    /// Step between output pixels.
    pub stride: usize,
    /// Zero pixels on each side.
    pub padding: usize,
    /// Added to the variance.
    pub eps: f32,
}

/// Convolution by `algorithm`, batch norm with the batch's statistics, and what may follow, recorded. The range of the
/// result is known.
///
/// # Errors
/// If the shapes do not fit, or there are no images.
pub fn conv_norm(tape: &mut Tape, algorithm: Algorithm, inputs: ConvNorm) -> Result<(Incoming, BatchStats)> {
    let ConvNorm { x, map, w, gamma, beta, residual, relu, stride, padding, eps } = inputs;
    let isa = Isa::active();
    let shape = Conv2dShape::new(tape.value(x).shape(), tape.value(w).shape(), stride, padding)?;
    let (vg, vb, vr) = (tape.value(gamma), tape.value(beta), residual.map(|r| tape.value(r)));
    if vg.len() != shape.o || vb.len() != shape.o {
        let detail = format!("{} channels but gamma {} and beta {}", shape.o, vg.shape(), vb.shape());
        return Err(Error::shape("conv_norm", detail));
    }
    if shape.n == 0 {
        return Err(Error::shape("conv_norm", "no images to take mean and variance of"));
    }
    let (x_len, y_len, _) = shape.lens();
    let mut y = Tensor::scratch(shape.y());
    if let Some(r) = vr {
        y.expect_same_shape("conv_norm residual", r)?;
    }
    let (convolve, group) =
        (algorithm::forward(algorithm, &shape, tape.value(w).data()), batch::group(&shape));
    let groups =
        y.data_mut().par_chunks_mut(y_len * group).zip(tape.value(x).data().par_chunks(x_len * group));
    let sums = groups.map(|(y, x)| {
        match &map {
            None => convolve.run(x, y),
            Some(map) => with_scratch(x.len(), |mapped| {
                map.forward(x, mapped)?;
                convolve.run(mapped, y);
                Ok(())
            })?,
        }
        Ok(y.chunks_exact(y_len).map(|y| moments(isa, y, shape.o)).collect())
    });
    let sums: Vec<Vec<Vec<f32>>> = sums.collect::<Result<_>>()?;
    let sums: Vec<Vec<f32>> = sums.into_iter().flatten().collect();
    drop(convolve);
    let stats = statistics(&sums, y.len() / shape.o);
    let norm = Norm::new(vg.data(), vb.data(), stats.mean.clone(), &stats.var, eps);
    let (z, range) = apply(isa, &y, &norm, vr, relu);
    let vars: Vec<Var> =
        [Some(x), Some(w), Some(gamma), Some(beta), residual].into_iter().flatten().collect();
    let z = tape.push(z, &vars, Recorded { isa, algorithm, shape, map, relu, norm, y });
    Ok((Incoming { var: z, range: Some(range) }, stats))
}

struct Recorded {
    isa: Isa,
    algorithm: Algorithm,
    shape: Conv2dShape,
    map: Option<Box<dyn InputMap>>,
    relu: bool,
    norm: Norm,
    /// The convolution's result.
    y: Tensor,
}

impl Op for Recorded {
    fn name(&self) -> &'static str {
        "conv_norm"
    }

    fn backward(&self, record: &Record<'_>, mut dz: Tensor) -> Vec<Option<Tensor>> {
        let Self { isa, shape, norm, y, .. } = self;
        let (x, w, gamma) = (record.input(0), record.input(1), record.input(2));
        let has_residual = record.inputs() == 5;
        let mask = match self.relu {
            true if has_residual => Mask::Output(record.output()),
            true => Mask::Again,
            false => Mask::None,
        };
        let sums = gradient_sums(*isa, &mut dz, y, norm, mask);
        let (dgamma, dbeta) = parameter_gradients(&sums, norm);
        let coefficients = Coefficients::new(gamma, norm, &dgamma, &dbeta, (y.len() / shape.o) as f64);

        let gradients = Gradients {
            dx: record.needs(0).then(|| algorithm::input_grad(self.algorithm, shape, w.data())),
            dw: record.needs(1).then(|| algorithm::weight_grad(self.algorithm, shape)),
        };
        let mut dx = record.needs(0).then(|| Tensor::scratch(x.shape()));
        let mut dw = record.needs(1).then(|| Tensor::scratch(w.shape()));
        let mask = matches!(mask, Mask::Again).then_some(norm);
        let operands = PerGroup { op: self, x: x.data(), dz: dz.data(), coefficients: &coefficients, mask };
        gradients.run(shape, &operands, dx.as_mut(), dw.as_mut());
        let mut all = vec![dx, dw, Some(dgamma), Some(dbeta)];
        if has_residual {
            all.push(record.needs(4).then_some(dz));
        }
        all
    }
}

/// Operands of the convolution's gradients that are computed for each group.
struct PerGroup<'a> {
    op: &'a Recorded,
    x: &'a [f32],
    dz: &'a [f32],
    coefficients: &'a Coefficients,
    mask: Option<&'a Norm>,
}

impl Operands for PerGroup<'_> {
    fn with(&self, group: Group, with: &mut dyn FnMut(&[f32], &[f32])) {
        let (x_len, y_len, _) = self.op.shape.lens();
        let (x, g, y) =
            (group.of(self.x, x_len), group.of(self.dz, y_len), group.of(self.op.y.data(), y_len));
        let &Self { coefficients, mask, .. } = self;
        with_scratch(g.len(), |dy| {
            channels::run(self.op.isa, InputGrad { g, dx: dy, x: y, coefficients, mask });
            match &self.op.map {
                None => with(x, dy),
                Some(map) => with_scratch(x.len(), |mapped| {
                    map.forward(x, mapped).expect("the forward pass has met the same numbers");
                    with(mapped, dy);
                }),
            }
        });
    }

    fn finish(&self, group: Group, dx: &mut [f32]) {
        if let Some(map) = &self.op.map {
            map.backward(group.of(self.x, self.op.shape.lens().0), dx);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{batch_norm, batch_norm_relu, conv2d};
    use super::*;
    use crate::ops::BatchNormMode;
    use crate::ops::gradient_check::wave;

    /// The fused operation equals its parts, bit for bit, values and gradients: with and without residual and ReLU,
    /// by every algorithm, on batches that do not fill their groups.
    #[test]
    fn fused_equals_composed() {
        let isa = Isa::active();
        let shapes = [([5, 8, 8, 16], 32, 1), ([3, 9, 7, 16], 16, 2), ([19, 4, 4, 64], 64, 1)];
        for algorithm in [Algorithm::Im2col, Algorithm::Direct(isa), Algorithm::Winograd(isa)] {
            for (dims, o, stride) in shapes {
                for (with_residual, relu) in [(false, false), (false, true), (true, true)] {
                    let run = |fused: bool| {
                        let mut tape = Tape::new();
                        let x = tape.leaf(wave(dims, 1), true);
                        let w = tape.leaf(wave([o, 3, 3, dims[3]], 2), true);
                        let (gamma, beta) = (tape.leaf(wave([o], 3), true), tape.leaf(wave([o], 4), true));
                        let y = [dims[0], dims[1].div_ceil(stride), dims[2].div_ceil(stride), o];
                        let r = tape.leaf(wave(y, 5), true);
                        let residual = with_residual.then_some(r);
                        let (padding, eps) = (1, 1e-5);
                        let z = if fused {
                            let inputs = ConvNorm {
                                x,
                                map: None,
                                w,
                                gamma,
                                beta,
                                residual,
                                relu,
                                stride,
                                padding,
                                eps,
                            };
                            conv_norm(&mut tape, algorithm, inputs).unwrap().0.var
                        } else {
                            let y = conv2d(&mut tape, algorithm, x, w, None, [stride, padding]).unwrap();
                            let mode = BatchNormMode::Train { eps };
                            if relu {
                                batch_norm_relu(&mut tape, y, gamma, beta, residual, mode).unwrap().0
                            } else {
                                batch_norm(&mut tape, y, gamma, beta, mode).unwrap().0
                            }
                        };
                        let value = tape.value(z).clone();
                        tape.backward(z, wave(y, 6)).unwrap();
                        (value, [x, w, gamma, beta, r].map(|v| tape.take_grad(v)))
                    };
                    assert_eq!(run(true), run(false), "{algorithm:?} {dims:?} {with_residual} {relu}");
                }
            }
        }
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        let mut tape = Tape::new();
        let [x, w, gamma, beta] = [wave([1, 4, 4, 4], 1), wave([8, 3, 3, 4], 2), wave([8], 3), wave([4], 4)]
            .map(|t| tape.leaf(t, true));
        let (residual, relu, stride, padding, eps) = (None, false, 1, 1, 1e-5);
        let inputs = ConvNorm { x, map: None, w, gamma, beta, residual, relu, stride, padding, eps };
        let error = conv_norm(&mut tape, Algorithm::default(), inputs).err().unwrap().to_string();
        assert_eq!(error, "conv_norm: 8 channels but gamma [8] and beta [4]");
    }
}
