//! Nothing in, nothing out: no images are no error where a result for each is wanted, and a refusal where an average over
//! them is. No other extent may be 0. In no case is there a panic.

use engine::fast::{self, Algorithm};
use engine::kernel::Isa;
use engine::ops::{self, BatchNormMode};
use engine::{Float, Hook, Mode, Result, Tape, Tensor, Var};
use models::data::augment::Normalization;
use models::{Network, QuantizedNetwork, Shortcut};
use quant::int_graph::IntEngine;
use quant::{Grid, Policy, QParams, QuantConfig, Quantizer, ScaleRule, Symmetry};

const TRAIN: BatchNormMode<'static> = BatchNormMode::Train { eps: 1e-5 };
const EVAL: BatchNormMode<'static> = BatchNormMode::Eval { mean: &[0.5; 16], var: &[2.0; 16], eps: 1e-5 };

/// The operation on empty leaves, forward and backward: the shape of its result and of its gradients.
fn shapes<const N: usize>(
    leaves: [&[usize]; N],
    op: impl Fn(&mut Tape, [Var; N]) -> Result<Var>,
) -> Result<Vec<Vec<usize>>> {
    let mut tape = Tape::new();
    let vars = leaves.map(|dims| tape.leaf(Tensor::zeros(dims), true));
    let y = op(&mut tape, vars)?;
    let dims = tape.value(y).dims().to_vec();
    tape.backward(y, Tensor::zeros(&dims[..]))?;
    let gradients = vars.map(|v| tape.take_grad(v).map_or(Vec::new(), |g| g.dims().to_vec()));
    Ok([dims].into_iter().chain(gradients).collect())
}

#[test]
fn no_images_make_no_results_and_gradients_of_zero() {
    let conv = |x: [usize; 4], w: [usize; 4], algorithm: Option<Algorithm>| {
        shapes([&x, &w], |tape, [x, w]| match algorithm {
            None => ops::conv2d(tape, x, w, None, 1, 1),
            Some(algorithm) => fast::conv2d(tape, algorithm, x, w, None, [1, 1]),
        })
    };
    let isa = Isa::active();
    let fast = [Algorithm::Im2col, Algorithm::Direct(isa), Algorithm::Winograd(isa)].map(Some);
    for algorithm in [None].into_iter().chain(fast) {
        let (x, w) = ([0, 8, 8, 16], [16, 3, 3, 16]);
        assert_eq!(conv(x, w, algorithm).unwrap(), [x, x, w], "{algorithm:?}");
    }
    let x = [0, 8, 8, 16];
    let (vector, image): (&[usize], &[usize]) = (&[16], &x);
    for norm in [ops::batch_norm, fast::batch_norm] {
        let got = shapes([image, vector, vector], |t, [x, g, b]| Ok(norm(t, x, g, b, EVAL)?.0)).unwrap();
        assert_eq!(got, [image, image, vector, vector]);
    }
    let got = shapes([image], |t, [x]| ops::global_avg_pool(t, x)).unwrap();
    assert_eq!(got, [vec![0, 16], x.to_vec()]);
    let got = shapes([&[0, 4], &[10, 4], &[10]], |t, [x, w, b]| ops::linear(t, x, w, b)).unwrap();
    assert_eq!(got, [vec![0, 10], vec![0, 4], vec![10, 4], vec![10]]);
    assert_eq!(shapes([image], |t, [x]| Ok(ops::relu(t, x))).unwrap(), [image, image]);
    assert_eq!(shapes([image, image], |t, [a, b]| ops::add(t, a, b)).unwrap(), [image, image, image]);
    let got = shapes([image], |t, [x]| ops::subsample_pad(t, x, 2, 8, 8)).unwrap();
    assert_eq!(got, [vec![0, 4, 4, 32], x.to_vec()]);
    assert_eq!(ops::softmax(&Tensor::zeros([0, 10])).dims(), [0, 10]);
    assert_eq!(ops::softmax(&Tensor::zeros([3, 0])).dims(), [3, 0]);
    assert_eq!(ops::accuracy(&Tensor::zeros([0, 10]), &[]), 0);
    assert_eq!(ops::accuracy(&Tensor::zeros([2, 0]), &[0, 1]), 0);
}

#[test]
fn averages_over_nothing_and_images_without_pixels_or_channels_are_refused() {
    let refusal = |what: Result<Vec<Vec<usize>>>| what.unwrap_err().to_string();
    for norm in [ops::batch_norm, fast::batch_norm] {
        for x in [[0, 8, 8, 16], [2, 0, 8, 16]] {
            let message = shapes([&x, &[16], &[16]], |t, [x, g, b]| Ok(norm(t, x, g, b, TRAIN)?.0));
            assert!(refusal(message).contains("nothing to take mean and variance of"));
        }
        let message = shapes([&[2, 8, 8, 0], &[0], &[0]], |t, [x, g, b]| Ok(norm(t, x, g, b, TRAIN)?.0));
        assert!(refusal(message).contains("nothing to take mean and variance of"));
    }
    for x in [[2, 0, 8, 16], [2, 8, 0, 16], [2, 8, 8, 0]] {
        let message = refusal(shapes([&x], |t, [x]| ops::global_avg_pool(t, x)));
        assert!(message.contains("with pixels and channels"), "{message}");
    }
    for (i, o) in [(0, 10), (4, 0)] {
        let message = refusal(shapes([&[2, i], &[o, i], &[o]], |t, [x, w, b]| ops::linear(t, x, w, b)));
        assert!(message.contains("do not fit"), "{message}");
    }
    let message = refusal(shapes([&[0, 10]], |t, [x]| ops::cross_entropy(t, x, &[], 0.0)));
    assert_eq!(message, "cross_entropy: no rows of logits to average over");
}

/// Every way to run a network, on no images.
#[test]
fn a_network_classifies_no_images_and_does_not_learn_from_them() {
    let mut network = Network::fresh(8, Shortcut::B, Normalization::COURSE, 3).unwrap();
    let none = || Tensor::zeros([0, 32, 32, 3]);
    let (graph, params) = (&network.graph, &network.params);
    let fast = graph.infer(params, none(), &mut Float).unwrap();
    let mut tape = Tape::inference();
    let plain = graph.forward_plain(params, &mut tape, none(), Mode::Eval, &mut Float).unwrap().output;
    assert_eq!((fast.dims(), tape.value(plain).dims()), (&[0, 10][..], &[0, 10][..]));

    // Under quantization, simulated, as trained, layer by layer in integers, and in integers alone.
    let images = || std::iter::once(Tensor::from_fn([4, 32, 32, 3], |i| (i as f32 * 0.37).sin()));
    let of = |policy| {
        let config = QuantConfig { bits: "W4A4".parse().unwrap(), policy, ..QuantConfig::default() };
        Quantizer::new(config).calibrate(graph, params, images()).unwrap()
    };
    let quantization = of(Policy::Course).quantization;
    let mut hooks: [Box<dyn Hook>; 3] = [
        Box::new(quantization.simulated()),
        Box::new(quantization.as_trained()),
        Box::new(quantization.integers().unwrap()),
    ];
    for hook in &mut hooks {
        assert_eq!(graph.infer(params, none(), hook.as_mut()).unwrap().dims(), [0, 10]);
    }
    let whole = QuantizedNetwork::of(&network, of(Policy::Product)).lower().unwrap();
    assert_eq!(IntEngine::new(whole).unwrap().run(&[]).unwrap().len(), 0);

    let plain = graph.forward_plain(params, &mut Tape::new(), none(), Mode::Train, &mut Float);
    assert!(plain.is_err());
    let fast = network.graph.forward_train(&mut network.params, &mut Tape::new(), none(), &mut Float);
    assert_eq!(fast.err().unwrap().to_string(), "conv_norm: no images to take mean and variance of");
}

/// What has no values has no scale, but it can be quantized by a scale that is given.
#[test]
fn quantizers_take_nothing_and_rules_say_what_they_need() {
    let (none, grid) = (Tensor::zeros([0, 16]), Grid::signed(4).unwrap());
    let q = QParams::per_tensor(grid, 0.5, 0).unwrap();
    let x_int = quant::linear_quantize::<i8>(&none, &q).unwrap();
    assert_eq!(quant::linear_dequantize(&x_int, &q).unwrap().dims(), [0, 16]);
    quant::numbers::analysis::error_report(&none, &q)
        .map_or_else(|e| assert!(!e.to_string().contains('\n')), drop);
    for name in quant::scale::names() {
        let rule = ScaleRule::parse(name).unwrap();
        for result in [rule.scale(none.data(), grid), quant::get_scale(&none, 4, rule, true)] {
            result
                .map_or_else(|e| assert!(!e.to_string().contains('\n')), |s| assert!(s > 0.0, "{name}: {s}"));
        }
        for symmetry in [Symmetry::Symmetric, Symmetry::Asymmetric] {
            let q = quant::reset_scale_and_zero_point(&none, 4, rule, symmetry, true);
            q.map_or_else(
                |e| assert!(!e.to_string().contains('\n')),
                |q| assert!(grid.contains(-q.zero_points()[0])),
            );
        }
    }
}
