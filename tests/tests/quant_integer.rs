//! Integer layers against the formula in 64 bits, on every micro-kernel of the table.

use engine::Tensor;
use proptest::prelude::*;
use quant::integer::conv2d::integer_conv2d_with;
use quant::integer::linear::{integer_linear_with, integer_matmul};
use quant::integer::{integer_conv2d_ref, integer_linear_ref, quantize_bias};
use quant::kernel::{self, KERNELS, MicroKernel};
use quant::{
    Accumulators, Activation, Granularity, Grid, IntTensor, PackedWeights, QParams, ScaleRule, Symmetry,
    integer_conv2d, integer_linear, linear_dequantize, linear_quantize, quantized_conv2d, quantized_linear,
    reset_scale_and_zero_point, reset_scales_and_zero_points,
};

/// The micro-kernels this machine can run and that take these weights; what the machine lacks is named on
/// stderr.
fn kernels(w: &IntTensor<i8>) -> impl Iterator<Item = &'static MicroKernel> {
    let largest = w.data().iter().map(|&w| i32::from(w).abs()).max().unwrap_or(0);
    KERNELS.iter().filter(move |k| {
        if !k.available() {
            eprintln!("SKIPPED: this CPU does not have {}", k.name);
        }
        k.available() && k.max_weight >= largest
    })
}

/// Numbers from a seed.
fn codes<T: quant::Code>(seed: u64, n: usize, extreme: bool) -> Vec<T> {
    let mut state = seed;
    let (lo, hi) = (i64::from(T::RANGE.0), i64::from(T::RANGE.1));
    (0..n)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let r = (state >> 33) as i64;
            let code = if extreme { [lo, hi][(r & 1) as usize] } else { lo + r % (hi - lo + 1) };
            T::from_i32(code as i32)
        })
        .collect()
}

#[derive(Debug, Clone)]
struct Case {
    x: [usize; 4],
    o: usize,
    k: [usize; 2],
    stride: usize,
    padding: usize,
    z: i32,
    bias: Option<i64>,
    seed: u64,
    extreme: bool,
    /// Weights have `8 - shift` bits.
    shift: u32,
}

fn cases() -> impl Strategy<Value = Case> {
    let extents = (1usize..4, 1usize..10, 1usize..10, 1usize..21, 1usize..40, 1usize..5, 1usize..5);
    let rest = (
        1usize..4,
        0usize..3,
        -120i32..1,
        prop::option::of(prop_oneof![0i64..1 << 31, 0i64..1 << 53]),
        any::<u64>(),
        any::<bool>(),
        0u32..3,
    );
    (extents, rest)
        .prop_map(|((n, h, w, c, o, kh, kw), (stride, padding, z, bias, seed, extreme, shift))| Case {
            x: [n, h, w, c],
            o,
            k: [kh, kw],
            stride,
            padding,
            z,
            bias,
            seed,
            extreme,
            shift,
        })
        .prop_filter("the window fits", |c| {
            c.x[1] + 2 * c.padding >= c.k[0] && c.x[2] + 2 * c.padding >= c.k[1]
        })
}

fn check_conv<X: Activation>(case: &Case) -> Result<(), TestCaseError> {
    let x =
        IntTensor::from_vec(case.x, codes::<X>(case.seed, case.x.iter().product(), case.extreme)).unwrap();
    let shape = [case.o, case.k[0], case.k[1], case.x[3]];
    let mut w: Vec<i8> = codes(!case.seed, shape.iter().product(), case.extreme);
    w.iter_mut().for_each(|w| *w >>= case.shift);
    let w = IntTensor::from_vec(shape, w).unwrap();
    let bias: Option<Vec<i64>> = case.bias.map(|b| {
        codes::<i16>(case.seed ^ 7, case.o, false).iter().map(|&s| if s < 0 { -b } else { b }).collect()
    });
    let want = integer_conv2d_ref(&x, case.z, &w, bias.as_deref(), case.stride, case.padding);
    let packed = PackedWeights::pack(w).unwrap();
    for kernel in kernels(packed.w_int()) {
        let got =
            integer_conv2d_with(kernel, &x, case.z, &packed, bias.as_deref(), case.stride, case.padding)
                .unwrap();
        prop_assert_eq!(got.shape(), want.shape());
        prop_assert_eq!(&got.to_i64(), want.data(), "{}", kernel.name);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn conv2d_u8(case in cases()) { check_conv::<u8>(&case)?; }

    #[test]
    fn conv2d_i8(case in cases()) { check_conv::<i8>(&case)?; }

    #[test]
    fn conv2d_u16(case in cases()) { check_conv::<u16>(&case)?; }

    #[test]
    fn conv2d_i16(case in cases()) { check_conv::<i16>(&case)?; }

    #[test]
    fn linear(n in 1usize..40, i in 1usize..300, o in 1usize..40, z in -255i32..256, seed in any::<u64>()) {
        let x = IntTensor::from_vec([n, i], codes::<u8>(seed, n * i, false)).unwrap();
        let x16 = IntTensor::from_vec([n, i], codes::<u16>(seed, n * i, false)).unwrap();
        let w = IntTensor::from_vec([o, i], codes::<i8>(!seed, o * i, false)).unwrap();
        let bias: Vec<i64> = codes::<i16>(seed ^ 3, o, false).iter().map(|&b| i64::from(b) * 1000).collect();
        let packed = PackedWeights::pack(w.clone()).unwrap();
        let (want, want16) = (
            integer_linear_ref(&x, z, &w, Some(&bias)),
            integer_linear_ref(&x16, z, &w, Some(&bias)),
        );
        for kernel in kernels(packed.w_int()) {
            let got = integer_linear_with(kernel, &x, z, &packed, Some(&bias)).unwrap();
            prop_assert_eq!(&got.to_i64(), want.data(), "{}", kernel.name);
            let got = integer_linear_with(kernel, &x16, z, &packed, Some(&bias)).unwrap();
            prop_assert_eq!(&got.to_i64(), want16.data(), "{}", kernel.name);
        }
    }

    #[test]
    fn eq_6_is_the_real_layer_of_the_restored_numbers(
        case in cases(), s_x in 0.01f32..1.0, s_w in 0.001f32..0.1, per_channel in any::<bool>(),
    ) {
        let x = IntTensor::from_vec(case.x, codes::<u8>(case.seed, case.x.iter().product(), case.extreme)).unwrap();
        let shape = [case.o, case.k[0], case.k[1], case.x[3]];
        let w = IntTensor::from_vec(shape, codes::<i8>(!case.seed, shape.iter().product(), case.extreme)).unwrap();
        let q_x = QParams::per_tensor(Grid::unsigned(8).unwrap(), s_x, case.z).unwrap();
        let grid = Grid::signed(8).unwrap();
        let q_w = if per_channel {
            QParams::per_channel(grid, (1..=case.o).map(|o| s_w * o as f32).collect(), vec![0; case.o]).unwrap()
        } else {
            QParams::per_tensor(grid, s_w, 0).unwrap()
        };
        let exact = integer_conv2d_ref(&x, case.z, &w, None, case.stride, case.padding);
        let packed = PackedWeights::pack(w).unwrap();
        let y = quantized_conv2d(&x, &q_x, &packed, &q_w, None, case.stride, case.padding).unwrap();
        for (i, (&y, &sum)) in y.data().iter().zip(exact.data()).enumerate() {
            let want = f64::from(s_x) * f64::from(q_w.channel(i % case.o).0) * sum as f64;
            prop_assert_eq!(y, want as f32);
        }
    }
}

#[test]
fn all_minus_128_by_all_255() {
    // Where vpmaddubsw would saturate, at the deepest layer of ResNet-20: 576 x 255 x -128.
    let x = IntTensor::from_vec([2, 5, 5, 64], vec![255u8; 3200]).unwrap();
    let w = IntTensor::from_vec([33, 3, 3, 64], vec![-128i8; 33 * 576]).unwrap();
    let packed = PackedWeights::pack(w.clone()).unwrap();
    let want = integer_conv2d_ref(&x, 0, &w, None, 1, 1);
    assert!(want.data().contains(&(-128 * 255 * 576)));
    for kernel in kernels(packed.w_int()) {
        let got = integer_conv2d_with(kernel, &x, 0, &packed, None, 1, 1).unwrap();
        assert!(matches!(got, Accumulators::I32(_)));
        assert_eq!(got.to_i64(), want.data(), "{}", kernel.name);
    }
}

#[test]
fn sixteen_bits_take_64_bit_sums_where_they_must() {
    let x = IntTensor::from_vec([1, 3, 3, 64], vec![65535u16; 576]).unwrap();
    for (w, wide) in [(-128i8, true), (1, false)] {
        let w = IntTensor::from_vec([5, 3, 3, 64], vec![w; 5 * 576]).unwrap();
        let want = integer_conv2d_ref(&x, 0, &w, None, 1, 0);
        let packed = PackedWeights::pack(w).unwrap();
        for kernel in kernels(packed.w_int()) {
            let got = integer_conv2d_with(kernel, &x, 0, &packed, None, 1, 0).unwrap();
            assert_eq!(matches!(got, Accumulators::I64(_)), wide);
            assert_eq!(got.to_i64(), want.data(), "{}", kernel.name);
        }
    }
}

#[test]
fn a_layer_too_deep_for_32_bits_of_single_bytes() {
    let n = 66_000;
    let x = IntTensor::from_vec([1, n], vec![255u8; n]).unwrap();
    let w = IntTensor::from_vec([1, n], vec![-128i8; n]).unwrap();
    let got = integer_linear(&x, 0, &PackedWeights::pack(w).unwrap(), Some(&[5])).unwrap();
    assert_eq!(got.to_i64(), [5 - 128 * 255 * n as i64]);
}

#[test]
fn a_large_bias_widens() {
    let x = IntTensor::from_vec([1, 1], vec![1u8]).unwrap();
    let packed = PackedWeights::pack(IntTensor::from_vec([1, 1], vec![1i8]).unwrap()).unwrap();
    for bias in [i64::from(i32::MAX), 5_900_000_000, 1 << 53] {
        let got = integer_linear(&x, 0, &packed, Some(&[bias])).unwrap();
        assert_eq!(got, Accumulators::I64(IntTensor::from_vec([1, 1], vec![bias + 1]).unwrap()));
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let x = IntTensor::from_vec([7, 9, 9, 13], codes::<u8>(1, 7 * 81 * 13, false)).unwrap();
    let w =
        PackedWeights::pack(IntTensor::from_vec([20, 3, 3, 13], codes(2, 20 * 117, false)).unwrap()).unwrap();
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| integer_conv2d(&x, -3, &w, None, 1, 1).unwrap())
    };
    assert_eq!(run(1), run(5));
}

#[test]
fn quantized_layers_approximate_the_real_ones() {
    // 8 bits: the error of each product is below half a step of each side, so of the sum below this bound.
    let x = Tensor::from_fn([6, 50], |i| ((i * 37 % 101) as f32 / 50.0 - 1.0) * 3.0);
    let w = Tensor::from_fn([10, 50], |i| (i * 53 % 97) as f32 / 97.0 - 0.5);
    let b: Vec<f32> = (0..10).map(|i| i as f32 - 5.0).collect();
    let q_x = reset_scale_and_zero_point(&x, 8, ScaleRule::SYMMETRIC, Symmetry::Asymmetric, false).unwrap();
    let q_w = reset_scales_and_zero_points(&w, 8, ScaleRule::SYMMETRIC, Symmetry::Symmetric, true).unwrap();
    assert_eq!(q_w.granularity(), Granularity::PerChannel);
    let s: Vec<f64> = q_w.scales().iter().map(|&s| f64::from(s) * f64::from(q_x.scales()[0])).collect();
    let b_int = quantize_bias(&b, &s).unwrap();
    let x_int = linear_quantize::<u8>(&x, &q_x).unwrap();
    let w_int = linear_quantize::<i8>(&w, &q_w).unwrap();
    let w_hat = linear_dequantize(&w_int, &q_w).unwrap();
    let packed = PackedWeights::pack(w_int).unwrap();
    let y = quantized_linear(&x_int, &q_x, &packed, &q_w, Some(&b_int)).unwrap();
    for n in 0..6 {
        for o in 0..10 {
            let (x, w) = (&x.data()[n * 50..][..50], &w.data()[o * 50..][..50]);
            let real: f32 = x.iter().zip(w).map(|(x, w)| x * w).sum::<f32>() + b[o];
            let s_x = q_x.scales()[0];
            let bound: f32 = w_hat.data()[o * 50..][..50]
                .iter()
                .zip(w)
                .zip(x)
                .map(|((w_hat, w), x)| (w_hat - w).abs() * x.abs() + w_hat.abs() * s_x * 0.501)
                .sum();
            assert!((y.data()[n * 10 + o] - real).abs() <= bound + 1e-3);
        }
    }
}

#[test]
fn what_does_not_fit_is_refused_in_one_line() {
    let x = IntTensor::from_vec([1, 4, 4, 3], vec![0u8; 48]).unwrap();
    let w = PackedWeights::pack(IntTensor::from_vec([2, 3, 3, 3], vec![0i8; 54]).unwrap()).unwrap();
    let message = |r: quant::Result<Accumulators>| r.unwrap_err().to_string();
    assert!(message(integer_conv2d(&x, 0, &w, None, 0, 1)).contains("stride 0"));
    assert!(message(integer_conv2d(&x, 0, &w, Some(&[1]), 1, 1)).contains("1 biases for 2"));
    assert!(message(integer_conv2d(&x, 1, &w, None, 1, 1)).contains("code -1 of real zero"));
    for z in [i32::MIN, (1 << 21) + 1, i32::MAX] {
        assert!(message(integer_conv2d(&x, z, &w, None, 1, 0)).contains("zero_point"), "{z}");
    }
    for b in [i64::MIN, i64::MAX] {
        assert!(message(integer_conv2d(&x, 0, &w, Some(&[0, b]), 1, 0)).contains("2^62"), "{b}");
    }
    let w5 = PackedWeights::pack(IntTensor::from_vec([2, 3, 3, 5], vec![0i8; 90]).unwrap()).unwrap();
    assert!(message(integer_conv2d(&x, 0, &w5, None, 1, 1)).contains("5 channels"));
    let small = IntTensor::from_vec([1, 1, 1, 3], vec![0u8; 3]).unwrap();
    assert!(message(integer_conv2d(&small, 0, &w, None, 1, 0)).contains("does not fit"));
    assert!(PackedWeights::pack(IntTensor::from_vec([0, 3], Vec::<i8>::new()).unwrap()).is_err());
    assert_eq!(quantize_bias(&[0.5, -1e6], &[1e-10, 1e-9]).unwrap(), [5_000_000_000, -1_000_000_000_000_000]);
    let overflow = quantize_bias(&[1.0, 1e6], &[1e-3, 1e-10]).unwrap_err().to_string();
    assert!(overflow.contains("channel 1"), "{overflow}");
    assert!(quantize_bias(&[f32::NAN], &[1.0]).is_err());
    let short = quantize_bias(&[1.0, 2.0, 3.0], &[0.5]).unwrap_err().to_string();
    assert_eq!(short, "bias: 3 biases but 1 scales");
}

/// Images without pixels, borders that nobody can hold, sides beyond the last number.
#[test]
fn windows_on_nothing_and_in_endless_borders_are_refused() {
    let w = PackedWeights::pack(IntTensor::from_vec([2, 1, 1, 3], vec![1i8; 6]).unwrap()).unwrap();
    for ([h, w_side], stride, padding) in
        [([0, 5], 1, 1), ([5, 0], 1, 2), ([2, 2], 1 << 40, 1 << 20), ([2, 2], 1, usize::MAX / 2 + 1)]
    {
        let x = IntTensor::from_vec([1, h, w_side, 3], vec![0u8; h * w_side * 3]).unwrap();
        let error = integer_conv2d(&x, 0, &w, None, stride, padding).unwrap_err().to_string();
        assert!(error.contains("no pixels, or more than"), "{error}");
    }
}

#[test]
#[should_panic(expected = "1 scales for 2 channels")]
fn sums_are_rescaled_channel_by_channel() {
    Accumulators::I32(IntTensor::from_vec([3, 2], vec![1; 6]).unwrap()).rescale(&[1.0]);
}

#[test]
fn the_range_of_the_weights_chooses_the_kernel_when_they_are_packed() {
    let avx2 = KERNELS.iter().filter(|k| k.isa == "avx2" && k.available());
    let weights = |w| IntTensor::from_vec([1, 4], vec![w; 4]).unwrap();
    for kernel in avx2 {
        for w in [-128, -65, -64, -9, -8] {
            let packed = PackedWeights::pack_for(kernel, weights(w));
            assert_eq!(packed.is_ok(), kernel.max_weight >= -i32::from(w), "{} {w}", kernel.name);
        }
    }
    for w in [-128, -64, 0] {
        let kernel = PackedWeights::pack(weights(w)).unwrap().kernel();
        assert!(kernel.isa == kernel::active().isa && kernel.max_weight >= -i32::from(w));
    }
}

#[test]
fn instruction_sets_are_found_by_name() {
    assert_eq!(kernel::named("--isa", "scalar").unwrap().name, "scalar");
    assert!(KERNELS.iter().any(|k| k.name == kernel::active().name) && kernel::active().available());
    let message = kernel::named("--isa", "mmx").err().unwrap().to_string();
    assert!(message.contains("mmx") && message.contains("scalar"), "{message}");
}

#[test]
fn a_matrix_product_is_the_linear_layers() {
    // More rows than one task has, and outputs that do not fill a panel.
    let (rows, inputs, outputs) = (600, 36, 21);
    let x = IntTensor::from_vec([rows, inputs], codes::<u8>(3, rows * inputs, false)).unwrap();
    let w: Vec<i8> = codes::<i8>(4, outputs * inputs, false).into_iter().map(|w| w / 16).collect();
    let w = IntTensor::from_vec([outputs, inputs], w).unwrap();
    let wanted: Vec<i32> = integer_linear_ref(&x, 0, &w, None).data().iter().map(|&y| y as i32).collect();
    for kernel in kernels(&w) {
        let packed = PackedWeights::pack_for(kernel, w.clone()).unwrap();
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut y = vec![7; rows * outputs];
            pool.install(|| integer_matmul(x.data(), &packed, &mut y)).unwrap();
            assert!(y == wanted, "{} on {threads} threads", kernel.name);
        }
        integer_matmul(&[], &packed, &mut []).unwrap();
        integer_matmul(&x.data()[1..], &packed, &mut vec![0; rows * outputs]).unwrap_err();
    }
    let odd = PackedWeights::pack(IntTensor::from_vec([1, 3], vec![1i8, 2, 3]).unwrap()).unwrap();
    integer_matmul(&[1, 2, 3], &odd, &mut [0]).unwrap_err();
}
