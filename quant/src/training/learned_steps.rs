//! The learned steps of a network in training: each layer's weight step (or those of its output channels) and input step,
//! moved by gradient descent.
//!
//! ```text
//! v <- 0.9 v + g ds        g = 1 / sqrt(N qmax), LSQ section 2.2
//! s <- s - rate v          never below a thousandth of the step the training began with
//! ```
//!
//! or, in the log domain, where a step cannot become negative and a large step moves as far as a small one in
//! proportion: with `s = s_0 exp(t / s_0)`, where `t` begins at 0 and has the units of a step,
//!
//! ```text
//! v <- 0.9 v + g ds s / s_0      s <- s exp(-rate v / s_0)                                    (9i)
//! ```
//!
//! Both begin alike: at `s = s_0` the first factor is 1, and `exp(-e)` is `1 - e` for small moves.
//!
//! No weight decay: the paper's recipe. Steps live beside the network's parameters rather than among them, since
//! they belong to the quantization: when training ends they become the activation ranges and fixed weight scales of an
//! ordinary quantized network.

use std::collections::BTreeMap;

use engine::{Result, Tape, Tensor, Var};
use serde::{Deserialize, Serialize};

/// Share of the old velocity kept.
const MOMENTUM: f32 = 0.9;
/// The smallest a step may become, as a share of its first value.
const FLOOR: f32 = 1e-3;

/// In which variable a learned step descends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepDomain {
    /// The step itself, LSQ's.
    #[default]
    Linear,
    /// Its logarithm (9i).
    Log,
}

impl StepDomain {
    pub(crate) fn is_linear(&self) -> bool {
        *self == Self::Linear
    }

    /// `step` after one update, by the scaled gradient `g ds`.
    fn update(self, step: LearnedValue, gradient: f32, rate: f32) -> LearnedValue {
        let LearnedValue { value: s, velocity, first, .. } = step;
        // book: update
        let (velocity, s) = match self {
            Self::Linear => {
                let v = MOMENTUM * velocity + gradient;
                (v, (s - rate * v).max(FLOOR * first))
            }
            Self::Log => {
                let v = MOMENTUM * velocity + gradient * s / first;
                (v, (s * (-rate * v / first).exp()).max(FLOOR * first))
            }
        };
        // book end
        LearnedValue { value: s, velocity, average: s, first }
    }
}

/// One learned step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LearnedValue {
    /// The step `s`.
    pub value: f32,
    /// Its velocity.
    pub velocity: f32,
    /// Its moving average, for evaluation; the value itself where nothing is averaged.
    pub average: f32,
    /// What it began with.
    pub first: f32,
}

/// All learned steps, by the name of what they quantize: `<layer>.weight`, or `<layer>` for the layer's input. One for the whole
/// tensor, or one for each output channel of a weight.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LearnedSteps {
    /// By name.
    pub steps: BTreeMap<String, Vec<LearnedValue>>,
    /// Of the pass at hand: what stands where on the tape, and its gradient scale.
    #[serde(skip)]
    placed: Vec<Placed>,
}

#[derive(Clone, Debug, PartialEq)]
struct Placed {
    name: String,
    var: Var,
    gradient_scale: f32,
}

impl LearnedSteps {
    /// The current values of `name`, if it has been met.
    pub fn known(&self, name: &str) -> Option<Vec<f32>> {
        Some(self.steps.get(name)?.iter().map(|step| step.value).collect())
    }

    /// The current values of `name`, `first()` if it is met for the first time.
    ///
    /// # Errors
    /// If `first` fails.
    pub fn values(&mut self, name: &str, first: impl FnOnce() -> Result<Vec<f32>>) -> Result<Vec<f32>> {
        if let Some(known) = self.known(name) {
            return Ok(known);
        }
        let first = first()?;
        let step = |&first: &f32| LearnedValue { value: first, velocity: 0.0, average: first, first };
        self.steps.insert(name.to_owned(), first.iter().map(step).collect());
        Ok(first)
    }

    /// Puts `values`, a scalar or `[channels]`, on the tape as the steps of `name` in this pass.
    pub fn place(&mut self, tape: &mut Tape, name: &str, values: Tensor, gradient_scale: f32) -> Var {
        let var = tape.leaf(values, true);
        self.placed.push(Placed { name: name.to_owned(), var, gradient_scale });
        var
    }

    /// Moves every step that stands on `tape` by its gradient, and takes it off. A gradient that is no finite number moves
    /// nothing: the loss that it comes from is none either, and whoever watches the loss sees it.
    pub fn learn(&mut self, tape: &Tape, rate: f32, domain: StepDomain) {
        for Placed { name, var, gradient_scale } in self.placed.drain(..) {
            let (Some(ds), Some(steps)) = (tape.grad(var), self.steps.get_mut(&name)) else { continue };
            for (step, ds) in steps.iter_mut().zip(ds.data()) {
                let moved = domain.update(*step, gradient_scale * ds, rate);
                if moved.value.is_finite() && moved.velocity.is_finite() {
                    *step = moved;
                }
            }
        }
    }

    /// Lets the averages follow as those of the weights do (9b), from `before`'s: `average <- average + share (value - average)`.
    pub fn average(&mut self, before: &Self, share: f32) {
        for (name, steps) in &mut self.steps {
            let before = before.steps.get(name);
            for (c, step) in steps.iter_mut().enumerate() {
                let old = before.and_then(|steps| steps.get(c)).map_or(step.value, |s| s.average);
                step.average = old + share * (step.value - old);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::learned_step::{StepGradient, fake_quantize_learned_on, gradient_scale};
    use crate::{Grid, Ste};

    /// A pass in which the step of `fc`, 0.5 to begin with, stands: four values beyond the end of its grid, 3, with the gradient `dy`.
    fn pass(steps: &mut LearnedSteps, gradient_scale: f32, dy: f32) -> Tape {
        let (mut tape, grid) = (Tape::new(), Grid::unsigned(2).unwrap());
        let s = steps.values("fc", || Ok(vec![0.5])).unwrap();
        let s = steps.place(&mut tape, "fc", Tensor::scalar(s[0]), gradient_scale);
        let x = tape.leaf(Tensor::full([4], 9.0), false);
        let y = fake_quantize_learned_on(&mut tape, x, s, grid, Ste::Clipped, StepGradient::Lsq).unwrap();
        tape.backward(y, Tensor::full([4], dy)).unwrap();
        tape
    }

    /// (9d), by hand; `qmax` of one signed bit is 0 and counts as 1.
    #[test]
    fn the_gradient_is_scaled_for_its_values_and_its_grid() {
        let scales = [(400, Grid::signed(4)), (144, Grid::unsigned(2)), (25, Grid::signed(1))]
            .map(|(values, grid)| gradient_scale(values, grid.unwrap()));
        let expected = [1.0 / 52.915_03, 1.0 / 20.784_61, 0.2];
        assert!(
            scales.iter().zip(expected).all(|(s, e): (&f32, f32)| (s / e - 1.0).abs() < 1e-6),
            "{scales:?}"
        );
    }

    #[test]
    fn a_step_follows_its_gradient_with_momentum() {
        let mut steps = LearnedSteps::default();
        let mut expected = (0.5f32, 0.0f32);
        for _ in 0..3 {
            let tape = pass(&mut steps, 0.1, 1.0);
            steps.learn(&tape, 0.01, StepDomain::Linear);
            expected.1 = 0.9 * expected.1 + 0.1 * 12.0; // four values beyond qmax = 3
            expected.0 -= 0.01 * expected.1;
        }
        let step = steps.steps["fc"][0];
        assert_eq!((step.value, step.velocity, step.first), (expected.0, expected.1, 0.5));
        assert_eq!(steps.known("fc"), Some(vec![expected.0]));
        assert_eq!(steps.known("fc.weight"), None);
        let json = serde_json::to_string(&steps).unwrap();
        assert_eq!(serde_json::from_str::<LearnedSteps>(&json).unwrap(), steps);
    }

    /// A gradient without a number, or a jump beyond all numbers, leaves the step where it is.
    #[test]
    fn what_is_no_number_moves_nothing() {
        for (domain, dy) in
            [(StepDomain::Linear, f32::NAN), (StepDomain::Log, f32::NAN), (StepDomain::Log, -1e30)]
        {
            let mut steps = LearnedSteps::default();
            let tape = pass(&mut steps, 1.0, dy);
            let before = steps.steps.clone();
            steps.learn(&tape, 0.01, domain);
            assert_eq!(steps.steps, before, "{domain:?} {dy}");
        }
    }

    #[test]
    fn in_the_log_domain_a_step_follows_the_gradient_of_its_logarithm() {
        // With s = s_0 exp(t / s_0) and L = a s, dL/dt = a s / s_0: two updates of t by hand.
        let (first, a, rate) = (0.5f32, 0.3f32, 0.1f32);
        let mut step = LearnedValue { value: first, velocity: 0.0, average: first, first };
        let (mut t, mut v) = (0.0f32, 0.0f32);
        for _ in 0..2 {
            let s = first * (t / first).exp();
            v = 0.9 * v + a * s / first;
            t -= rate * v;
            step = StepDomain::Log.update(step, a, rate);
            assert!((step.value - first * (t / first).exp()).abs() < 1e-6);
        }
        // The first update of both domains agrees to second order, and no gradient makes a step negative.
        let begin = LearnedValue { value: first, velocity: 0.0, average: first, first };
        let [linear, log] =
            [StepDomain::Linear, StepDomain::Log].map(|d| d.update(begin, a, 1e-3).value - first);
        assert!((linear - log).abs() < 1e-3 * linear.abs(), "{linear} {log}");
        assert!(StepDomain::Log.update(begin, 1e9, 1.0).value > 0.0);
    }

    #[test]
    fn a_step_stays_positive_and_averages_follow() {
        let mut steps = LearnedSteps::default();
        let tape = pass(&mut steps, 1.0, 1.0);
        let before = steps.clone();
        steps.learn(&tape, 1e6, StepDomain::Linear);
        assert_eq!(steps.steps["fc"][0].value, 0.5e-3);
        steps.average(&before, 0.25);
        assert!((steps.steps["fc"][0].average - (0.75 * 0.5 + 0.25 * 0.5e-3)).abs() < 1e-7);
    }

    /// Two channels of two weights, of which the first clips: its step grows, the other, exact, stays, and so do their averages.
    #[test]
    fn steps_of_channels_move_apart() {
        let (mut steps, mut tape) = (LearnedSteps::default(), Tape::new());
        let s = steps.values("fc.weight", || Ok(vec![0.5, 0.25])).unwrap();
        let s = Tensor::from_vec([2], s).unwrap();
        let s = steps.place(&mut tape, "fc.weight", s, 1.0);
        let w = tape.leaf(Tensor::from_vec([2, 2], vec![9.0, 9.0, 0.25, -0.25]).unwrap(), true);
        let grid = Grid::signed(2).unwrap();
        let y = fake_quantize_learned_on(&mut tape, w, s, grid, Ste::Clipped, StepGradient::Lsq).unwrap();
        tape.backward(y, Tensor::from_vec([2, 2], vec![-1.0, -1.0, 0.0, 3.0]).unwrap()).unwrap();
        let before = steps.clone();
        steps.learn(&tape, 0.1, StepDomain::Linear);
        steps.average(&before, 0.5);
        // Both weights of the first channel lie beyond qmax = 1: ds = 1 * -1 + 1 * -1.
        assert_eq!(steps.known("fc.weight"), Some(vec![0.5 + 0.1 * 2.0, 0.25]));
        let averages: Vec<f32> = steps.steps["fc.weight"].iter().map(|step| step.average).collect();
        assert_eq!(averages, [0.6, 0.25]);
    }
}
