//! Gradients of the convolution; they equal [`conv2d_backward_ref`](crate::ops::conv2d_backward_ref) up to rounding
//! (`tests.rs` states the bound).

use super::algorithm::{self, Algorithm};
use super::batch::{Gradients, Group, Operands};
use crate::Tensor;
use crate::ops::Conv2dShape;

/// Gradients of a convolution; absent where nobody wanted them.
pub struct Conv2dGrads {
    /// `[N, H, W, C]`.
    pub dx: Option<Tensor>,
    /// `[O, KH, KW, C]`.
    pub dw: Option<Tensor>,
}

/// `dx` (if `needs[0]`) and `dw` (if `needs[1]`) from `dy [N, OH, OW, O]`.
pub fn conv2d_backward(
    algorithm: Algorithm,
    shape: &Conv2dShape,
    x: &Tensor,
    w: &Tensor,
    dy: &Tensor,
    needs: [bool; 2],
) -> Conv2dGrads {
    let gradients = Gradients {
        dx: needs[0].then(|| algorithm::input_grad(algorithm, shape, w.data())),
        dw: needs[1].then(|| algorithm::weight_grad(algorithm, shape)),
    };
    let mut dx = needs[0].then(|| Tensor::scratch(x.shape()));
    let mut dw = needs[1].then(|| Tensor::scratch(w.shape()));
    let operands = InMemory { shape, x: x.data(), dy: dy.data() };
    gradients.run(shape, &operands, dx.as_mut(), dw.as_mut());
    Conv2dGrads { dx, dw }
}

/// Operands that are there as a whole.
struct InMemory<'a> {
    shape: &'a Conv2dShape,
    x: &'a [f32],
    dy: &'a [f32],
}

impl Operands for InMemory<'_> {
    fn with(&self, group: Group, with: &mut dyn FnMut(&[f32], &[f32])) {
        let (x_len, y_len, _) = self.shape.lens();
        with(group.of(self.x, x_len), group.of(self.dy, y_len));
    }
}

/// `db[o] = sum over all pixels of dy[.., o]`.
pub(super) fn bias_grad(dy: &Tensor) -> Tensor {
    let o = dy.shape().last();
    let mut db = vec![0.0f64; o];
    for pixel in dy.data().chunks_exact(o) {
        for (db, &dy) in db.iter_mut().zip(pixel) {
            *db += f64::from(dy);
        }
    }
    Tensor::from_fn([o], |o| db[o] as f32)
}
