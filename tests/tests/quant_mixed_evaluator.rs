//! The evaluation of candidates: equal to the plain way, the same whatever is kept, and no function of what came before.

use engine::{Params, Tensor, ops};
use models::data::augment::Normalization;
use models::data::loader::Loader;
use models::data::synthetic::noise_images;
use models::{Network, Shortcut};
use quant::equalize::{balance, flip};
use quant::mixed::proxy::Proxy;
use quant::mixed::{Evaluator, Images, NO_NETWORK, Rounding};
use quant::{
    Correction, Granularity, Grid, Policy, QParams, QuantConfig, Quantizer, Reference, ScaleRule, Widths,
    fake_quantize,
};

const ROUNDING: Rounding = Rounding {
    rule: ScaleRule::HEURISTIC,
    granularity: Granularity::PerTensor,
    balanced: false,
    flipped: false,
};

/// A small network with running statistics that are its own, two batches to correct on, and images with classes.
fn setup() -> (Network, Vec<Tensor>, Images) {
    let mut network = Network::fresh(8, Shortcut::B, Normalization::TRUE, 3).unwrap();
    let set = noise_images(24, 4, &Normalization::TRUE, 1).unwrap();
    let batches: Vec<Tensor> =
        Loader::evaluation(&set, 8, network.normalization).epoch(0).map(|batch| batch.x).collect();
    for (name, stats) in
        network.graph.batch_statistics(&network.params, batches[0].clone(), &mut engine::Float).unwrap()
    {
        for (what, values) in [("mean", &stats.mean), ("var", &stats.var)] {
            let running = network.params.get_mut(&format!("{name}.running_{what}")).unwrap();
            running.data_mut().copy_from_slice(values);
        }
    }
    let images = Images { x: batches[2].clone(), labels: (0..8).map(|i| i % 10).collect() };
    (network, batches[..2].to_vec(), images)
}

fn evaluator(memory: usize) -> Evaluator {
    let (Network { graph, params, .. }, batches, images) = setup();
    Evaluator::new(&graph, &params, ROUNDING, batches, &images, memory).unwrap()
}

fn candidates(layers: usize) -> Vec<Vec<u32>> {
    let base: Vec<u32> = (0..layers).map(|l| 2 + (l * 5 % 4) as u32).collect();
    let changed = |at: usize| base.iter().enumerate().map(|(l, &b)| if l == at { 7 } else { b }).collect();
    [8, 3, 8, 0, 5].into_iter().map(changed).chain([base.clone()]).collect()
}

#[test]
fn equals_the_correction_and_the_simulation_it_is_a_fast_form_of() {
    let (network, batches, images) = setup();
    let mut evaluator = evaluator(1 << 28);
    let bits = candidates(evaluator.layers().len()).pop().unwrap();
    let got = evaluator.logits(&bits).unwrap();

    let widths = Widths { w: 8, a: 16 };
    let config = QuantConfig {
        bits: widths,
        policy: Policy::Product,
        weight_rule: ROUNDING.rule,
        ..QuantConfig::default()
    };
    let mut plan = config.policy.plan(&network.graph, widths);
    for (layer, &w) in evaluator.layers().iter().zip(&bits) {
        plan.set(&layer.name, Some(Widths { w, a: 16 })).unwrap();
    }
    let quantizer = Quantizer::new(config).with_plan(plan).with_residual_bits(16);
    // Rounding drives activations out of the float network's ranges, where 16 bits would clip: ranges with room.
    let all = || batches.iter().chain([&images.x]).map(|x| x.map(|x| 4.0 * x));
    let quantized = quantizer.calibrate(&network.graph, &network.params, all()).unwrap();
    let reference = Reference::new(&network.graph, &network.params, batches.iter().cloned()).unwrap();
    let params: Params = reference.correct(&quantized.quantization, Correction::BatchNorm).unwrap();
    let mut hook = quantized.quantization.simulated();
    let want = network.graph.infer(&params, images.x.clone(), &mut hook).unwrap();

    let largest = want.data().iter().fold(0.0f32, |m, v| m.max(v.abs()));
    for (got, want) in got.data().iter().zip(want.data()) {
        assert!((got - want).abs() <= 1e-3 * largest, "{got} instead of {want}, the largest is {largest}");
    }
    let share = 100.0 * ops::accuracy(&got, &images.labels) as f64 / 8.0;
    assert_eq!(evaluator.accuracy(&bits).unwrap(), share);
}

#[test]
fn what_is_kept_changes_nothing() {
    let (mut keeps, mut forgets) = (evaluator(1 << 28), evaluator(0));
    for bits in candidates(keeps.layers().len()) {
        let fresh = evaluator(0).logits(&bits).unwrap();
        assert_eq!(keeps.logits(&bits).unwrap().data(), fresh.data(), "{bits:?}");
        assert_eq!(forgets.logits(&bits).unwrap().data(), fresh.data(), "{bits:?}");
    }
}

#[test]
fn guessed_costs_fall_with_every_bit() {
    let evaluator = evaluator(0);
    for (name, proxy) in Proxy::TABLE {
        let costs = evaluator.costs(proxy, 1..=8).unwrap();
        assert_eq!(costs.len(), evaluator.layers().len());
        for row in costs {
            assert!(
                row.len() == 8 && row.windows(2).all(|pair| pair[0] > pair[1] && pair[1] >= 0.0),
                "{name} {row:?}"
            );
        }
    }
}

/// In a block with a shortcut layers are computed in another order than they have in the network.
#[test]
fn a_guessed_cost_is_that_of_the_layer_at_its_place() {
    let (Network { graph, mut params, .. }, batches, images) = setup();
    for exact in ["layer2.0.conv2", "layer2.0.downsample.0"] {
        // Of one size, so that two bits lose nothing.
        let float = params.get(&format!("{exact}.weight")).unwrap().clone();
        params
            .get_mut(&format!("{exact}.weight"))
            .unwrap()
            .data_mut()
            .iter_mut()
            .for_each(|w| *w = w.signum());
        let evaluator = Evaluator::new(&graph, &params, ROUNDING, batches.clone(), &images, 0).unwrap();
        for (name, proxy) in Proxy::TABLE {
            for (layer, row) in evaluator.layers().iter().zip(evaluator.costs(proxy, 2..=3).unwrap()) {
                assert_eq!(row[0] < 1e-9, layer.name == exact, "{name}: {} costs {row:?}", layer.name);
            }
        }
        *params.get_mut(&format!("{exact}.weight")).unwrap() = float;
    }
}

#[test]
fn sizes_are_those_of_the_stored_scales() {
    let (Network { graph, params, .. }, batches, images) = setup();
    let scales = |rounding| {
        let evaluator = Evaluator::new(&graph, &params, rounding, batches.clone(), &images, 0).unwrap();
        evaluator.layers().iter().map(|layer| layer.scales).collect::<Vec<_>>()
    };
    let per_channel = scales(Rounding { granularity: Granularity::PerChannel, ..ROUNDING });
    assert_eq!((per_channel[0], *per_channel.last().unwrap()), (16, 10));
    assert!(scales(Rounding { balanced: true, ..ROUNDING }).iter().all(|&scales| scales == 1));
}

#[test]
fn what_is_flipped_and_balanced_rounds_as_the_corrections_do() {
    let (Network { graph, params, .. }, ..) = setup();
    let rounding = Rounding { balanced: true, flipped: true, ..ROUNDING };
    for bits in [1, 2, 4] {
        let widths = Widths { w: bits, a: 16 };
        let plan = Policy::Course.plan(&graph, widths);
        let (mut turned, before) = (params.clone(), &params);
        flip(&graph, &mut turned, &plan, ROUNDING.rule).unwrap();
        let (mut balanced, signs) = (turned.clone(), turned);
        let scales = balance(&graph, &mut balanced, &plan, ROUNDING.rule).unwrap();
        for (layer, scales) in scales {
            let node = graph.nodes().iter().find(|node| node.name == layer).unwrap();
            let [w, turned, even] =
                [before, &signs, &balanced].map(|p| p.get(&format!("{layer}.weight")).unwrap());
            let q = QParams::per_tensor(Grid::signed(bits).unwrap(), scales[0], 0).unwrap();
            let stored = fake_quantize(even, &q).unwrap();
            let got = rounding.round(&node.layer, w, bits).unwrap();
            // The factor and the sign of each channel, taken back.
            for (i, got) in got.data().iter().enumerate() {
                let factor = turned.data()[i] / even.data()[i];
                let sign = if turned.data()[i] == w.data()[i] { 1.0 } else { -1.0 };
                let want = sign * factor * stored.data()[i];
                assert!((got - want).abs() <= 1e-5 * want.abs(), "{layer}, {bits} bits: {got} and {want}");
            }
        }
    }
}

/// At 0 bits a layer is dropped: no network if nothing goes around it.
#[test]
fn what_nothing_goes_around_is_no_network() {
    let (Network { graph, params, .. }, batches, mut images) = setup();
    let layers = evaluator(0).layers().len();
    for layer in 0..layers {
        let bits: Vec<u32> = (0..layers).map(|l| if l == layer { 0 } else { 4 }).collect();
        // The classes it is asked for are those that it gives, so that a network is right about all.
        images.labels = evaluator(0).logits(&bits).unwrap().data().chunks(10).map(ops::argmax).collect();
        let calibration = batches.clone();
        let mut evaluator = Evaluator::new(&graph, &params, ROUNDING, calibration, &images, 0).unwrap();
        let name = evaluator.layers()[layer].name.clone();
        let quantizer =
            Quantizer::new(QuantConfig::default()).with_layer_bits(format!("{name}=0").parse().unwrap());
        let expected = if quantizer.plan(&graph).is_ok() { 100.0 } else { NO_NETWORK };
        assert_eq!(evaluator.accuracy(&bits).unwrap(), expected, "{name}");
        let cost = evaluator.costs(Proxy::Sqnr, 0..=2).unwrap()[layer][0];
        assert_eq!(cost.is_infinite(), expected == NO_NETWORK, "{name}");
    }
}
