//! Chapter 9: the training loop, over a network and batches of the reader's own. It is stopped in the middle of an epoch
//! and goes on, from what it saved, to the bits of a run that was never stopped.
//!
//! `cargo run -p models --example 6_a_run_that_resumes`

use engine::optim::{Decay, Schedule, Sgd};
use engine::{Graph, Layer, Tensor};
use models::data::loader::Batch;
use models::training::{Ended, Epochs, Watch};
use models::{Checkpoint, Error, Fit, Result, Tally, Trainer};

/// Points of two classes, on either side of a line: an epoch is a function of its number.
struct Points;

impl Epochs for Points {
    fn batches(&self) -> usize {
        5
    }

    fn epoch_from(&self, epoch: usize, first: usize) -> impl Iterator<Item = Batch> {
        (first..5).map(move |number| {
            let point = |i: usize| ((epoch * 131 + number * 17 + i * 7) % 23) as f32 / 11.0 - 1.0;
            let x = Tensor::from_fn([8, 2], point);
            let labels = x.data().chunks(2).map(|p| usize::from(p[0] > p[1])).collect();
            Batch { number, indices: (0..8).collect(), x, labels }
        })
    }
}

/// Keeps the last state, and stops after so many steps.
struct Stop {
    after: usize,
    state: Option<Checkpoint>,
}

impl Watch<Trainer> for Stop {
    type Error = Error;

    fn step(&mut self, _done: usize, _tally: &Tally) {
        self.after -= 1;
    }

    fn stopping(&self) -> bool {
        self.after == 0
    }

    fn evaluate(&mut self, _trainer: &Trainer) -> Result<f64> {
        Ok(0.0)
    }

    fn save(&mut self, state: Checkpoint) -> Result<()> {
        self.state = Some(state);
        Ok(())
    }
}

fn fit() -> Result<Fit<Trainer>> {
    let mut graph = Graph::default();
    let x = graph.add("x", Layer::Input, &[]);
    graph.add("fc", Layer::Linear { i: 2, o: 2 }, &[x]);
    let params = graph.init(1)?;
    let schedule = Schedule { base: 0.5, warmup: 0, total: 20, decay: Decay::Cosine { end: 0.0 } };
    Ok(Fit::new(Trainer::new(graph, params, Sgd::new(0.9, true, 0.0, false), schedule), 4))
}

fn main() -> Result<()> {
    let mut whole = fit()?;
    whole.run(&Points, &mut |_: &Trainer| Ok(0.0))?;

    let (mut torn, mut stop) = (fit()?, Stop { after: 7, state: None });
    assert_eq!(torn.run(&Points, &mut stop)?, Ended::Stopped);
    let mut again = fit()?;
    again.resume(stop.state.expect("a run that stops saves"))?;
    again.run(&Points, &mut |_: &Trainer| Ok(0.0))?;

    assert_eq!(again.learner.params, whole.learner.params);
    let last = again.last().expect("four epochs");
    println!("loss {:.4}, {:.1}% right, after a stop at step 7 as without one", last.loss, last.train_top1);
    Ok(())
}
