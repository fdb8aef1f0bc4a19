//! The algorithms of a convolution, and which of them computes a shape. Whichever is taken, the plain function is
//! [`ops::conv2d`](crate::ops::conv2d()).

use super::pass::{ImagePass, SumPass};
use super::{direct, general, winograd};
use crate::kernel::Isa;
use crate::ops::Conv2dShape;

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

/// `y = conv(x, w)`.
pub(crate) fn forward<'a>(algorithm: Algorithm, s: &Conv2dShape, w: &'a [f32]) -> Box<dyn ImagePass + 'a> {
    match algorithm {
        Algorithm::Winograd(isa) if winograd::fits(isa, s) => Box::new(winograd::forward(isa, s, w)),
        Algorithm::Direct(isa) | Algorithm::Winograd(isa) if direct::fits_forward(isa, s) => {
            Box::new(direct::Forward::new(isa, s, w))
        }
        _ => Box::new(general::Forward { shape: *s, w }),
    }
}

/// `dx` from `dy`.
pub(crate) fn input_grad<'a>(algorithm: Algorithm, s: &Conv2dShape, w: &'a [f32]) -> Box<dyn ImagePass + 'a> {
    match algorithm {
        Algorithm::Winograd(isa) if winograd::fits(isa, s) => Box::new(winograd::input_grad(isa, s, w)),
        Algorithm::Direct(isa) | Algorithm::Winograd(isa) if direct::fits_backward(isa, s) => {
            Box::new(direct::InputGrad::new(isa, s, w))
        }
        _ => Box::new(general::InputGrad { shape: *s, w }),
    }
}

/// `dw` from `x` and `dy`.
pub(crate) fn weight_grad(algorithm: Algorithm, s: &Conv2dShape) -> Box<dyn SumPass> {
    match algorithm {
        Algorithm::Winograd(isa) if winograd::fits(isa, s) => {
            Box::new(winograd::WeightGrad { isa, shape: *s })
        }
        Algorithm::Direct(isa) | Algorithm::Winograd(isa) if direct::fits_forward(isa, s) => {
            Box::new(direct::SumOverImages { isa, shape: *s })
        }
        _ => Box::new(general::WeightGrad { shape: *s }),
    }
}
