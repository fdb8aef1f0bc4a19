//! Gradients of the convolution:
//!
//! `dx[n, iy, ix, c] = sum over o, kh, kw with oy s + kh - p = iy, ox s + kw - p = ix of dy[n, oy, ox, o] w[o, kh, kw, c]`
//! `dw[o, kh, kw, c] = sum over n, oy, ox of dy[n, oy, ox, o] x[n, oy s + kh - p, ox s + kw - p, c]`
//! `db[o]            = sum over n, oy, ox of dy[n, oy, ox, o]`

use super::pass::{self, Gradients, Group, Operands};
use super::{Algorithm, Conv2dShape};
use crate::Tensor;

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
        dx: needs[0].then(|| pass::input_grad(algorithm, shape, w.data())),
        dw: needs[1].then(|| pass::weight_grad(algorithm, shape)),
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

/// Both gradients by their definition, summed in `f64`.
pub fn conv2d_backward_ref(s: &Conv2dShape, x: &Tensor, w: &Tensor, dy: &Tensor) -> (Tensor, Tensor) {
    let (x_len, _, k) = s.lens();
    let (mut dx, mut dw) = (vec![0.0f64; x.len()], vec![0.0f64; w.len()]);
    for (i, &dy) in dy.data().iter().enumerate() {
        let (n, oy, ox, o) = (i / s.o / s.ow / s.oh, i / s.o / s.ow % s.oh, i / s.o % s.ow, i % s.o);
        for (kh, kw) in (0..s.kh).flat_map(|kh| (0..s.kw).map(move |kw| (kh, kw))) {
            let Some(pixel) = s.input_pixel(oy, ox, kh, kw) else { continue };
            for c in 0..s.c {
                let (xi, wi) = (n * x_len + pixel * s.c + c, o * k + (kh * s.kw + kw) * s.c + c);
                dx[xi] += f64::from(dy) * f64::from(w.data()[wi]);
                dw[wi] += f64::from(dy) * f64::from(x.data()[xi]);
            }
        }
    }
    (Tensor::from_fn(x.shape(), |i| dx[i] as f32), Tensor::from_fn(w.shape(), |i| dw[i] as f32))
}
