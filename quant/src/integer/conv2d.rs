//! Integer convolution and, on top of it alone, the quantized convolution (eq 6). What it must equal is written down in
//! [`conv2d_ref`](super::conv2d_ref).

use engine::{Error, Result, Tensor};

use super::accumulate::Convolution;
use super::bias::product_scales;
use super::window::{Image, Window};
use super::{Accumulators, Activation, PackedWeights};
use crate::kernel::MicroKernel;
use crate::{IntTensor, QParams};

/// `sum (x_int + z_x) w_int + b_int` over the windows of an image, exactly.
///
/// `x_int` is `[N, H, W, C]`, the weights `[O, KH, KW, C]`, the result `[N, OH, OW, O]` with
/// `OH = (H + 2 padding - KH) / stride + 1`. Padding is real zero, code `-z_x`. 32-bit results where
/// [`accumulator_bound`](super::bound::accumulator_bound) allows, else 64.
///
/// # Errors
/// If the shapes do not fit, the stride is 0, there is padding and `-z_x` is not a code of `X`, or a number is beyond what
/// keeps the sums exact: `|z_x| > 2^21`, `|b_int| > 2^62`.
pub fn integer_conv2d<X: Activation>(
    x_int: &IntTensor<X>,
    z_x: i32,
    w: &PackedWeights,
    b_int: Option<&[i64]>,
    stride: usize,
    padding: usize,
) -> Result<Accumulators> {
    integer_conv2d_with(w.kernel, x_int, z_x, w, b_int, stride, padding)
}

/// [`integer_conv2d`] on a given micro-kernel. Weights that are packed for another one are packed anew.
///
/// # Errors
/// As [`integer_conv2d`]; or if the kernel is not exact for weights as large as these.
pub fn integer_conv2d_with<X: Activation>(
    kernel: &'static MicroKernel,
    x_int: &IntTensor<X>,
    z_x: i32,
    w: &PackedWeights,
    b_int: Option<&[i64]>,
    stride: usize,
    padding: usize,
) -> Result<Accumulators> {
    let Some((n, h, width, c)) = x_int.shape().nhwc() else {
        return Err(Error::shape(
            "conv2d",
            format!("activations must be [N, H, W, C], got {}", x_int.shape()),
        ));
    };
    let image = Image { h, w: width, c };
    let w = &*w.for_kernel(kernel)?;
    let window = Window::new(w, image, stride, padding)?;
    let plan = Convolution::new(w, window, z_x, b_int)?;
    if padding > 0 && !(X::RANGE.0..=X::RANGE.1).contains(&-z_x) {
        let detail = format!("padding needs the code {} of real zero, beyond the activations' type", -z_x);
        return Err(Error::value("conv2d", detail));
    }
    let shape = [n, window.oh, window.ow, w.outputs()];
    plan.accumulate(x_int.data(), shape, X::RANGE, z_x)
}

/// Eq 6 over an image: `y = s_x s_w (sum (x_int + z_x) w_int + b_int)`, `[N, OH, OW, O]`.
///
/// # Errors
/// As [`integer_conv2d`]; or if the weights have a zero point, or scales that do not fit.
#[doc(alias = "quantized_conv2d_function")]
pub fn quantized_conv2d<X: Activation>(
    x_int: &IntTensor<X>,
    q_x: &QParams,
    w: &PackedWeights,
    q_w: &QParams,
    b_int: Option<&[i64]>,
    stride: usize,
    padding: usize,
) -> Result<Tensor> {
    // book: quantized_conv2d
    let scale = product_scales("quantized_conv2d", q_x, q_w, w.outputs())?;
    Ok(integer_conv2d(x_int, q_x.zero_points()[0], w, b_int, stride, padding)?.rescale(&scale))
    // book end
}
