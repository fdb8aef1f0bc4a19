//! Integer convolution as its formula reads (the bracket of eq 6): what is computed anywhere must equal it, bit for bit.

use engine::ops::extent;

use super::Activation;
use crate::{Code, IntTensor};

/// [`integer_conv2d`](super::integer_conv2d) as the formula reads, in 64 bits.
///
/// # Panics
/// If the shapes do not fit.
pub fn integer_conv2d_ref<X: Activation>(
    x_int: &IntTensor<X>,
    z_x: i32,
    w_int: &IntTensor<i8>,
    b_int: Option<&[i64]>,
    stride: usize,
    padding: usize,
) -> IntTensor<i64> {
    let (&[n, h, w, c], &[o, kh, kw, _]) = (x_int.dims(), w_int.dims()) else { panic!("rank 4") };
    let side = |n: usize, k: usize| extent(n, k, stride, padding).expect("a window that fits");
    let (oh, ow) = (side(h, kh), side(w, kw));
    let mut y = Vec::with_capacity(n * oh * ow * o);
    for i in 0..n * oh * ow * o {
        let (image, oy, ox, channel) = (i / (oh * ow * o), i / (ow * o) % oh, i / o % ow, i % o);
        // book: sum
        let mut sum = b_int.map_or(0, |b| b[channel]);
        for k in 0..kh * kw * c {
            let (ky, kx, kc) = (k / (kw * c), k / c % kw, k % c);
            let (iy, ix) = (oy * stride + ky, ox * stride + kx);
            if iy < padding || ix < padding || iy - padding >= h || ix - padding >= w {
                continue; // real zero
            }
            let x = x_int.data()[((image * h + iy - padding) * w + ix - padding) * c + kc];
            sum += i64::from(x.to_i32() + z_x) * i64::from(w_int.data()[channel * kh * kw * c + k].to_i32());
        }
        y.push(sum);
        // book end
    }
    IntTensor::from_vec([n, oh, ow, o], y).expect("as many as the shape holds")
}
