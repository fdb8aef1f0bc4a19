//! A whole network under the quantization hooks.

use engine::{Float, Graph, Layer, Params, Tape, Tensor, ops};
use quant::{
    CalibrateHook, FakeQuantHook, Granularity, Policy, QuantConfig, Quantization, Quantizer, Ranges,
    ScaleRule, Ste, Widths,
};

/// conv - bn - relu - conv - bn - relu, a residual, pooling, classifier.
fn network() -> (Graph, Params) {
    let mut g = Graph::default();
    let x = g.add("input", Layer::Input, &[]);
    let conv = |c, o, stride| Layer::Conv2d { c, o, kernel: 3, stride, padding: 1 };
    let x = g.add("conv1", conv(3, 8, 1), &[x]);
    let x = g.add("bn1", Layer::BatchNorm { c: 8 }, &[x]);
    let r = g.add("relu1", Layer::Relu, &[x]);
    let x = g.add("conv2", conv(8, 12, 2), &[r]);
    let x = g.add("bn2", Layer::BatchNorm { c: 12 }, &[x]);
    let x = g.add("relu2", Layer::Relu, &[x]);
    let x = g.add("pool", Layer::GlobalAvgPool, &[x]);
    g.add("fc", Layer::Linear { i: 12, o: 5 }, &[x]);
    let params = g.init(7).unwrap();
    (g, params)
}

fn images(n: usize, seed: usize) -> Tensor {
    Tensor::from_fn([n, 8, 8, 3], |i| (((i + seed) * 7919 % 2003) as f32 / 1001.5 - 1.0) * 2.0)
}

fn calibrated(config: &QuantConfig) -> (Graph, Params, Quantization) {
    let (graph, params) = network();
    let plan = config.policy.plan(&graph, config.bits);
    let mut hook = CalibrateHook::default();
    graph.infer(&params, images(16, 0), &mut hook).unwrap();
    let ranges = hook.ranges(&plan, config.activation_rule).unwrap();
    (graph, params, Quantization { ranges, ..Quantization::new(config.clone(), plan) })
}

#[test]
fn calibration_changes_nothing() {
    let (graph, params) = network();
    let float = graph.infer(&params, images(4, 1), &mut Float).unwrap();
    let seen = graph.infer(&params, images(4, 1), &mut CalibrateHook::default()).unwrap();
    assert_eq!(float, seen);
}

#[test]
fn what_is_simulated_is_what_runs() {
    for policy in [Policy::Course, Policy::Product] {
        for bits in ["W8A8", "W4A4", "W2A8", "W8A16", "W1A1"] {
            for weight_granularity in [Granularity::PerTensor, Granularity::PerChannel] {
                let bits: Widths = bits.parse().unwrap();
                let config = QuantConfig { bits, policy, weight_granularity, ..QuantConfig::default() };
                let (graph, params, quantization) = calibrated(&config);
                let mut simulated = quantization.as_trained();
                let y = graph.infer(&params, images(9, 5), &mut simulated).unwrap();
                assert_eq!(simulated.quantization, quantization, "evaluation leaves it alone");
                let mut integer = quantization.integers().unwrap();
                let y_int = graph.infer(&params, images(9, 5), &mut integer).unwrap();
                // Only the float sums are rounded; a code may then fall on the other side of a tie, but not here.
                let worst = y.data().iter().zip(y_int.data()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                let largest = y.data().iter().fold(0.0f32, |m, v| m.max(v.abs()));
                assert!(worst <= 1e-5 * largest, "{policy} {bits}: {worst} of {largest}");
            }
        }
    }
}

/// Codes as floats, scaled after the sum: every bit of the integers' result, as long as sums stay below 2^24.
#[test]
fn the_simulation_in_codes_is_exact() {
    for policy in [Policy::Course, Policy::Product] {
        for bits in ["W8A8", "W4A4", "W2A2", "W1A1"] {
            for weight_granularity in [Granularity::PerTensor, Granularity::PerChannel] {
                let bits: Widths = bits.parse().unwrap();
                let config = QuantConfig { bits, policy, weight_granularity, ..QuantConfig::default() };
                let (graph, params, quantization) = calibrated(&config);
                let mut simulated = quantization.simulated();
                let y = graph.infer(&params, images(9, 5), &mut simulated).unwrap();
                let mut integer = quantization.integers().unwrap();
                assert_eq!(y, graph.infer(&params, images(9, 5), &mut integer).unwrap(), "{policy} {bits}");
            }
        }
    }
}

#[test]
fn the_simulation_takes_widths_the_integers_do_not() {
    let config = QuantConfig { bits: "W12A16".parse().unwrap(), ..QuantConfig::default() };
    let (graph, params, quantization) = calibrated(&config);
    let float = graph.infer(&params, images(9, 5), &mut Float).unwrap();
    let mut simulated = quantization.simulated();
    let y = graph.infer(&params, images(9, 5), &mut simulated).unwrap();
    let worst = y.data().iter().zip(float.data()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst > 0.0 && worst < 0.01, "{worst}");
    let other = Quantization { ranges: Ranges::default(), ..quantization }.simulated();
    let error = graph.infer(&params, images(1, 5), &mut { other }).unwrap_err().to_string();
    assert!(error.contains("conv2") && error.contains("calibrate first"), "{error}");
}

#[test]
fn eight_bits_stay_close_to_float() {
    let config = QuantConfig { weight_rule: ScaleRule::SYMMETRIC, ..QuantConfig::default() };
    let (graph, params, quantization) = calibrated(&config);
    let float = graph.infer(&params, images(9, 5), &mut Float).unwrap();
    let mut integer = quantization.integers().unwrap();
    let y = graph.infer(&params, images(9, 5), &mut integer).unwrap();
    let error: f32 = float.data().iter().zip(y.data()).map(|(a, b)| (a - b).powi(2)).sum();
    let signal: f32 = float.data().iter().map(|a| a.powi(2)).sum();
    assert!(error > 0.0 && error < 1e-3 * signal, "{error} of {signal}");
}

#[test]
fn training_updates_ranges_and_reaches_every_weight() {
    for ste in [Ste::Identity, Ste::Clipped] {
        let config =
            QuantConfig { bits: Widths { w: 4, a: 4 }, activation_ste: ste, ..QuantConfig::default() };
        let (graph, mut params) = network();
        let plan = config.policy.plan(&graph, config.bits);
        let mut hook = FakeQuantHook::new(Quantization::new(config.clone(), plan), true);
        let mut tape = Tape::new();
        let forward = graph.forward_train(&mut params, &mut tape, images(8, 0), &mut hook).unwrap();
        let loss = ops::cross_entropy(&mut tape, forward.output, &[0, 1, 2, 3, 4, 0, 1, 2], 0.0).unwrap();
        tape.backward(loss, Tensor::scalar(1.0)).unwrap();
        for name in ["conv1.weight", "conv2.weight", "fc.weight"] {
            let var = forward.params[params.index(name).unwrap()].unwrap();
            assert!(tape.grad(var).unwrap().data().iter().any(|&g| g != 0.0), "{name} {ste:?}");
        }
        // The first batch sets the ranges; the course's policy leaves conv1 in float.
        let first = hook.quantization.ranges.clone();
        assert_eq!(first.0.keys().collect::<Vec<_>>(), ["conv2", "fc"]);
        graph.forward_train(&mut params, &mut Tape::new(), images(8, 400), &mut hook).unwrap();
        assert_ne!(hook.quantization.ranges, first);
        let moved = hook.quantization.ranges.0["conv2"].max - first.0["conv2"].max;
        assert!(moved.abs() < 0.05 * first.0["conv2"].max, "decay 0.99 moves slowly: {moved}");
        // The state goes through a checkpoint unchanged.
        let text = serde_json::to_string(&hook.quantization.ranges).unwrap();
        assert_eq!(serde_json::from_str::<Ranges>(&text).unwrap(), hook.quantization.ranges);
    }
}

#[test]
fn errors_name_the_layer() {
    let config = QuantConfig::default();
    let (graph, mut params, quantization) = calibrated(&config);
    let message = quantization.plan.clone().set("conv9", None).unwrap_err().to_string();
    assert!(message.contains("conv9") && message.contains("conv2"), "{message}");

    let uncalibrated = Quantization { ranges: Ranges::default(), ..quantization.clone() };
    let message = uncalibrated.integers().err().unwrap().to_string();
    assert!(message.contains("conv2") && message.contains("calibrate"), "{message}");

    let mut wide = quantization.clone();
    wide.plan.set("fc", Some(Widths { w: 12, a: 8 })).unwrap();
    let message = wide.integers().err().unwrap().to_string();
    assert!(message.contains("fc") && message.contains("12"), "{message}");

    params.get_mut("conv2.weight").unwrap().data_mut()[3] = f32::NAN;
    let mut hook = quantization.as_trained();
    let message = graph.infer(&params, images(1, 0), &mut hook).unwrap_err().to_string();
    assert!(message.contains("conv2") && message.contains("NaN"), "{message}");
}

#[test]
fn single_layers_take_other_bits_than_the_policy_gives() {
    let (graph, params) = network();
    let config =
        QuantConfig { bits: "W4A8".parse().unwrap(), policy: Policy::Course, ..QuantConfig::default() };
    let plan =
        |bits: &str| Quantizer::new(config.clone()).with_layer_bits(bits.parse().unwrap()).plan(&graph);
    let widths = |bits: &str| plan(bits).unwrap().layers().iter().map(|(_, w)| *w).collect::<Vec<_>>();
    let w = |w, a| Some(Widths { w, a });
    assert_eq!(widths("conv2=1"), [None, w(1, 8), w(4, 8)]);
    assert_eq!(widths("*=2,fc=W3A16"), [w(2, 8), w(2, 8), w(3, 16)], "a float layer's input takes --bits");
    let error = plan("conv3=2").unwrap_err().to_string();
    assert!(error.contains("conv3") && error.contains("conv2"), "{error}");

    let quantizer = Quantizer::new(config).with_layer_bits("conv*=1".parse().unwrap());
    let quantized = quantizer.calibrate(&graph, &params, std::iter::once(images(16, 0))).unwrap();
    let w = quantized.params.get("conv2.weight").unwrap();
    let grid = quantized.quantization.weight_params("conv2", w, 1).unwrap().grid();
    assert_eq!((grid.qmin, grid.qmax), (-1, 0), "one bit of eq 1");
    assert_eq!(quantized.quantization.plan.get("conv2").map(|widths| widths.w), Some(1));
}
