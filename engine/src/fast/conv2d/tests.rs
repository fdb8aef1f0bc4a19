//! Every algorithm, on every instruction set this machine has, against the definition.

use super::*;
use crate::kernel::Isa;
use crate::ops::gradient_check::{check, wave};
use crate::ops::{conv2d_backward_ref, conv2d_ref};

/// `(n, h, w, c, o, kernel, stride, padding)`: the layers of a ResNet, and shapes that fit nothing.
const SHAPES: [[usize; 8]; 16] = [
    [19, 4, 8, 16, 32, 3, 1, 1],
    [2, 12, 4, 48, 16, 3, 1, 1],
    [2, 32, 32, 3, 16, 3, 1, 1],
    [1, 32, 32, 16, 16, 3, 1, 1],
    [1, 32, 32, 16, 32, 3, 2, 1],
    [1, 32, 32, 16, 32, 1, 2, 0],
    [1, 16, 16, 32, 32, 3, 1, 1],
    [1, 16, 16, 32, 64, 3, 2, 1],
    [3, 8, 8, 64, 64, 3, 1, 1],
    [2, 9, 7, 16, 48, 3, 2, 1],
    [17, 5, 6, 16, 16, 3, 1, 0],
    [1, 6, 11, 5, 7, 3, 1, 0],
    [2, 7, 7, 32, 16, 5, 3, 2],
    [1, 8, 8, 16, 16, 2, 2, 0],
    [1, 5, 5, 16, 16, 1, 3, 0],
    [1, 4, 4, 16, 16, 3, 1, 2],
];

fn algorithms() -> Vec<Algorithm> {
    for name in Isa::ALL {
        if Isa::find(name).is_none() {
            eprintln!("SKIPPED: this machine has no {name}");
        }
    }
    let fast = Isa::available().flat_map(|isa| [Algorithm::Direct(isa), Algorithm::Winograd(isa)]);
    [Algorithm::Im2col].into_iter().chain(fast).collect()
}

/// `|a - b| <= 4e-6 * max|b|` (Winograd: 2e-5, the price of its transforms) for sums of up to a few thousand products.
fn assert_close(algorithm: Algorithm, what: &str, got: &Tensor, expected: &Tensor) {
    let scale = expected.data().iter().fold(1e-3f32, |m, v| m.max(v.abs()));
    let bound = if matches!(algorithm, Algorithm::Winograd(_)) { 2e-5 } else { 4e-6 } * scale;
    let what = format!("{what} {algorithm:?}");
    for (i, (a, b)) in got.data().iter().zip(expected.data()).enumerate() {
        assert!((a - b).abs() <= bound, "{what}: element {i} is {a}, expected {b} (bound {bound})");
    }
}

#[test]
fn every_algorithm_equals_the_definition() {
    for [n, h, w, c, o, k, stride, padding] in SHAPES {
        let (x, wt, b) = (wave([n, h, w, c], 1), wave([o, k, k, c], 2), wave([o], 3));
        let s = Conv2dShape::new(x.shape(), wt.shape(), stride, padding).unwrap();
        let dy = wave(s.y(), 4);
        let y_ref = conv2d_ref(&s, &x, &wt, Some(&b));
        let (dx_ref, dw_ref) = conv2d_backward_ref(&s, &x, &wt, &dy);
        for algorithm in algorithms() {
            let y = conv2d_forward(algorithm, &s, &x, &wt, Some(&b)).unwrap();
            assert_close(algorithm, &format!("y {s:?}"), &y, &y_ref);
            let grads = conv2d_backward(algorithm, &s, &x, &wt, &dy, [true, true]);
            assert_close(algorithm, &format!("dx {s:?}"), &grads.dx.unwrap(), &dx_ref);
            assert_close(algorithm, &format!("dw {s:?}"), &grads.dw.unwrap(), &dw_ref);
        }
    }
}

#[test]
fn the_same_bits_for_any_number_of_threads() {
    let (x, w) = (wave([19, 8, 8, 16], 1), wave([16, 3, 3, 16], 2));
    let s = Conv2dShape::new(x.shape(), w.shape(), 1, 1).unwrap();
    let dy = wave(s.y(), 3);
    for algorithm in algorithms() {
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| conv2d_backward(algorithm, &s, &x, &w, &dy, [true, true]).dw.unwrap())
        };
        let one = run(1);
        assert_eq!(one, run(2), "{algorithm:?}");
        assert_eq!(one, run(7), "{algorithm:?}");
    }
}

#[test]
fn gradients_equal_finite_differences() {
    let inputs = [wave([2, 4, 5, 2], 1), wave([3, 3, 3, 2], 2), wave([3], 3)];
    check(&inputs, 2e-3, |tape, v| {
        conv2d(tape, Algorithm::default(), v[0], v[1], Some(v[2]), [2, 1]).unwrap()
    });
}
