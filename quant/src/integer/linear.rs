//! Integer linear layer and, on top of it alone, the quantized linear layer (eq 6).

use engine::{Error, Result, Tensor};

use rayon::prelude::*;

use super::accumulate::{Convolution, LINEAR_ROWS};
use super::bias::product_scales;
use super::bound::fits_i32;
use super::window::{Image, Window};
use super::{Accumulators, Activation, PackedWeights};
use crate::kernel::store::StoreSums;
use crate::kernel::{K_GROUP, Layer, MicroKernel, Scratch};
use crate::{IntTensor, QParams};

/// `sum (x_int + z_x) w_int + b_int`, exactly: `[N, I]` by weights `[O, I]` gives `[N, O]`. 32-bit results
/// where the bound allows, else 64.
///
/// The rows are the positions of an image of height 1 and width N, the layer its 1x1 convolution.
///
/// # Errors
/// If the shapes do not fit, or a number is beyond what keeps the sums exact: `|z_x| > 2^21`, `|b_int| > 2^62`.
pub fn integer_linear<X: Activation>(
    x_int: &IntTensor<X>,
    z_x: i32,
    w: &PackedWeights,
    b_int: Option<&[i64]>,
) -> Result<Accumulators> {
    integer_linear_with(w.kernel, x_int, z_x, w, b_int)
}

/// [`integer_linear`] on a given micro-kernel. Weights that are packed for another one are packed anew.
///
/// # Errors
/// As [`integer_linear`].
pub fn integer_linear_with<X: Activation>(
    kernel: &'static MicroKernel,
    x_int: &IntTensor<X>,
    z_x: i32,
    w: &PackedWeights,
    b_int: Option<&[i64]>,
) -> Result<Accumulators> {
    let (&[n, inputs], [outputs, 1, 1, taken]) = (x_int.dims(), w.dims) else {
        let detail = format!("needs [N, I] and [O, I], got {} and {:?}", x_int.shape(), w.dims);
        return Err(Error::shape("linear", detail));
    };
    if inputs != taken {
        return Err(Error::shape("linear", format!("weights take {taken} inputs, got {inputs}")));
    }
    if n == 0 {
        return Ok(Accumulators::I32(IntTensor::from_vec([0, outputs], Vec::new())?));
    }
    let w = &*w.for_kernel(kernel)?;
    let window = Window::new(w, Image { h: 1, w: n, c: inputs }, 1, 0)?;
    let plan = Convolution::new(w, window, z_x, b_int)?;
    Ok(match plan.accumulate(x_int.data(), [1, 1, n, outputs], X::RANGE, z_x)? {
        Accumulators::I32(t) => Accumulators::I32(IntTensor::from_vec([n, outputs], t.into_vec())?),
        Accumulators::I64(t) => Accumulators::I64(IntTensor::from_vec([n, outputs], t.into_vec())?),
    })
}

/// The matrix product `y [N, O] = x [N, I] w^T` of bytes and weights `[O, I]`, into memory that is there already.
///
/// # Errors
/// If the shapes do not fit, `I` is not a multiple of 4, or a sum could leave 32 bits.
pub fn integer_matmul(x: &[u8], w: &PackedWeights, y: &mut [i32]) -> Result<()> {
    let [outputs, kh, kw, inputs] = w.dims;
    let rows = y.len() / outputs;
    if [kh, kw] != [1, 1]
        || !inputs.is_multiple_of(K_GROUP)
        || y.len() != rows * outputs
        || x.len() != rows * inputs
    {
        let detail = format!(
            "weights {:?}, {} codes, {} results; I must be a multiple of 4",
            w.dims,
            x.len(),
            y.len()
        );
        return Err(Error::shape("matmul", detail));
    }
    if !w.abs_sums.iter().all(|&sum| fits_i32(255 * sum)) {
        return Err(Error::value("matmul", "a sum could leave 32 bits"));
    }
    let multiply = |scratch: &mut Scratch, (y, x): (&mut [i32], &[u8])| {
        let planes = [x];
        let layer = Layer::product(&planes, x.len() / inputs, inputs / K_GROUP, w.panels());
        w.kernel.sweep(&layer, scratch, &mut StoreSums { y, channels: outputs });
    };
    let (results, codes) = (LINEAR_ROWS * outputs, LINEAR_ROWS * inputs);
    if rayon::current_num_threads() == 1 {
        // Handing the work to a pool of one thread would take longer than a small product.
        let mut scratch = Scratch::default();
        y.chunks_mut(results).zip(x.chunks(codes)).for_each(|task| multiply(&mut scratch, task));
    } else {
        y.par_chunks_mut(results).zip(x.par_chunks(codes)).for_each_init(Scratch::default, multiply);
    }
    Ok(())
}

/// Eq 6: `y = s_x s_w (sum (x_int + z_x) w_int + b_int)`, `[N, O]`.
///
/// # Errors
/// As [`integer_linear`]; or if the weights have a zero point, or scales that do not fit.
#[doc(alias = "quantized_linear_function")]
pub fn quantized_linear<X: Activation>(
    x_int: &IntTensor<X>,
    q_x: &QParams,
    w: &PackedWeights,
    q_w: &QParams,
    b_int: Option<&[i64]>,
) -> Result<Tensor> {
    let scale = product_scales("quantized_linear", q_x, q_w, w.outputs())?;
    Ok(integer_linear(x_int, q_x.zero_points()[0], w, b_int)?.rescale(&scale))
}

/// [`integer_linear`] as the formula reads, in 64 bits.
///
/// # Panics
/// If the shapes do not fit.
pub fn integer_linear_ref<X: Activation>(
    x_int: &IntTensor<X>,
    z_x: i32,
    w_int: &IntTensor<i8>,
    b_int: Option<&[i64]>,
) -> IntTensor<i64> {
    let (&[n, inputs], &[outputs, _]) = (x_int.dims(), w_int.dims()) else { panic!("rank 2") };
    let mut y = Vec::with_capacity(n * outputs);
    for row in x_int.data().chunks(inputs) {
        for (o, w) in w_int.data().chunks(inputs).enumerate() {
            let terms = row.iter().zip(w).map(|(x, &w)| i64::from(x.to_i32() + z_x) * i64::from(w));
            y.push(terms.sum::<i64>() + b_int.map_or(0, |b| b[o]));
        }
    }
    IntTensor::from_vec([n, outputs], y).expect("as many as the shape holds")
}
