//! im2col: a convolution as one matrix product.
//!
//! Row `p` of the column matrix is the receptive field of output pixel `p`, written out in the order of a
//! filter's weights, so that `y[p, o] = sum_k cols[p, k] * w[o, k]` with `k = (kh, kw, c)`. Simple and
//! general, but it copies every pixel `KH * KW` times: the direct kernels in `kernel` read the padded image
//! in place instead, and are tested against this.

use crate::ops::Conv2dShape;

/// Image `x [H, W, C]` to columns `[OH * OW, KH * KW * C]`; padding becomes zeros.
pub fn im2col(s: &Conv2dShape, x: &[f32], cols: &mut [f32]) {
    let k = s.kh * s.kw * s.c;
    for oy in 0..s.oh {
        for ox in 0..s.ow {
            let row = &mut cols[(oy * s.ow + ox) * k..][..k];
            for (tap, field) in row.chunks_exact_mut(s.c).enumerate() {
                match s.input_pixel(oy, ox, tap / s.kw, tap % s.kw) {
                    Some(pixel) => field.copy_from_slice(&x[pixel * s.c..][..s.c]),
                    None => field.fill(0.0),
                }
            }
        }
    }
}

/// The transpose of [`im2col`]: adds every column entry back onto the pixel it came from, which is the
/// gradient of the copy.
pub fn col2im(s: &Conv2dShape, cols: &[f32], dx: &mut [f32]) {
    let k = s.kh * s.kw * s.c;
    dx.fill(0.0);
    for oy in 0..s.oh {
        for ox in 0..s.ow {
            let row = &cols[(oy * s.ow + ox) * k..][..k];
            for (tap, field) in row.chunks_exact(s.c).enumerate() {
                if let Some(pixel) = s.input_pixel(oy, ox, tap / s.kw, tap % s.kw) {
                    for (dx, f) in dx[pixel * s.c..][..s.c].iter_mut().zip(field) {
                        *dx += f;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `<im2col(x), cols> = <x, col2im(cols)>`: one is the other's transpose.
    #[test]
    fn col2im_is_the_transpose_of_im2col() {
        let s = Conv2dShape::new([1, 5, 6, 2].into(), [1, 3, 2, 2].into(), 2, 1).unwrap();
        let x: Vec<f32> = (0..60).map(|i| (i * 7 % 11) as f32).collect();
        let len = s.oh * s.ow * s.kh * s.kw * s.c;
        let weights: Vec<f32> = (0..len).map(|i| (i * 5 % 13) as f32).collect();
        let (mut cols, mut back) = (vec![f32::NAN; len], vec![f32::NAN; 60]);
        im2col(&s, &x, &mut cols);
        col2im(&s, &weights, &mut back);
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        assert_eq!(dot(&cols, &weights), dot(&x, &back));
    }
}
