//! What an answer must satisfy. Each check takes the function and panics where it is wrong, or not written yet.

use engine::{Tape, Tensor};
use quant::integer::bound::{accumulator_bound, fits_i32};
use quant::numbers::uniform::quantize_value;
use quant::scale::Sample;
use quant::scale::code_sweep::best_scale;
use quant::training::fake_quantize::fake_quantize_on;
use quant::{Grid, MovingAverage, QParams, Range, Ste, StepGradient};

use crate::Answer;

fn solved<T>(answer: Answer<T>) -> T {
    answer.expect("write the function first: docs/exercises/src")
}

/// Against central differences.
pub fn sigmoid_gradient(f: impl Fn(f32, f32) -> Answer<f32>) {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    for x in [-4.0, -1.0, -0.1, 0.0, 0.7, 3.0f64] {
        let slope = (sigmoid(x + 1e-4) - sigmoid(x - 1e-4)) / 2e-4;
        let dx = f64::from(solved(f(sigmoid(x) as f32, 3.0)));
        assert!((dx - 3.0 * slope).abs() < 1e-5, "x = {x}: {dx} instead of {}", 3.0 * slope);
    }
}

/// Against the library, ties included.
pub fn code(f: impl Fn(f32, f32, i32, u32, bool) -> Answer<i32>) {
    for (bits, signed) in [(1, true), (2, true), (4, true), (8, true), (2, false), (8, false), (16, false)] {
        let grid = Grid::new(bits, signed).expect("1 to 16 bits");
        for z in [-3, 0, 5] {
            for i in -200..200 {
                let x = i as f32 * 0.125; // every fourth is a tie
                let (code, right) = (solved(f(x, 0.5, z, bits, signed)), quantize_value(x, 0.5, z, grid));
                assert_eq!(code, right.expect("a number"), "x = {x}, z = {z}, {bits} bits, signed: {signed}");
            }
        }
    }
}

fn numbers() -> Vec<f64> {
    (0..200).map(|i| (f64::from(i) * 0.7).sin().powi(3) * (1.0 + f64::from(i % 7))).collect()
}

/// No scale nearby is better for the same codes.
pub fn best_scale_for_codes(f: impl Fn(&[f64], &[f64]) -> Answer<f64>) {
    let x = numbers();
    let k: Vec<f64> = x.iter().map(|x| (x / 0.9).round().clamp(-4.0, 3.0)).collect();
    let error = |s: f64| x.iter().zip(&k).map(|(x, k)| (x - s * k).powi(2)).sum::<f64>();
    let s = solved(f(&x, &k));
    for factor in [0.9, 0.999, 1.001, 1.1] {
        assert!(error(s) < error(s * factor), "{} is a better scale than {s}", s * factor);
    }
}

/// The end is a scale at which neither turn helps, no worse than the start and no better than the optimum.
pub fn descend(f: impl Fn(&[f64], f64, [f64; 2]) -> Answer<f64>) {
    let x = numbers();
    let code = |x: f64, s: f64| (x / s).round_ties_even().clamp(-4.0, 3.0);
    let error = |s: f64| x.iter().map(|&x| (x - s * code(x, s)).powi(2)).sum::<f64>();
    let floats: Vec<f32> = x.iter().map(|&x| x as f32).collect();
    let grid = Grid::signed(3).expect("3 bits");
    let optimum = best_scale(&Sample::new(&floats), grid).expect("not all zero");
    for start in [0.4, 0.9, 1.7] {
        let s = solved(f(&x, start, [-4.0, 3.0]));
        let k: Vec<f64> = x.iter().map(|&x| code(x, s)).collect();
        let sum = |a: &[f64]| a.iter().zip(&k).map(|(a, k)| a * k).sum::<f64>();
        let again = sum(&x) / sum(&k);
        assert!(
            (again - s).abs() < 1e-9,
            "from {start} it ends at {s}, whose codes have the best scale {again}"
        );
        assert!(error(s) <= error(start) && error(s) >= error(optimum) * (1.0 - 1e-5), "{start}: {s}");
    }
}

/// Against the library's operation on a tape.
pub fn clipped_gradient(f: impl Fn(f32, f32, f32, i32, [i32; 2]) -> Answer<f32>) {
    for (grid, z) in [(Grid::signed(2), 0), (Grid::unsigned(3), 0), (Grid::unsigned(3), -2)] {
        let grid = grid.expect("few bits");
        let q = QParams::per_tensor(grid, 0.5, z).expect("a scale");
        let x: Vec<f32> = (-40..40).map(|i| i as f32 * 0.1).collect();
        let mut tape = Tape::new();
        let leaf = tape.leaf(Tensor::from_vec([80], x.clone()).expect("80 numbers"), true);
        let y = fake_quantize_on(&mut tape, leaf, &q, Ste::Clipped).expect("numbers");
        tape.backward(y, Tensor::full([80], 2.0)).expect("the shape of y");
        let right = tape.grad(leaf).expect("a gradient").data();
        for (&x, &right) in x.iter().zip(right) {
            let dx = solved(f(x, 2.0, 0.5, z, [grid.qmin, grid.qmax]));
            assert_eq!(dx, right, "x = {x}, z = {z}, codes {}..={}", grid.qmin, grid.qmax);
        }
    }
}

/// The example of the chapter, and the library's opinion about 32 bits.
pub fn accumulator_bits(f: impl Fn(u64, &[i8], i64) -> Answer<u32>) {
    assert_eq!(solved(f(255, &[-128; 576], 0)), 26, "the deepest layer of a ResNet-20");
    assert_eq!(solved(f(1, &[1], 0)), 2, "-1, 0 and 1");
    for x in [1, 255, 65_535u64] {
        for n in [1, 500, 600, 65_793, 66_000] {
            let bits = solved(f(x, &vec![-128; n], -1000));
            let bound = accumulator_bound(x as i64, 128 * n as i64, -1000);
            assert_eq!(bits <= 32, fits_i32(bound), "{n} weights, activations to {x}: {bits} bits");
        }
    }
}

/// Against the library's observer.
pub fn maximum_after(f: impl Fn(&[f32], f32) -> Answer<f32>) {
    let batches = [3.0, 4.0, 2.0, 30.0, 3.5, 3.0];
    for n in 1..=batches.len() {
        let mut average = MovingAverage::new(0.9, None);
        batches[..n].iter().for_each(|&max| average.update(Range { min: 0.0, max }));
        let right = quant::Observer::range(&average).expect("batches were seen").max;
        let max = solved(f(&batches[..n], 0.9));
        assert!((max - right).abs() < 1e-5, "after {n} batches {max} instead of {right}");
    }
}

/// Against all combinations.
pub fn widths_at_price(f: impl Fn(&[Vec<[f64; 2]>], f64) -> Answer<Vec<usize>>) {
    let layers = [1000.0, 100.0].map(|n| vec![[n / 4.0, 1.0], [n / 2.0, 0.2], [n, 0.0]]);
    for lambda in [0.0, 50.0, 400.0, 1500.0, 1e6] {
        let cost = |l: usize, i: usize| layers[l][i][0] + lambda * layers[l][i][1];
        let all = (0..3).flat_map(|i| (0..3).map(move |j| (i, j))).map(|(i, j)| cost(0, i) + cost(1, j));
        let chosen = solved(f(&layers, lambda));
        let total: f64 = chosen.iter().enumerate().map(|(l, &i)| cost(l, i)).sum();
        assert_eq!((chosen.len(), total), (2, all.fold(f64::INFINITY, f64::min)), "at {lambda}: {chosen:?}");
    }
}

/// An affine change is undone.
pub fn corrected(f: impl Fn([f64; 2], [f64; 2], [f64; 2]) -> Answer<[f64; 2]>) {
    // y_q = 2 y - 1 on a sample of mean 0.5 and variance 3, of a channel whose stored statistics are 0.25 and 4.
    let [mean, var] = solved(f([0.25, 4.0], [0.5, 3.0], [0.0, 12.0]));
    assert!((mean + 0.25).abs() < 1e-12 && (var - 16.0).abs() < 1e-12, "{mean}, {var}");
    let [mean, var] = solved(f([0.25, 4.0], [0.5, 3.0], [0.75, 0.0]));
    assert_eq!([mean, var], [0.5, 4.0], "a constant channel keeps its variance");
    let [mean, var] = solved(f([0.25, 4.0], [0.5, 0.0], [0.75, 3.0]));
    assert_eq!([mean, var], [0.5, 4.0], "so does one that rounding alone makes vary");
}

/// At the bound, and one beyond it.
pub fn is_exact(f: impl Fn(u64, &[i8]) -> Answer<bool>) {
    assert!(solved(f(15, &[-8; 576])), "W4A4");
    assert!(!solved(f(255, &[-128; 576])), "W8A8 in the worst case");
    assert!(solved(f(1 << 17, &[-128])) && !solved(f((1 << 17) + 1, &[127, 1])), "the bound itself");
    assert!(solved(f(255, &[3, -5, 7])), "signs do not matter");
}

/// Against the library.
pub fn step_gradient(f: impl Fn(f32, f32, [i32; 2]) -> Answer<f32>) {
    for grid in [Grid::signed(2), Grid::unsigned(2), Grid::signed(4)].map(|grid| grid.expect("few bits")) {
        for x in (-60..60).map(|i| i as f32 * 0.1) {
            let right = StepGradient::Lsq.of(x, 0.4, grid);
            let ds = solved(f(x, 0.4, [grid.qmin, grid.qmax]));
            assert!((ds - right).abs() < 1e-6, "x = {x}, codes {}..={}: {ds}, {right}", grid.qmin, grid.qmax);
        }
    }
}
