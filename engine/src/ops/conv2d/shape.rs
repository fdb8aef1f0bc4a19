//! The extents of one convolution.

use crate::{Error, Result, Shape};

/// Positions of a window of `k` pixels on a side of `n` pixels between two paddings: `(n + 2p - k) / s + 1`. `None` if
/// the window does not fit even once, there is no window or no step, or the padded side has no number.
///
/// ```
/// use engine::ops::extent;
/// assert_eq!(extent(32, 3, 2, 1), Some(16));
/// assert_eq!(extent(2, 5, 1, 1), None);
/// assert_eq!(extent(2, 1, 1, usize::MAX), None); // more than there are numbers for
/// ```
pub fn extent(n: usize, k: usize, stride: usize, padding: usize) -> Option<usize> {
    let padded = padding.checked_mul(2)?.checked_add(n)?;
    let last = padded.checked_sub(k).filter(|_| k > 0)?;
    last.checked_div(stride)?.checked_add(1)
}

/// All extents of a convolution, checked to fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the field's letters, as in the equation
pub struct Conv2dShape {
    pub n: usize,
    pub h: usize,
    pub w: usize,
    pub c: usize,
    pub o: usize,
    pub kh: usize,
    pub kw: usize,
    pub stride: usize,
    pub padding: usize,
    pub oh: usize,
    pub ow: usize,
}

impl Conv2dShape {
    /// From the shapes of `x [N, H, W, C]` and `w [O, KH, KW, C]`.
    ///
    /// # Errors
    /// If they are not of rank 4, an extent other than N is 0, their channels differ, the stride is 0, the kernel is
    /// larger than the padded image, or the padded images, the weights, the result or its windows (im2col) are more than
    /// memory can hold.
    pub fn new(x: Shape, w: Shape, stride: usize, padding: usize) -> Result<Self> {
        let (Some((n, h, width, c)), Some((o, kh, kw, wc))) = (x.nhwc(), w.nhwc()) else {
            let detail = format!("needs x [N, H, W, C] and w [O, KH, KW, C], got {x} and {w}");
            return Err(Error::shape("conv2d", detail));
        };
        if wc != c {
            return Err(Error::shape("conv2d", format!("x {x} has {c} channels but w {w} has {wc}")));
        }
        if [h, width, c, o, kh, kw].contains(&0) {
            let detail = format!("nothing but the number of images may be 0, got x {x} and w {w}");
            return Err(Error::shape("conv2d", detail));
        }
        let (Some(oh), Some(ow)) = (extent(h, kh, stride, padding), extent(width, kw, stride, padding))
        else {
            let detail = format!("w {w} with stride {stride}, padding {padding} does not fit into x {x}");
            return Err(Error::shape("conv2d", detail));
        };
        let images = n.max(1);
        let sizes = [
            [images, h + 2 * padding, width + 2 * padding, c, 1], // which have numbers: `extent` has seen to it
            [o, kh, kw, c, 1],
            [images, oh, ow, o, 1],
            [images, oh * ow, kh, kw, c],
        ];
        // No product may wrap on the way, not even one of two.
        if !Shape::fits_memory(&[oh, ow]) || !sizes.iter().all(|extents| Shape::fits_memory(extents)) {
            let detail =
                format!("x {x}, w {w} with stride {stride}, padding {padding} do not fit into memory");
            return Err(Error::shape("conv2d", detail));
        }
        Ok(Self { n, h, w: width, c, o, kh, kw, stride, padding, oh, ow })
    }

    /// Index of the input pixel under tap `(kh, kw)` of output pixel `(oy, ox)`; `None` in the padding.
    pub fn input_pixel(&self, oy: usize, ox: usize, kh: usize, kw: usize) -> Option<usize> {
        let iy = (oy * self.stride + kh).checked_sub(self.padding).filter(|&y| y < self.h)?;
        let ix = (ox * self.stride + kw).checked_sub(self.padding).filter(|&x| x < self.w)?;
        Some(iy * self.w + ix)
    }

    /// Calls `f` with the places in `x` and `w` of every product that belongs to element `i` of `y`.
    pub fn for_each_product(&self, i: usize, mut f: impl FnMut(usize, usize)) {
        let (x_len, _, k) = self.lens();
        let (n, oy, ox, o) = (
            i / self.o / self.ow / self.oh,
            i / self.o / self.ow % self.oh,
            i / self.o % self.ow,
            i % self.o,
        );
        for (kh, kw) in (0..self.kh).flat_map(|kh| (0..self.kw).map(move |kw| (kh, kw))) {
            let Some(pixel) = self.input_pixel(oy, ox, kh, kw) else { continue };
            for c in 0..self.c {
                f(n * x_len + pixel * self.c + c, o * k + (kh * self.kw + kw) * self.c + c);
            }
        }
    }

    /// Floats of one input image, of one output image, and length `K = KH * KW * C` of one filter.
    pub fn lens(&self) -> (usize, usize, usize) {
        (self.h * self.w * self.c, self.oh * self.ow * self.o, self.kh * self.kw * self.c)
    }

    /// Shape of the result, `[N, OH, OW, O]`.
    pub fn y(&self) -> Shape {
        Shape::new(&[self.n, self.oh, self.ow, self.o])
    }

    /// Multiply-adds of one image, padding included: `OH * OW * O * K`.
    pub fn multiply_adds(&self) -> usize {
        self.oh * self.ow * self.o * self.kh * self.kw * self.c
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        let refuse = |x: [usize; 4], w: [usize; 4]| {
            Conv2dShape::new(x.into(), w.into(), 1, 0).unwrap_err().to_string()
        };
        assert_eq!(
            refuse([1, 8, 8, 3], [16, 3, 3, 4]),
            "conv2d: x [1, 8, 8, 3] has 3 channels but w [16, 3, 3, 4] has 4"
        );
        assert!(refuse([1, 2, 2, 3], [16, 3, 3, 3]).contains("does not fit into"));
    }

    /// Sixteen numbers are no image of `2^60 + 1` pixels of sixteen, though their product wraps to sixteen.
    #[test]
    fn what_memory_cannot_hold_is_refused() {
        let huge = usize::MAX / 16 + 2;
        assert!(crate::Tensor::from_vec([1, huge, 1, 16], vec![0.0; 16]).is_err());
        let refused = |x: [usize; 4], w: [usize; 4], stride, padding| {
            let result = Conv2dShape::new(x.into(), w.into(), stride, padding);
            result.is_err_and(|e| e.to_string().contains("do not fit into memory"))
        };
        assert!(refused([1, huge, 1, 16], [16, 1, 1, 16], 1, 0));
        assert!(refused([1, 1, 1, 32], [16, 1, 1, 32], huge / 32, huge / 2));
        assert!(refused([1, huge / 4, huge / 4, 1], [1, 1, 1, 1], huge / 4, 0));
        assert!(
            !refused([0, 224, 224, 3], [64, 7, 7, 3], 2, 3)
                && !refused([512, 224, 224, 64], [64, 3, 3, 64], 1, 1)
        );
    }
}
