//! Float networks of every shape, calibrated and lowered: a reason in one line, or integers on which engine and reference
//! agree.

use engine::{Graph, Layer, NodeId, Params, Role, Tensor};
use quant::scale::TABLE;
use quant::{ActivationRule, Granularity, LayerBits, Policy, QuantConfig, Quantizer, Widths};

use super::choices::Choices;
use super::integer_network::{agree, comes_back};
use super::one_line;

/// A network that the bytes choose: mostly of a form that integers have, sometimes not.
pub(super) fn lowered(bytes: &[u8]) {
    let choices = &mut Choices(bytes);
    let image = [1 + choices.below(8), 1 + choices.below(8), choices.of(&[1, 2, 3, 5])];
    let graph = network(choices, image);
    if one_line(graph.extents(image)).is_none() {
        return;
    }
    let Some(mut params) = one_line(graph.init(u64::from(choices.byte()))) else { return };
    distort(choices, &mut params);
    let bits = Widths { w: 1 + choices.below(8) as u32, a: 1 + choices.below(16) as u32 };
    let config = QuantConfig {
        bits,
        policy: if choices.rarely(16) { Policy::Course } else { Policy::Product },
        weight_rule: choices.of(&TABLE),
        weight_granularity: choices.of(&[Granularity::PerTensor, Granularity::PerChannel]),
        ..QuantConfig::default()
    };
    let quantizer = Quantizer::new(config)
        .with_activation_rule(ActivationRule::Scale(choices.of(&TABLE)))
        .with_residual_bits(1 + choices.below(16) as u32);
    let quantizer = match choices.rarely(4) {
        true => quantizer.with_layer_bits(LayerBits::of([(
            format!("block{}.conv", choices.below(5)).as_str(),
            0,
            None,
        )])),
        false => quantizer,
    };
    let (mut rng, loud) = (choices.rng(), choices.magnitude(-6, 6) as f32);
    let [h, w, c] = image;
    let images = Tensor::from_fn([2, h, w, c], |_| loud * rng.normal());
    let calibrated = quantizer.calibrate(&graph, &params, std::iter::once(images));
    let Some(quantized) = one_line(calibrated) else { return };
    let pixel = |c: usize, p: u8| loud * (f32::from(p) / 64.0 - 2.0 + c as f32 / 8.0);
    if let Some(graph) = one_line(quantized.lower(image, &pixel)) {
        comes_back(&graph);
        agree(&graph, &mut rng);
    }
}

/// Convolutions with batch norms, sums, ReLUs, in any order that shapes allow, then a pool and a classifier.
fn network(choices: &mut Choices<'_>, image: [usize; 3]) -> Graph {
    let mut graph = Graph::default();
    let mut x = graph.add("input", Layer::Input, &[]);
    let mut c = image[2];
    // What can be added: results of this many channels and this total stride.
    let (mut halvings, mut sums) = (0, Vec::<(NodeId, usize, usize)>::new());
    for i in 0..=choices.below(4) {
        let from = x;
        let name = |part: &str| format!("block{i}.{part}");
        if i > 0 && choices.rarely(5) {
            let (lo, hi) = (choices.below(3), choices.below(3));
            x = graph.add(name("subsample"), Layer::SubsamplePad { stride: 2, lo, hi }, &[x]);
            (c, halvings) = (c + lo + hi, halvings + 1);
        } else {
            let (o, stride) = (choices.of(&[c, c, 1, 3, 8, 16, 17]), choices.of(&[1, 1, 1, 2]));
            let kernel = choices.of(&[3, 3, 1]);
            let conv = Layer::Conv2d { c, o, kernel, stride, padding: kernel / 2 };
            x = graph.add(name("conv"), conv, &[from]);
            (c, halvings) = (o, halvings + usize::from(stride == 2));
            if !choices.rarely(16) {
                x = graph.add(name("bn"), Layer::BatchNorm { c }, &[x]);
            }
        }
        let same: Vec<_> = sums.iter().filter(|s| (s.1, s.2) == (c, halvings)).map(|s| s.0).collect();
        if !same.is_empty() && choices.below(2) == 1 {
            x = graph.add(name("add"), Layer::Add, &[x, choices.of(&same)]);
        }
        if !choices.rarely(4) {
            x = graph.add(name("relu"), Layer::Relu, &[x]);
        }
        sums.push((x, c, halvings));
    }
    if !choices.rarely(32) {
        x = graph.add("pool", Layer::GlobalAvgPool, &[x]);
    }
    graph.add("fc", Layer::Linear { i: c, o: choices.of(&[1, 2, 10, 33]) }, &[x]);
    graph
}

/// Parameters as training may leave them, and worse: channels that are dead, huge or tiny, negative gammas.
fn distort(choices: &mut Choices<'_>, params: &mut Params) {
    for param in params.iter_mut() {
        if choices.ended() {
            return;
        }
        let (how, mut rng) = (choices.below(6), choices.rng());
        let (loud, shape) = (choices.magnitude(-20, 20) as f32, param.value.shape());
        let positive = param.name.ends_with("running_var");
        if param.role == Role::Weight && how < 4 {
            continue;
        }
        let old = param.value.clone();
        param.value = Tensor::from_fn(shape, |i| {
            let value = match how {
                0 | 1 => old.data()[i] + 0.5 * rng.normal(),
                2 => loud * rng.normal(),
                3 => {
                    if rng.below(3) == 0 {
                        0.0
                    } else {
                        old.data()[i]
                    }
                }
                4 => {
                    if rng.below(4) == 0 {
                        loud * old.data()[i]
                    } else {
                        old.data()[i]
                    }
                }
                _ => loud,
            };
            if positive { value.abs() } else { value }
        });
    }
}
