//! Properties of eq 1-3 for any grid, scale and zero point.

use engine::Tensor;
use proptest::prelude::*;
use quant::numbers::entry::affine;
use quant::numbers::uniform::{quantize_value, restore_value, zero_point_from_common, zero_point_to_common};
use quant::{
    Granularity, Grid, IntTensor, QParams, ScaleRule, get_scales, linear_dequantize, linear_quantize,
};

fn grids() -> impl Strategy<Value = Grid> {
    (1u32..=16, any::<bool>()).prop_map(|(bits, signed)| Grid::new(bits, signed).unwrap())
}

fn scales() -> impl Strategy<Value = f32> {
    (-12.0f32..6.0).prop_map(|e| e.exp2())
}

fn codes(x: &[f32], q: &QParams) -> Vec<i32> {
    let x = Tensor::from_vec([x.len()], x.to_vec()).unwrap();
    linear_quantize::<i32>(&x, q).unwrap().into_vec()
}

proptest! {
    #[test]
    fn round_trip_error_is_at_most_half_a_step_inside_the_range(
        grid in grids(), s in scales(), z in -300i32..300, t in 0.0f64..1.0,
    ) {
        let (lo, hi) = (f64::from(grid.qmin + z), f64::from(grid.qmax + z));
        let x = ((lo + t * (hi - lo)) * f64::from(s)) as f32;
        let x_hat = restore_value(quantize_value(x, s, z, grid).unwrap(), s, z);
        // Half a step, and the rounding of x and x_hat to f32.
        let slack = f64::from(x.abs().max(x_hat.abs())) * f64::from(f32::EPSILON);
        prop_assert!((f64::from(x_hat) - f64::from(x)).abs() <= f64::from(s) / 2.0 + slack);
    }

    #[test]
    fn monotone(grid in grids(), s in scales(), z in -300i32..300, a in -1e3f32..1e3, b in -1e3f32..1e3) {
        let (a, b) = (a.min(b), a.max(b));
        prop_assert!(quantize_value(a, s, z, grid).unwrap() <= quantize_value(b, s, z, grid).unwrap());
    }

    #[test]
    fn the_range_is_respected(grid in grids(), s in scales(), z in -300i32..300, x in any::<f32>()) {
        prop_assume!(!x.is_nan());
        prop_assert!(grid.contains(quantize_value(x, s, z, grid).unwrap()));
    }

    #[test]
    fn idempotent_and_identity_on_the_grid(grid in grids(), s in scales(), z in -300i32..300) {
        let q = QParams::per_tensor(grid, s, z).unwrap();
        let every: Vec<f32> = (grid.qmin..=grid.qmax).map(|k| restore_value(k, s, z)).collect();
        let again = codes(&every, &q);
        prop_assert_eq!(&again, &(grid.qmin..=grid.qmax).collect::<Vec<_>>());
        prop_assert_eq!(again.iter().map(|&k| restore_value(k, s, z)).collect::<Vec<_>>(), every);
    }

    #[test]
    fn shifting_x_by_z_steps_shifts_z(
        grid in grids(), e in -10i32..4, z in -300i32..300, shift in -300i32..300, x in -1000i32..1000,
    ) {
        // A power-of-two scale and x in quarter steps make the shift exact in f32; ties round to even, so
        // only an even shift keeps them.
        let (s, shift) = ((e as f32).exp2(), 2 * shift);
        let (x, moved) = (x as f32 * s / 4.0, (x as f32 / 4.0 + shift as f32) * s);
        prop_assert_eq!(
            quantize_value(x, s, z, grid).unwrap(),
            quantize_value(moved, s, z + shift, grid).unwrap()
        );
    }

    #[test]
    fn the_fast_path_equals_eq_1(
        grid in grids(), z in -300i32..300,
        // The least subnormal scales have no `1 / s`.
        s in prop_oneof![4 => scales(), 1 => (1u32..1 << 21).prop_map(f32::from_bits)],
        x in prop::collection::vec(prop_oneof![
            -1e3f32..1e3,
            (-4000i32..4000).prop_map(|k| k as f32 * 0.125),
            Just(f32::INFINITY), Just(f32::NEG_INFINITY), Just(f32::MAX), Just(-0.0f32), Just(1e-42f32),
        ], 0..300),
        nudge in prop_oneof![Just(0i32), -1i32..=1],
    ) {
        // Half of the cases sit on ties of this scale, or one unit in the last place off them.
        let ties: Vec<f32> = x.iter().map(|v| {
            let tie = (v.clamp(-1e5, 1e5).floor() + 0.5) * s;
            f32::from_bits(tie.to_bits().wrapping_add_signed(nudge))
        }).collect();
        let q = QParams::per_tensor(grid, s, z).unwrap();
        for x in [x, ties] {
            let want: Vec<i32> = x.iter().map(|&x| quantize_value(x, s, z, grid).unwrap()).collect();
            prop_assert_eq!(&codes(&x, &q), &want);
            // Alone, too: whoever is in doubt must ask, also where no other value of its block does not.
            for (&x, &want) in x.iter().zip(&want).take(20) {
                prop_assert_eq!(codes(&[x], &q), [want]);
            }
        }
    }

    #[test]
    fn per_channel_is_per_tensor_on_each_channel(
        grid in grids(), channels in prop::collection::vec((scales(), -50i32..50), 1..6), seed in any::<u32>(),
    ) {
        let n = 37;
        let x = Tensor::from_fn([channels.len(), n], |i| ((i as u32).wrapping_mul(seed) % 2001) as f32 / 100.0 - 10.0);
        let (s, z) = channels.iter().copied().unzip();
        let q = QParams::per_channel(grid, s, z).unwrap();
        let whole = linear_quantize::<i32>(&x, &q).unwrap();
        let restored = linear_dequantize(&whole, &q).unwrap();
        for (c, &(s, z)) in channels.iter().enumerate() {
            let one = QParams::per_tensor(grid, s, z).unwrap();
            prop_assert_eq!(&whole.data()[c * n..][..n], codes(&x.data()[c * n..][..n], &one));
            for (k, v) in whole.data()[c * n..][..n].iter().zip(&restored.data()[c * n..][..n]) {
                prop_assert_eq!(*v, restore_value(*k, s, z));
            }
        }
    }
}

#[test]
fn grids_of_every_width() {
    assert_eq!(Grid::signed(1).unwrap(), Grid { qmin: -1, qmax: 0 });
    assert_eq!(Grid::unsigned(1).unwrap(), Grid { qmin: 0, qmax: 1 });
    assert_eq!(Grid::signed(8).unwrap(), Grid { qmin: -128, qmax: 127 });
    assert_eq!(Grid::unsigned(16).unwrap(), Grid { qmin: 0, qmax: 65535 });
    for bits in 1..=16 {
        assert_eq!(Grid::signed(bits).unwrap().bits(), bits);
    }
    for bits in [0, 17] {
        let message = Grid::signed(bits).unwrap_err().to_string();
        assert!(message.contains("1 to 16") && message.contains(&bits.to_string()), "{message}");
    }
}

#[test]
fn what_a_grid_holds() {
    let grid = Grid::signed(4).unwrap();
    assert_eq!([-9, -8, 7, 8].map(|code| grid.contains(code)), [false, true, true, false]);
    assert_eq!((grid.levels(), grid.steps(), grid.is_signed()), (16, 8, true));
    let grid = Grid::unsigned(4).unwrap();
    assert_eq!([-1, 0, 15, 16].map(|code| grid.contains(code)), [false, true, true, false]);
    assert_eq!((grid.levels(), grid.steps(), grid.is_signed()), (16, 15, false));
    assert_eq!(Grid::of_weights(0).unwrap(), Grid::ZERO);
    assert_eq!(Grid::of_weights(3).unwrap(), Grid::signed(3).unwrap());
    assert!(Grid::of_weights(17).is_err());
}

#[test]
fn granularities_by_name() {
    for (name, granularity) in
        [("per_tensor", Granularity::PerTensor), ("per_channel", Granularity::PerChannel)]
    {
        assert_eq!(name.parse::<Granularity>().unwrap(), granularity);
        assert_eq!(name.replace('_', "-").parse::<Granularity>().unwrap(), granularity);
        assert_eq!(granularity.to_string(), name);
    }
    let message = "per_row".parse::<Granularity>().unwrap_err().to_string();
    assert!(message.contains("per_row") && message.contains("per_channel"), "{message}");
}

#[test]
fn per_channel_wants_a_zero_point_for_each_scale() {
    let grid = Grid::signed(8).unwrap();
    let q = QParams::per_channel(grid, vec![0.5, 0.25], vec![3, -4]).unwrap();
    assert_eq!((q.scales(), q.zero_points()), (&[0.5, 0.25][..], &[3, -4][..]));
    for (scales, zero_points) in [(vec![], vec![]), (vec![0.5, 0.25], vec![3]), (vec![0.5], vec![3, -4])] {
        assert!(QParams::per_channel(grid, scales, zero_points).is_err());
    }
    let empty = Tensor::zeros([2, 0]);
    assert!(get_scales(&empty, 8, ScaleRule::SYMMETRIC, true).is_err());
}

#[test]
fn an_affine_grid_by_hand() {
    // From -1 to 2 in 15 steps of a fifth: -1 is five steps below zero.
    assert_eq!(affine(-1.0, 2.0, Grid::unsigned(4).unwrap()), (0.2, -5));
    assert_eq!(affine(-1.0, 2.0, Grid::signed(4).unwrap()), (0.2, 3));
    // Zero is always within: the interval is extended to it.
    assert_eq!(affine(1.0, 3.75, Grid::unsigned(4).unwrap()), (0.25, 0));
    // Where there is no step, it is 1, and the smallest code is zero's.
    assert_eq!(affine(0.0, 0.0, Grid::signed(4).unwrap()), (1.0, 8));
    // The least and the largest of scales.
    assert_eq!(affine(0.0, 1e-37, Grid::unsigned(8).unwrap()), (f32::MIN_POSITIVE, 0));
    assert_eq!(affine(f32::MIN, f32::MAX, Grid::signed(1).unwrap()), (f32::MAX, 0));
}

#[test]
fn an_integer_tensor_knows_its_shape() {
    let x = IntTensor::from_vec([2, 3], vec![1i8, 2, 3, 4, 5, 6]).unwrap();
    assert_eq!((x.dims(), x.len(), x.is_empty()), (&[2, 3][..], 6, false));
    let none = IntTensor::<i8>::from_vec([2, 0], vec![]).unwrap();
    assert_eq!((none.dims(), none.len(), none.is_empty()), (&[2, 0][..], 0, true));
    assert!(IntTensor::from_vec([2, 3], vec![1i8]).is_err());
}

#[test]
fn nan_is_an_error_that_says_where() {
    let x = Tensor::from_vec([2, 2], vec![0.0, 1.0, f32::NAN, 3.0]).unwrap();
    let q = QParams::per_tensor(Grid::signed(8).unwrap(), 0.1, 0).unwrap();
    let message = linear_quantize::<i8>(&x, &q).unwrap_err().to_string();
    assert!(message.contains("element 2") && message.contains("NaN"), "{message}");
    // Alone in its block, on a narrow grid and on a wide one.
    let alone = Tensor::from_vec([1], vec![f32::NAN]).unwrap();
    for bits in [8, 16] {
        let q = QParams::per_tensor(Grid::signed(bits).unwrap(), 0.1, 0).unwrap();
        assert!(linear_quantize::<i16>(&alone, &q).is_err(), "{bits} bits");
    }
}

#[test]
fn zero_points_beyond_what_a_float_holds_exactly_are_refused() {
    let grid = Grid::signed(8).unwrap();
    for (z, taken) in [
        (1 << 21, true),
        (-(1 << 21), true),
        ((1 << 21) + 1, false),
        (-(1 << 21) - 1, false),
        (i32::MIN, false),
    ] {
        assert_eq!(QParams::per_tensor(grid, 1.0, z).is_ok(), taken, "{z}");
    }
}

#[test]
fn codes_that_do_not_fit_the_type_are_refused() {
    let q = QParams::per_tensor(Grid::unsigned(8).unwrap(), 0.1, 0).unwrap();
    assert!(linear_quantize::<i8>(&Tensor::zeros([2]), &q).is_err());
    assert!(linear_quantize::<u8>(&Tensor::zeros([2]), &q).is_ok());
}

#[test]
fn codes_that_are_not_on_the_grid_are_not_restored() {
    let q = QParams::per_tensor(Grid::signed(8).unwrap(), 1.0, 1).unwrap();
    let refused = |code: i32| {
        let x_int = IntTensor::from_vec([2], vec![-128, code]).unwrap();
        linear_dequantize(&x_int, &q).map(|x| x.data()[1]).map_err(|e| e.to_string())
    };
    assert_eq!(refused(127), Ok(128.0));
    for code in [128, -129, i32::MAX, i32::MIN] {
        let text = format!("linear_dequantize: code {code} of element 1 is not in -128..=127");
        assert_eq!(refused(code), Err(text));
    }
}

#[test]
fn scales_that_are_not_positive_are_refused() {
    for s in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        assert!(QParams::per_tensor(Grid::signed(8).unwrap(), s, 0).is_err());
    }
}

#[test]
fn the_common_zero_point_has_the_other_sign() {
    let (z, s, grid) = (-128, 0.05, Grid::unsigned(8).unwrap());
    assert_eq!(zero_point_to_common(z), 128);
    assert_eq!(zero_point_from_common(zero_point_to_common(z)), z);
    // Common: q = round(x / s) + Z. Ours: q = round(x / s) - z.
    let common = (1.0f32 / s).round() as i32 + zero_point_to_common(z);
    assert_eq!(quantize_value(1.0, s, z, grid).unwrap(), common);
    // Real zero has the code Z = -z.
    assert_eq!(quantize_value(0.0, s, z, grid).unwrap(), zero_point_to_common(z));
}
