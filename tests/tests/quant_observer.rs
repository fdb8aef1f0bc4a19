//! Observers, fake quantization and policies.

use engine::Tensor;
use proptest::prelude::*;
use quant::{
    Grid, Histogram, MinMax, MovingAverage, Observer, QParams, QuantConfig, Range, ScaleRule, Widths,
    fake_quantize, get_scale, linear_dequantize, linear_quantize,
};

proptest! {
    #[test]
    fn fake_quantize_is_quantize_then_dequantize(
        bits in 1u32..=16, signed in any::<bool>(), s in 0.001f32..2.0, z in -100i32..100,
        x in prop::collection::vec(-50.0f32..50.0, 1..200),
    ) {
        let q = QParams::per_tensor(Grid::new(bits, signed).unwrap(), s, z).unwrap();
        let x = Tensor::from_vec([x.len()], x).unwrap();
        let both = linear_dequantize(&linear_quantize::<i32>(&x, &q).unwrap(), &q).unwrap();
        let one_pass = fake_quantize(&x, &q).unwrap();
        prop_assert_eq!(&one_pass, &both);
        prop_assert_eq!(fake_quantize(&one_pass, &q).unwrap(), one_pass);
    }

    #[test]
    fn min_max_and_histogram_agree_on_the_range(
        batches in prop::collection::vec(prop::collection::vec(-1e3f32..1e3, 0..50), 1..8),
    ) {
        let (mut min_max, mut histogram) = (MinMax::default(), Histogram::default());
        for batch in &batches {
            min_max.observe(batch).unwrap();
            histogram.observe(batch).unwrap();
        }
        let all: Vec<f32> = batches.concat();
        prop_assert_eq!(min_max.range(), Range::of(&all).unwrap());
        prop_assert_eq!(histogram.range(), min_max.range());
        prop_assert_eq!(histogram.total(), all.len() as u64);
    }

    #[test]
    fn a_histogram_does_not_care_about_the_order_of_batches(
        mut batches in prop::collection::vec(prop::collection::vec(-8.0f32..8.0, 1..50), 2..6), large in 10.0f32..1e4,
    ) {
        // The first batch sets the first width, so it stays first; the range then grows early or late.
        batches.push(vec![large]);
        let see = |batches: &[Vec<f32>]| {
            let mut h = Histogram::default();
            batches.iter().for_each(|b| h.observe(b).unwrap());
            h.bins()
        };
        let forward = see(&batches);
        batches[1..].reverse();
        prop_assert_eq!(see(&batches), forward);
    }

    #[test]
    fn a_histogram_answers_like_the_values(seed in any::<u64>(), bits in 2u32..=8) {
        // Rectified values, as after a ReLU, in batches of different size; bins of width at most max / 1024.
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 40) as f32 / (1u64 << 24) as f32
        };
        let x: Vec<f32> = (0..8000).map(|_| (next() + next() + next() - 1.5).max(0.0) * 4.0).collect();
        let mut h = Histogram::default();
        x.chunks(997).for_each(|batch| h.observe(batch).unwrap());
        let (tensor, grid) = (Tensor::from_vec([x.len()], x).unwrap(), Grid::unsigned(bits).unwrap());
        let exact = |rule| get_scale(&tensor, bits, rule, false).unwrap();
        prop_assert_eq!(h.scale(ScaleRule::SYMMETRIC, grid), exact(ScaleRule::SYMMETRIC));
        for (rule, bound) in [(ScaleRule::SAWB_REFIT, 0.002), (ScaleRule::PERCENTILE, 0.005)] {
            let (got, want) = (h.scale(rule, grid), exact(rule));
            prop_assert!((got / want - 1.0).abs() < bound, "{rule}: {got} for {want}");
        }
        // The heuristic may settle in another dip of almost the same error: compare errors. A bin is up to
        // `2^b / 1024` steps wide, and not knowing where in it a value lies blurs squared errors by that squared.
        let blur = (f64::from(1u32 << bits) / 1024.0).powi(2);
        let mse = |s| quant::numbers::analysis::error_report(&tensor, &QParams::per_tensor(grid, s, 0).unwrap()).unwrap().mse;
        let (got, want) = (mse(h.scale(ScaleRule::HEURISTIC, grid)), mse(exact(ScaleRule::HEURISTIC)));
        prop_assert!(got <= want * (1.03 + blur), "{got} for {want}");
    }
}

#[test]
fn the_moving_average_decays() {
    let mut average = MovingAverage::default();
    average.observe(&[0.0, 10.0]).unwrap();
    assert_eq!(average.range(), Some(Range { min: 0.0, max: 10.0 }));
    average.observe(&[0.0, 20.0]).unwrap();
    let max = average.range().unwrap().max;
    assert!((max - 10.1).abs() < 1e-5, "{max}");
    average.observe(&[]).unwrap();
    assert_eq!(average.range().unwrap().max, max);
}

#[test]
fn observers_refuse_nan_and_pass_over_infinity() {
    let observers: [&mut dyn Observer; 3] =
        [&mut MinMax::default(), &mut MovingAverage::default(), &mut Histogram::default()];
    for observer in observers {
        assert!(observer.range().is_none());
        assert!(observer.observe(&[1.0, f32::NAN]).unwrap_err().to_string().contains("element 1 is NaN"));
        assert!(observer.range().is_none());
        observer.observe(&[f32::INFINITY, 2.0, f32::NEG_INFINITY, 0.5]).unwrap();
        assert_eq!(observer.range(), Some(Range { min: 0.5, max: 2.0 }));
    }
}

/// Activations near the end of all floats have a range, and a step that is one.
#[test]
fn ranges_end_where_floats_do() {
    let x = [3e38f32, 1.5e38, 2.9e38, 0.0];
    let mut histogram = Histogram::default();
    histogram.observe(&x).unwrap();
    for rule in quant::scale::TABLE {
        for bits in [1, 2, 4, 8, 16] {
            let range = histogram.clip_range(rule, bits).unwrap().unwrap();
            assert!(range.max.is_finite() && range.params(bits).is_ok(), "{rule} {bits}: {range:?}");
        }
    }
    for (min, max) in [(0.0, f32::INFINITY), (f32::NAN, f32::NAN), (f32::NEG_INFINITY, 1.0)] {
        let error = Range { min, max }.params(8).unwrap_err().to_string();
        assert!(error.contains("has no step"), "{error}");
    }
}

#[test]
fn ranges_become_quantizers_that_represent_zero() {
    let relu = Range { min: 0.0, max: 5.1 }.params(8).unwrap();
    assert_eq!(relu.channel(0), (5.1 / 255.0, 0));
    let signed = Range { min: -2.0, max: 3.0 }.params(8).unwrap();
    assert_eq!(signed.zero_points(), [-102]); // -2 / (5 / 255)
    let zero = Range { min: 0.0, max: 0.0 }.params(4).unwrap();
    assert_eq!(zero.channel(0), (1.0, 0));
    let positive = Range { min: 3.0, max: 4.0 }.params(2).unwrap();
    assert_eq!(positive.channel(0), (4.0 / 3.0, 0));
}

#[test]
fn widths_parse_and_bad_ones_say_why() {
    assert_eq!("w2a16".parse::<Widths>().unwrap(), Widths { w: 2, a: 16 });
    for (text, word) in [("W0A4", "0"), ("W4A17", "17"), ("W4", "W4A8"), ("A4W4", "W4A8"), ("", "W4A8")] {
        let message = text.parse::<Widths>().unwrap_err().to_string();
        assert!(message.contains(word) && !message.contains('\n'), "{message}");
    }
}

#[test]
fn a_config_survives_json_and_unknown_keys_do_not() {
    let config = QuantConfig { weight_rule: ScaleRule::HEURISTIC, ..QuantConfig::default() };
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<QuantConfig>(&text).unwrap(), config);
    assert!(serde_json::from_str::<QuantConfig>(r#"{"weigth_rule": "sawb"}"#).is_err());
    assert!(serde_json::from_str::<QuantConfig>(r#"{"weight_rule": "magic"}"#).is_err());
}

#[test]
#[ignore = "prints the speed of fake quantization; run with --ignored --nocapture"]
fn speed_of_fake_quantize() {
    let x = Tensor::from_fn([1 << 23], |i| (i % 9973) as f32 * 1e-3);
    for bits in [2, 4, 8, 16] {
        let q = Range { min: 0.0, max: 9.0 }.params(bits).unwrap();
        fake_quantize(&x, &q).unwrap();
        let start = std::time::Instant::now();
        for _ in 0..5 {
            fake_quantize(&x, &q).unwrap();
        }
        println!("{bits} bits: {:.3} ns a value", start.elapsed().as_nanos() as f64 / 5.0 / x.len() as f64);
    }
}
