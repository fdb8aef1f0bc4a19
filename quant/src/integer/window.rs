//! Where the windows of a convolution lie in its padded image.

use engine::ops::extent;
use engine::{Error, Result};

use super::PackedWeights;

/// The extents of one image.
#[derive(Clone, Copy)]
pub(super) struct Image {
    pub h: usize,
    pub w: usize,
    pub c: usize,
}

/// Where the windows lie in the padded image.
#[derive(Clone, Copy)]
pub(super) struct Window {
    pub(super) image: Image,
    pub(super) stride: usize,
    pub(super) padding: usize,
    pub(super) oh: usize,
    pub(super) ow: usize,
}

impl Window {
    pub(super) fn new(w: &PackedWeights, image: Image, stride: usize, padding: usize) -> Result<Self> {
        let [_, kh, kw, c] = w.dims;
        if c != image.c {
            let detail = format!("weights {:?} take {c} channels, the activations have {}", w.dims, image.c);
            return Err(Error::shape("conv2d", detail));
        }
        let side = |n: usize, k: usize| extent(n, k, stride, padding);
        let (Some(oh), Some(ow)) = (side(image.h, kh), side(image.w, kw)) else {
            let detail = format!(
                "a {kh}x{kw} window with stride {stride} and padding {padding} does not fit {}x{}",
                image.h, image.w
            );
            return Err(Error::shape("conv2d", detail));
        };
        Ok(Self { image, stride, padding, oh, ow })
    }
}
