use engine::optim::{Decay, Schedule, Sgd};
use quant::mixed::size_bytes;
use quant::{QuantConfig, Quantizer};

use super::*;
use crate::data::augment::{Augment, Normalization};
use crate::data::loader::Loader;
use crate::data::synthetic::noise_images;
use crate::{Network, QuantizedNetwork, Shortcut};

fn start() -> (QatTrainer, Loader) {
    with(QuantConfig::default())
}

fn with(config: QuantConfig) -> (QatTrainer, Loader) {
    let network = Network::fresh(8, Shortcut::B, Normalization::TRUE, 3).unwrap();
    let set = noise_images(24, 4, &Normalization::TRUE, 1).unwrap();
    let loader = Loader::training(&set, 8, network.normalization, Augment::STANDARD, 5);
    let config = QuantConfig { bits: "W4A4".parse().unwrap(), ..config };
    let quantizer = Quantizer::new(config);
    let quantized = QuantizedNetwork::calibrate(&network, &quantizer, loader.epoch(0)).unwrap();
    let schedule = Schedule { base: 0.05, warmup: 0, total: 6, decay: Decay::Cosine { end: 0.0 } };
    let sgd = Sgd::new(0.9, true, 1e-4, false);
    let trainer = Trainer::new(network.graph, quantized.network.params, sgd, schedule).with_ema(0.5);
    (QatTrainer::new(trainer, quantized.quantization).unwrap(), loader)
}

#[test]
fn the_loss_falls_and_the_ranges_move() {
    let (mut qat, loader) = start();
    let before = qat.hook.quantization.ranges.clone();
    let mut losses = Vec::new();
    for epoch in 0..2 {
        for batch in loader.epoch(epoch) {
            losses.push(qat.learn(batch).unwrap().mean_loss());
        }
    }
    assert!(losses[5] < 0.8 * losses[0], "{losses:?}");
    assert_ne!(qat.hook.quantization.ranges, before);
    assert_eq!(&qat.quantized().unwrap().params, qat.trainer.averaged());
}

#[test]
fn a_resumed_run_continues_to_the_same_bits() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.safetensors");
    let (mut whole, loader) = start();
    let (mut first, _) = start();
    for (i, batch) in loader.epoch(0).enumerate() {
        whole.learn(batch.clone()).unwrap();
        if i < 2 {
            first.learn(batch).unwrap();
        }
    }
    first.state().write(&path).unwrap();
    let (mut second, _) = start();
    second.restore(Checkpoint::read(&path).unwrap()).unwrap();
    assert_eq!(second.trainer.step, 2);
    loader.epoch_from(0, 2).for_each(|batch| _ = second.learn(batch).unwrap());
    assert_eq!(second.trainer.params, whole.trainer.params);
    assert_eq!(second.hook.quantization.ranges, whole.hook.quantization.ranges);
    assert_eq!(second.trainer.averaged(), whole.trainer.averaged());
}

#[test]
fn frozen_weights_stay_on_their_codes_and_a_run_that_freezes_resumes() {
    let freezing = || {
        let steps = quant::StepRule::Lsq;
        let (mut qat, loader) =
            with(QuantConfig { freezing: 1e-3, weight_step: steps, ..QuantConfig::default() });
        qat.trainer.schedule = Schedule { total: 60, ..qat.trainer.schedule };
        (qat, loader)
    };
    let (mut whole, loader) = freezing();
    let (mut first, _) = freezing();
    for (i, batch) in (0..20).flat_map(|epoch| loader.epoch(epoch)).enumerate() {
        whole.learn(batch.clone()).unwrap();
        if i < 40 {
            first.learn(batch).unwrap();
        }
    }
    let share = whole.hook.frozen_share().unwrap();
    assert!(share > 0.0 && share < 0.5, "{share}");
    assert!(first.hook.frozen_share().unwrap() > 0.0);
    let (mut second, _) = freezing();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.safetensors");
    first.state().write(&path).unwrap();
    second.restore(Checkpoint::read(&path).unwrap()).unwrap();
    let rest = (0..20).flat_map(|epoch| loader.epoch(epoch)).skip(40);
    rest.for_each(|batch| _ = second.learn(batch).unwrap());
    assert_eq!(second.trainer.params, whole.trainer.params);
    assert_eq!(second.hook.oscillations, whole.hook.oscillations);
    // What was frozen then has the same code now.
    let mut frozen = 0;
    for (layer, seen) in &first.hook.oscillations {
        let [(_, code), _, (_, frequency), _] = seen.state();
        let is_frozen = |f: &f32| *f > 1.0; // more often than always
        let w = whole.trainer.params.get(&format!("{layer}.weight")).unwrap();
        let s = whole.hook.steps.known(&format!("{layer}.weight")).unwrap()[0];
        for (i, _) in frequency.data().iter().enumerate().filter(|(_, f)| is_frozen(f)) {
            assert_eq!(w.data()[i], code.data()[i] * s, "{layer}");
            frozen += 1;
        }
    }
    assert!(frozen > 0);
    let broken = |mut state: Checkpoint| {
        state.tensors.retain(|(name, _)| name != "oscillations.layer1.0.conv1.mean");
        freezing().0.restore(state).unwrap_err().to_string()
    };
    assert!(broken(first.state()).contains("`mean` is missing"), "{}", broken(first.state()));
}

#[test]
fn normalized_weights_are_those_of_the_network_that_comes_out() {
    let (mut qat, loader) = with(QuantConfig { weight_norm: true, damping: 0.01, ..QuantConfig::default() });
    let start = qat.quantized().unwrap().params;
    loader.epoch(0).for_each(|batch| _ = qat.learn(batch).unwrap());
    let params = qat.quantized().unwrap().params;
    for (before, after) in start.iter().zip(params.iter()).filter(|(p, _)| p.name.ends_with("conv2.weight")) {
        let spread = |w| quant::training::weight_norm::spread(w).unwrap();
        assert!((spread(&before.value) / spread(&after.value) - 1.0).abs() < 1e-5, "{}", before.name);
        assert!(after.value.data().iter().sum::<f32>().abs() < 1e-3, "{}", after.name);
        assert_ne!(before.value, after.value);
    }
    assert!(qat.hook.progress > 0.2, "{}", qat.hook.progress);
}

#[test]
fn learned_widths_become_whole_bits_within_their_target_and_resume() {
    let with_widths = || {
        let (qat, loader) = start();
        let all = qat.quantized().unwrap();
        let bytes = size_bytes(&all.quantization.layer_sizes(&all.params).unwrap(), &[4; 8]);
        (qat.with_learned_widths(bytes * 5 / 8, 0.3).unwrap(), loader, bytes)
    };
    let (mut qat, loader, bytes) = with_widths();
    qat.trainer.schedule = Schedule { decay: Decay::Cosine { end: 0.5 }, ..qat.trainer.schedule };
    let (mut first, _, _) = with_widths();
    first.trainer.schedule = qat.trainer.schedule.clone();
    for (i, batch) in (0..12).flat_map(|epoch| loader.epoch(epoch)).enumerate() {
        qat.learn(batch.clone()).unwrap();
        if i < 20 {
            first.learn(batch).unwrap();
        }
    }
    let quantized = qat.quantized().unwrap();
    let sizes = quantized.quantization.layer_sizes(&quantized.params).unwrap();
    let bits: Vec<u32> =
        quantized.quantization.plan.layers().iter().filter_map(|(_, widths)| Some((*widths)?.w)).collect();
    assert!(size_bytes(&sizes, &bits) <= bytes * 5 / 8, "{bits:?}");
    assert!(bits.iter().all(|b| (1..=4).contains(b)) && bits.iter().any(|&b| b != bits[0]), "{bits:?}");

    let (mut second, _, _) = with_widths();
    second.trainer.schedule = qat.trainer.schedule.clone();
    second.restore(first.state()).unwrap();
    (0..12).flat_map(|epoch| loader.epoch(epoch)).skip(20).for_each(|batch| _ = second.learn(batch).unwrap());
    assert_eq!(second.hook.widths, qat.hook.widths);
    assert_eq!(second.trainer.params, qat.trainer.params);

    let (mut other, _) = start();
    let error = other.restore(first.state()).unwrap_err().to_string();
    assert!(error.contains("metadata `learned_widths`"), "{error}");
}

#[test]
fn without_a_learning_rate_the_weights_stay() {
    let (mut qat, loader) = with(QuantConfig { damping: 0.5, ..QuantConfig::default() });
    qat.trainer.schedule.base = 0.0;
    let before = qat.trainer.params.get("fc.weight").unwrap().clone();
    loader.epoch(0).for_each(|batch| _ = qat.learn(batch).unwrap());
    assert_eq!(qat.trainer.params.get("fc.weight").unwrap(), &before);
    assert_eq!(qat.hook.progress, 0.0);
}

#[test]
fn frozen_norms_keep_their_statistics_while_weights_move() {
    let (mut qat, loader) = start();
    qat.trainer.frozen_from = Some(1);
    let mut batches = loader.epoch(0);
    qat.learn(batches.next().unwrap()).unwrap();
    let before = qat.trainer.params.clone();
    qat.learn(batches.next().unwrap()).unwrap();
    for (before, after) in before.iter().zip(qat.trainer.params.iter()) {
        let statistic = before.name.contains(".running_");
        assert_eq!(before.value == after.value, statistic, "{}", before.name);
    }
}

#[test]
fn a_float_runs_state_is_refused() {
    let (mut qat, _) = start();
    let state = qat.trainer.state();
    assert!(qat.restore(state).unwrap_err().to_string().contains("metadata `ranges`: is missing"));
}
