//! Two-dimensional convolution (cross-correlation, as every framework means it), NHWC:
//!
//! `y[n, oy, ox, o] = b[o] + sum over kh, kw, c of x[n, oy s + kh - p, ox s + kw - p, c] * w[o, kh, kw, c]`,
//! pixels outside the image being zero. Shapes: `x [N, H, W, C]`, `w [O, KH, KW, C]`, `y [N, OH, OW, O]`,
//! `OH = (H + 2p - KH) / s + 1`.
//!
//! Three algorithms compute it: im2col with a matrix product (general, and the one to read first), the direct
//! kernels of [`crate::kernel`] (fast, for channel counts that fill vectors), and Winograd's (fastest, for 3x3
//! kernels with stride 1). All run in parallel over images; sums over images are taken in chunks whose bounds depend on the batch alone, so that the result
//! has the same bits for any number of threads.

mod backward;
mod direct;
mod forward;
mod general;
pub(crate) mod pass;
mod shape;
mod winograd;

pub use backward::{Conv2dGrads, conv2d_backward, conv2d_backward_ref};
pub use forward::{conv2d_forward, conv2d_ref};
pub use shape::Conv2dShape;

use crate::kernel::Isa;
use crate::{Context, Op, Result, Tape, Tensor, Var};

/// How to compute a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Copy receptive fields, then one matrix product per image.
    Im2col,
    /// Read the padded image in place; shapes whose channels do not fill vectors take im2col.
    Direct(Isa),
    /// Winograd's F(4x4, 3x3) for 3x3 kernels with stride 1 on images whose sides are multiples of 4; other shapes
    /// take the direct kernels.
    Winograd(Isa),
}

impl Default for Algorithm {
    /// The direct kernels of the instruction set in use: Winograd's rounding, small as it is, flips the sign behind
    /// some ReLUs, and gradients then differ from the exact ones by more than other frameworks' do.
    fn default() -> Self {
        Self::Direct(Isa::active())
    }
}

/// Convolution by the tape's algorithm, recorded. The bias is optional: a batch norm that follows makes it useless.
///
/// # Errors
/// If the shapes do not fit.
pub fn conv2d(tape: &mut Tape, x: Var, w: Var, b: Option<Var>, stride: usize, padding: usize) -> Result<Var> {
    let shape = Conv2dShape::new(tape.value(x).shape(), tape.value(w).shape(), stride, padding)?;
    let algorithm = tape.algorithm();
    let y = conv2d_forward(algorithm, &shape, tape.value(x), tape.value(w), b.map(|b| tape.value(b)))?;
    let inputs = [Some(x), Some(w), b];
    let inputs: Vec<Var> = inputs.into_iter().flatten().collect();
    Ok(tape.push(y, &inputs, Conv2d { shape, algorithm, bias: b.is_some() }))
}

struct Conv2d {
    shape: Conv2dShape,
    algorithm: Algorithm,
    bias: bool,
}

impl Op for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn backward(&self, ctx: &Context<'_>, dy: Tensor) -> Vec<Option<Tensor>> {
        let needs = [ctx.needs(0), ctx.needs(1)];
        let grads = conv2d_backward(self.algorithm, &self.shape, ctx.input(0), ctx.input(1), &dy, needs);
        let mut all = vec![grads.dx, grads.dw];
        if self.bias {
            all.push(ctx.needs(2).then(|| backward::bias_grad(&dy)));
        }
        all
    }
}

#[cfg(test)]
mod tests;
