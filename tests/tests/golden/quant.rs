//! Quantizers against float64, integer convolutions against exact integers.

use engine::Tensor;
use quant::integer::conv2d::integer_conv2d_with;
use quant::kernel::KERNELS;
use quant::scale::{Optimum, Sample, optimum};
use quant::{
    Accumulators, Grid, IntTensor, PackedWeights, QParams, ScaleRule, get_scale, linear_dequantize,
    linear_quantize,
};

use crate::fixture::Golden;

fn vector(x: Vec<f32>) -> Tensor {
    Tensor::from_vec([x.len()], x).unwrap()
}

fn close(what: &str, got: f64, want: f64, relative: f64) {
    assert!((got - want).abs() <= relative * want.abs(), "{what}: {got} instead of {want}");
}

/// `(case, vector name, bits)` of every entry of the metadata.
fn cases(golden: &Golden) -> Vec<(String, String, u32, serde_json::Value)> {
    let table = golden.json("scales_and_mse");
    let cases: Vec<_> = table
        .as_object()
        .unwrap()
        .iter()
        .map(|(case, numbers)| {
            let (name, bits) = case.rsplit_once('.').unwrap();
            (case.clone(), name.to_owned(), bits.parse().unwrap(), numbers.clone())
        })
        .collect();
    assert!(!cases.is_empty());
    cases
}

#[test]
fn symmetric_codes_scale_and_mse() {
    let golden = Golden::open("quant");
    for (case, name, bits, numbers) in cases(&golden) {
        let x = vector(golden.f32(&format!("{name}.x")));
        let s = get_scale(&x, bits, ScaleRule::SYMMETRIC, true).unwrap();
        close(&case, f64::from(s), numbers["sym_scale"].as_f64().unwrap(), 1e-7);
        let q = QParams::per_tensor(Grid::signed(bits).unwrap(), s, 0).unwrap();
        let codes = linear_quantize::<i32>(&x, &q).unwrap();
        assert_eq!(codes.data(), golden.i32(&format!("{case}.sym.x_int")), "{case}");
        let mse = quant::numbers::analysis::error_report(&x, &q).unwrap().mse;
        close(&case, mse, numbers["sym_mse"].as_f64().unwrap(), 1e-5);
    }
}

#[test]
fn sawb_scale_and_mse() {
    let golden = Golden::open("quant");
    for (case, name, bits, numbers) in cases(&golden) {
        let x = vector(golden.f32(&format!("{name}.x")));
        let s = get_scale(&x, bits, ScaleRule::SAWB, true).unwrap();
        close(&case, f64::from(s), numbers["sawb_scale"].as_f64().unwrap(), 1e-6);
        let q = QParams::per_tensor(Grid::signed(bits).unwrap(), s, 0).unwrap();
        let mse = quant::numbers::analysis::error_report(&x, &q).unwrap().mse;
        close(&case, mse, numbers["sawb_mse"].as_f64().unwrap(), 1e-4);
    }
}

#[test]
fn heuristic_is_within_a_thousandth_of_the_brute_force_best() {
    let golden = Golden::open("quant");
    for (case, name, bits, numbers) in cases(&golden) {
        let x = vector(golden.f32(&format!("{name}.x")));
        let grid = Grid::signed(bits).unwrap();
        let s = get_scale(&x, bits, ScaleRule::HEURISTIC, true).unwrap();
        let mse = quant::numbers::analysis::error_report(&x, &QParams::per_tensor(grid, s, 0).unwrap())
            .unwrap()
            .mse;
        let Optimum { scale: best_s, mse: best, .. } = optimum(&Sample::new(x.data()), grid);
        let published = numbers["best_mse"].as_f64().unwrap();
        println!("{case}: heuristic {s} {mse}, optimum {best_s} {best}, published {published}");
        assert!(mse <= published * 1.001, "{case}: {mse} against {published}");
        assert!(mse <= best * 1.001, "{case}: {mse} against {best}");
        assert!(best <= published * 1.000_01, "{case}: brute force {best} against {published}");
    }
}

#[test]
fn affine_codes_and_restored_values() {
    let golden = Golden::open("quant");
    let mut seen = 0;
    // Keys look like `affine.z-5.b8.u.x`.
    for key in golden.keys().iter().filter(|k| k.starts_with("affine.") && k.ends_with(".x")) {
        let case = key.strip_suffix(".x").unwrap();
        let parts: Vec<&str> = case.split('.').collect();
        let z: i32 = parts[1][1..].parse().unwrap();
        let grid = Grid::new(parts[2][1..].parse().unwrap(), parts[3] == "s").unwrap();
        let (x_int, x_hat) = (golden.i32(&format!("{case}.x_int")), golden.f32(&format!("{case}.x_hat")));
        // The scale is not stored: eq 3 gives it back.
        let (&k, &v) = x_int.iter().zip(&x_hat).max_by_key(|(k, _)| (*k + z).abs()).unwrap();
        let s = v / (k + z) as f32;
        let q = QParams::per_tensor(grid, s, z).unwrap();
        let codes = linear_quantize::<i32>(&vector(golden.f32(key)), &q).unwrap();
        assert_eq!(codes.data(), x_int, "{case}");
        for (got, want) in linear_dequantize(&codes, &q).unwrap().data().iter().zip(x_hat) {
            close(case, f64::from(*got), f64::from(want), 1e-6);
        }
        seen += 1;
    }
    assert!(seen > 0);
}

/// `[O, C, KH, KW]` (or `[N, C, H, W]`) to channels last.
fn channels_last<T: Copy>(dims: &[usize], x: &[T]) -> (Vec<usize>, Vec<T>) {
    let &[n, c, h, w] = dims else { panic!("rank 4") };
    let at = |i: usize| x[((i / (h * w * c) * c + i % c) * h + i / (w * c) % h) * w + i / c % w];
    (vec![n, h, w, c], (0..n * c * h * w).map(at).collect())
}

fn int_tensor<T: Copy>(dims: &[usize], x: &[T]) -> IntTensor<T> {
    let (dims, x) = channels_last(dims, x);
    IntTensor::from_vec(&dims[..], x).unwrap()
}

#[test]
fn integer_convolutions_are_exact() {
    let golden = Golden::open("quant");
    let mut seen = 0;
    for key in golden.keys().iter().filter(|k| k.ends_with(".acc")) {
        let case = key.strip_suffix(".acc").unwrap();
        let (x_dims, x) = golden.bytes(&format!("{case}.x_int"));
        let (w_dims, w) = golden.bytes(&format!("{case}.w_int"));
        let w: Vec<i8> = w.iter().map(|&b| b as i8).collect();
        let bias: Vec<i64> = golden.i32(&format!("{case}.b_int")).into_iter().map(i64::from).collect();
        let geometry = golden.i32(&format!("{case}.stride_padding"));
        let (stride, padding) = (geometry[0] as usize, geometry[1] as usize);
        let want = int_tensor(&golden.bytes(key).0, &golden.i32(key));
        let packed = PackedWeights::pack(int_tensor(&w_dims, &w)).unwrap();
        let x = int_tensor(&x_dims, &x);
        let largest = packed.w_int().data().iter().map(|&w| i32::from(w).abs()).max().unwrap_or(0);
        for kernel in KERNELS.iter().filter(|k| k.available() && k.max_weight >= largest) {
            let got = integer_conv2d_with(kernel, &x, 0, &packed, Some(&bias), stride, padding).unwrap();
            assert_eq!(got, Accumulators::I32(want.clone()), "{case} on {}", kernel.name);
        }
        seen += 1;
    }
    assert!(seen > 0);
}
