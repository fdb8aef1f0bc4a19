//! Where the windows of a convolution lie in its padded image.

use engine::ops::extent;
use engine::{Error, Result};

use super::PackedWeights;

/// Codes that one padded image may have: nobody means more.
const LARGEST: usize = 1 << 31;

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
        let padded = |n: usize| padding.checked_mul(2).and_then(|border| border.checked_add(n));
        let codes = padded(image.h).zip(padded(image.w)).and_then(|(h, w)| h.checked_mul(w)?.checked_mul(c));
        if [image.h, image.w].contains(&0) || codes.is_none_or(|codes| codes > LARGEST) {
            let detail = format!(
                "an image of {}x{}x{c} with a padding of {padding} has no pixels, or more than {LARGEST} codes",
                image.h, image.w
            );
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
