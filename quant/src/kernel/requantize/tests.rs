//! The epilogue against eq 7 in 128 bits, on every kernel: any number of columns and channels, one plane or two of
//! everything, one output or two. What lies between the codes must stay as it was.

mod edges;

use engine::rng::{Purpose, Rng};

use super::super::pack::Panels;
use super::super::tests::available_kernels;
use super::super::{K_GROUP, Layer, MicroKernel, NR, Scratch, sweep_ref};
use super::*;
use crate::requantize::{Bounds, RealMap};

/// An image of `channels` inside a border, with room between the pixels.
fn place(rng: &mut Rng, rows: usize, cols: usize, channels: usize) -> (Place, usize) {
    let (step, border) = (channels + rng.below(9), rng.below(3));
    let row = (cols + 2 * border) * step;
    (Place { start: border * (row + step), row, step }, (rows + 2 * border) * row)
}

fn random_plane(rng: &mut Rng, len: usize) -> Plane {
    let mut plane = Plane::new(len, 0);
    plane.iter_mut().for_each(|byte| *byte = rng.next_u32() as u8);
    plane
}

fn check(kernel: &MicroKernel, rng: &mut Rng, scratch: &mut Scratch) {
    let [rows, cols, channels] = [1 + rng.below(5), 1 + rng.below(40), 1 + rng.below(70)];
    let k = K_GROUP * (1 + rng.below(4));
    let most = kernel.max_weight;
    let w: Vec<i8> = (0..channels * k).map(|_| (rng.below(2 * most as usize) as i32 - most) as i8).collect();
    let panels = Panels::new(kernel.layout, channels, 1, k, |o, _, i| w[o * k + i]);
    let codes: Vec<Plane> = (0..1 + rng.below(2)).map(|_| random_plane(rng, rows * cols * k)).collect();
    let planes: Vec<&[u8]> = codes.iter().map(|plane| &plane[..]).collect();
    let layer =
        Layer { rows, cols, row_step: cols * k, ..Layer::product(&planes, cols, k / K_GROUP, &panels) };

    let (residual_place, len) = place(rng, rows, cols, channels);
    let residual: Vec<Plane> = (0..rng.below(3)).map(|_| random_plane(rng, len)).collect();
    let largest = |planes: usize| (1i64 << (8 * planes)) - 1;
    let bounds = Bounds::new(
        vec![largest(planes.len()) * i64::from(most) * k as i64; channels],
        largest(residual.len()),
    );
    let (mut outputs, mut eq7, mut written, mut wanted) = (vec![], vec![], vec![], vec![]);
    for _ in 0..1 + rng.below(2) {
        let count = 1 + rng.below(2);
        // Codes from below `lo` to above `hi`, now and then with multipliers that shift left.
        let unit = if rng.below(8) == 0 { 1.2 } else { 3.0 * largest(count) as f64 / bounds.acc[0] as f64 };
        let mut number = || f64::from(rng.normal());
        let map = RealMap {
            per_acc: (0..channels).map(|_| unit.min(1.2) * number().clamp(-1.0, 1.0)).collect(),
            per_residual: (!residual.is_empty()).then(|| 0.3 * number()),
            offset: (0..channels).map(|_| 100.0 * number()).collect(),
        };
        let lo = rng.below(9) as i32;
        let hi = largest(count) as i32 - rng.below(240) as i32;
        let q = Requantize::new(&map, &bounds, lo, hi).unwrap();
        let (place, len) = place(rng, rows, cols, channels);
        outputs.push(Output { q: PackedRequantize::new(&q, &vec![0; channels]), place });
        eq7.push(q);
        written.push((0..count).map(|_| Plane::new(len, 0xAA)).collect::<Vec<_>>());
        wanted.push(vec![vec![0xAA; len]; count]);
    }

    let (sums, width) = (sweep_ref(&layer), panels.count() * NR);
    let read = |planes: &[Plane], at: usize| {
        planes.iter().rev().fold(0, |code, plane| code << 8 | i64::from(plane[at]))
    };
    for (position, channel) in (0..rows * cols).flat_map(|p| (0..channels).map(move |c| (p, c))) {
        let (y, x) = (position / cols, position % cols);
        let sum = |plane: usize| sums[(plane * rows * cols + position) * width + channel];
        let acc = (0..planes.len()).map(|plane| sum(plane) << (8 * plane)).sum();
        let r = read(&residual, residual_place.at(y, x) + channel);
        for ((output, q), wanted) in outputs.iter().zip(&eq7).zip(&mut wanted) {
            let code = q.apply_ref(channel, acc, r);
            for (p, plane) in wanted.iter_mut().enumerate() {
                plane[output.place.at(y, x) + channel] = (code >> (8 * p)) as u8;
            }
        }
    }
    let residual = (!residual.is_empty()).then_some(Residual { planes: &residual, place: residual_place });
    let mut epilogue =
        RequantizeEpilogue { outputs: &outputs, planes: &mut written, residual, cols, channels };
    kernel.sweep(&layer, scratch, &mut epilogue);
    for (got, wanted) in written.iter().flatten().zip(wanted.iter().flatten()) {
        assert!(got[..] == wanted[..], "{}: {rows}x{cols}x{channels}, k {k}", kernel.name);
    }
}

#[test]
fn every_kernel_requantizes_as_the_formula_does() {
    for kernel in available_kernels() {
        let (mut rng, mut scratch) = (Rng::at(5, Purpose::Test, 0, 0), Scratch::default());
        for _ in 0..300 {
            check(kernel, &mut rng, &mut scratch);
        }
    }
}
