//! The extents of one convolution.

use crate::{Error, Result, Shape};

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
    /// If they are not of rank 4, their channels differ, the stride is 0, or the kernel is larger than the
    /// padded image.
    pub fn new(x: Shape, w: Shape, stride: usize, padding: usize) -> Result<Self> {
        let (Some((n, h, width, c)), Some((o, kh, kw, wc))) = (x.nhwc(), w.nhwc()) else {
            let detail = format!("needs x [N, H, W, C] and w [O, KH, KW, C], got {x} and {w}");
            return Err(Error::shape("conv2d", detail));
        };
        if wc != c {
            return Err(Error::shape("conv2d", format!("x {x} has {c} channels but w {w} has {wc}")));
        }
        let (padded_h, padded_w) = (h + 2 * padding, width + 2 * padding);
        if stride == 0 || kh == 0 || kw == 0 || padded_h < kh || padded_w < kw {
            let detail = format!("w {w} with stride {stride}, padding {padding} does not fit into x {x}");
            return Err(Error::shape("conv2d", detail));
        }
        let (oh, ow) = ((padded_h - kh) / stride + 1, (padded_w - kw) / stride + 1);
        Ok(Self { n, h, w: width, c, o, kh, kw, stride, padding, oh, ow })
    }

    /// Index of the input pixel under tap `(kh, kw)` of output pixel `(oy, ox)`; `None` in the padding.
    pub fn input_pixel(&self, oy: usize, ox: usize, kh: usize, kw: usize) -> Option<usize> {
        let iy = (oy * self.stride + kh).checked_sub(self.padding).filter(|&y| y < self.h)?;
        let ix = (ox * self.stride + kw).checked_sub(self.padding).filter(|&x| x < self.w)?;
        Some(iy * self.w + ix)
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
