use std::cell::Cell;

use engine::optim::{Decay, Schedule, Sgd};
use engine::{Graph, Layer, Params, Tensor};

use super::*;
use crate::Trainer;

/// A line through two clouds of points, in batches made from their number alone.
struct Clouds;

impl Epochs for Clouds {
    fn batches(&self) -> usize {
        4
    }

    fn epoch_from(&self, epoch: usize, first: usize) -> impl Iterator<Item = Batch> {
        (first..4).map(move |number| {
            let labels = vec![0, 1, 0, 1];
            let x = Tensor::from_fn([4, 2], |i| {
                let (point, axis) = (i / 2, i % 2);
                let center = if labels[point] == axis { 1.0 } else { -1.0 };
                center + 0.1 * ((epoch * 31 + number * 7 + i) % 5) as f32
            });
            Batch { number, indices: vec![0, 1, 2, 3], x, labels }
        })
    }
}

/// Any graph will do: no residual network, no images.
fn trainer() -> Trainer {
    let mut graph = Graph::default();
    let x = graph.add("x", Layer::Input, &[]);
    graph.add("fc", Layer::Linear { i: 2, o: 2 }, &[x]);
    let params = graph.init(1).unwrap();
    let schedule = Schedule { base: 0.1, warmup: 0, total: 12, decay: Decay::Cosine { end: 0.0 } };
    Trainer::new(graph, params, Sgd::new(0.9, true, 0.0, false), schedule).with_ema(0.5)
}

/// Keeps what it is told, and stops after so many steps.
struct Recorder {
    stop_after: usize,
    steps: Cell<usize>,
    metrics: Vec<EpochMetrics>,
    state: Option<Checkpoint>,
}

impl Recorder {
    fn new(stop_after: usize) -> Self {
        Self { stop_after, steps: Cell::new(0), metrics: Vec::new(), state: None }
    }
}

impl Watch<Trainer> for Recorder {
    type Error = Error;

    fn step(&mut self, _done: usize, _tally: &Tally) {
        self.steps.set(self.steps.get() + 1);
    }

    fn stopping(&self) -> bool {
        self.steps.get() >= self.stop_after
    }

    fn evaluate(&mut self, trainer: &Trainer) -> Result<f64> {
        Ok(trainer.step as f64)
    }

    fn epoch(&mut self, _trainer: &Trainer, metrics: &EpochMetrics) -> Result<()> {
        self.metrics.push(EpochMetrics { images_per_s: 0.0, seconds: 0.0, ..metrics.clone() });
        Ok(())
    }

    fn save(&mut self, state: Checkpoint) -> Result<()> {
        self.state = Some(state);
        Ok(())
    }
}

fn whole() -> (Params, Vec<EpochMetrics>) {
    let (mut fit, mut watch) = (Fit::new(trainer(), 3), Recorder::new(usize::MAX));
    assert_eq!(fit.run(&Clouds, &mut watch).unwrap(), Ended::Finished);
    (fit.learner.params, watch.metrics)
}

#[test]
fn a_run_stopped_after_any_step_goes_on_to_the_same_bits() {
    let (params, metrics) = whole();
    for stop_after in 1..12 {
        let (mut fit, mut watch) = (Fit::new(trainer(), 3), Recorder::new(stop_after));
        assert_eq!(fit.run(&Clouds, &mut watch).unwrap(), Ended::Stopped, "{stop_after}");
        let before = watch.metrics.len();
        let mut again = Fit::new(trainer(), 3);
        again.resume(watch.state.take().unwrap()).unwrap();
        assert_eq!(again.last().map(|m| m.epoch), (before > 0).then_some(before), "{stop_after}");
        watch.stop_after = usize::MAX;
        assert_eq!(again.run(&Clouds, &mut watch).unwrap(), Ended::Finished);
        assert_eq!(again.learner.params, params, "{stop_after}");
        assert_eq!(watch.metrics, metrics, "{stop_after}");
    }
}

#[test]
fn a_stop_in_the_last_step_is_an_end() {
    let (mut fit, mut watch) = (Fit::new(trainer(), 3), Recorder::new(12));
    assert_eq!(fit.run(&Clouds, &mut watch).unwrap(), Ended::Finished);
    assert_eq!(watch.metrics.len(), 3);
}

#[test]
fn the_loss_falls_and_every_epoch_is_measured_at_its_end() {
    let (_, metrics) = whole();
    assert_eq!(metrics.iter().map(|m| m.step).collect::<Vec<_>>(), [4, 8, 12]);
    assert_eq!(metrics.iter().map(|m| m.test_top1).collect::<Vec<_>>(), [4.0, 8.0, 12.0]);
    assert!(metrics[2].loss < 0.5 * metrics[0].loss, "{metrics:?}");
}

#[test]
fn states_are_saved_within_an_epoch_too() {
    struct Count(usize);
    impl Watch<Trainer> for Count {
        type Error = Error;
        fn evaluate(&mut self, _trainer: &Trainer) -> Result<f64> {
            Ok(0.0)
        }
        fn save(&mut self, _state: Checkpoint) -> Result<()> {
            self.0 += 1;
            Ok(())
        }
    }
    for (every, saves) in [(0, 3), (3, 6), (1, 12)] {
        let (mut fit, mut watch) = (Fit::new(trainer(), 3).with_checkpoints_every(every), Count(0));
        fit.run(&Clouds, &mut watch).unwrap();
        assert_eq!(watch.0, saves, "every {every}");
    }
}

#[test]
fn a_run_that_diverges_says_so() {
    let mut fit = Fit::new(trainer(), 3);
    fit.learner.params.iter_mut().for_each(|p| p.value.data_mut().fill(f32::INFINITY));
    let error = fit.run(&Clouds, &mut |_: &Trainer| Ok(0.0)).unwrap_err();
    assert!(matches!(error, Error::Training(_)), "{error}");
}
