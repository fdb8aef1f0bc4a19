//! One unit while it is learned: its parameters, what of them moves, and a step of Adam.

use engine::fast::{Algorithm, Fused};
use engine::optim::Adam;
use engine::rng::{Purpose, Rng};
use engine::{Graph, Mode, Params, Result, Role, Tape, Tensor};
use rayon::prelude::*;

use super::cache::Values;
use super::drop::Dropped;
use super::hook::{Learned, UnitHook};
use super::method::{Method, WeightRule};
use super::rectified::{annealed_beta, regularizer_slope};
use super::soft::SoftWeight;
use super::units::{Unit, sub_graph, sub_params};
use crate::numbers::entry::CHUNK;
use crate::{Quantized, fake_quantize};

/// Streams of random numbers for each iteration: one for each layer, and these two.
pub(super) const STREAMS: usize = 4096;
const CHOICE: usize = STREAMS - 1;
const MIXTURE: usize = STREAMS - 2;

/// Inputs and targets of a unit, of all images.
pub(super) struct Examples {
    /// The unit's input in the float network.
    pub x: Values,
    /// The unit's input in the quantized network.
    pub x_q: Values,
    /// The unit's output in the float network.
    pub y: Values,
}

/// The state of one unit's reconstruction.
pub(super) struct Learner<'a> {
    method: &'a Method,
    sub: Graph,
    /// The unit's parameters; of a weight whose rounding is learned, `v`.
    params: Params,
    hook: UnitHook,
    optimizers: [Adam; 2],
    /// Learning rate of each parameter; none if it stays.
    rates: Vec<Option<Rate>>,
}

/// A learning rate.
#[derive(Clone, Copy)]
struct Rate {
    first: f32,
    /// Whether it falls to zero by half a cosine. That of `v` does not: (7f) works last, and has to bring every `h` to an end.
    falls: bool,
}

impl<'a> Learner<'a> {
    /// Makes the weights of `unit` learnable.
    ///
    /// # Errors
    /// If the unit is not a piece of the network, or a layer has no range.
    pub fn new(quantized: &Quantized, unit: Unit, method: &'a Method) -> Result<Self> {
        let sub = sub_graph(&quantized.graph, unit)?;
        let mut params = sub_params(&sub, &quantized.params)?;
        let mut hook = UnitHook::new(quantized.quantization.clone(), method.drop);
        for node in sub.weighted() {
            let Some(widths) = quantized.quantization.plan.get(&node.name) else { continue };
            let w = params.get_mut(&format!("{}.weight", node.name))?;
            let q = quantized.quantization.weight_params(&node.name, w, widths.w)?;
            let learned = match method.weights {
                WeightRule::Free => Learned::Free(q),
                WeightRule::Rounding => {
                    let (soft, v) = SoftWeight::new(w, q);
                    *w = v;
                    Learned::Rounding(soft)
                }
            };
            hook.weights.insert(node.name.clone(), learned);
            if method.steps {
                hook.learn_step(&node.name, widths.a)?;
            }
        }
        let rate = |name: &str, role: Role, value: &Tensor| match role {
            Role::Weight => {
                let learned = name.strip_suffix(".weight").and_then(|layer| hook.weights.get(layer))?;
                Some(match learned {
                    Learned::Rounding(_) => Rate { first: method.weight_rate, falls: false },
                    Learned::Free(_) => Rate { first: method.weight_rate * rms(value), falls: true },
                })
            }
            Role::Norm | Role::Bias => method.norms.then_some(Rate { first: method.norm_rate, falls: true }),
            Role::Running => None,
        };
        let rates = params.iter().map(|p| rate(&p.name, p.role, &p.value)).collect();
        Ok(Self { method, sub, params, hook, optimizers: Default::default(), rates })
    }

    /// Whether anything is rounded in the unit.
    pub fn learns(&self) -> bool {
        !self.hook.weights.is_empty()
    }

    /// One update from a batch drawn from `seed`, the unit's number and the `iteration`. Returns the batch's error
    /// `E sum_c (f(x) - f_q(x_q))^2`.
    ///
    /// # Errors
    /// If a value is NaN.
    pub fn step(&mut self, examples: &Examples, (seed, unit, iteration): (u64, usize, usize)) -> Result<f64> {
        let Method { batch, iterations, drop, .. } = *self.method;
        let draw = |stream| Rng::at(seed, Purpose::Reconstruction, unit, iteration * STREAMS + stream);
        let mut choice = draw(CHOICE);
        let images: Vec<usize> = (0..batch).map(|_| choice.below(examples.y.all.dims()[0])).collect();
        let mut x = examples.x_q.images(&images);
        if drop {
            let dropped = Dropped::half(&mut draw(MIXTURE), x.len());
            dropped.restore(examples.x.images(&images).data(), x.data_mut());
        }
        self.hook.draw = (seed, unit, iteration);
        let mut tape = Tape::new();
        let fused = Fused::new(&self.sub, Algorithm::default());
        let forward = fused.run(&self.params, &mut tape, x, Mode::Eval, &mut self.hook)?;
        let (error, dy) = squared_error(tape.value(forward.output), &examples.y.images(&images));
        tape.backward(forward.output, dy)?;
        let mut grads: Vec<Option<Tensor>> = forward
            .params
            .iter()
            .zip(&self.rates)
            .map(|(var, rate)| rate.and(*var).and_then(|var| tape.take_grad(var)))
            .collect();
        let done = iteration as f32 / iterations as f32;
        self.regularize(&mut grads, done);
        let falling = 0.5 * (1.0 + (done * std::f32::consts::PI).cos());
        let now = |rate: Rate| if rate.falls { falling * rate.first } else { rate.first };
        let rates: Vec<f32> = self.rates.iter().map(|rate| rate.map_or(0.0, now)).collect();
        let [of_params, of_steps] = &mut self.optimizers;
        of_params.step(&mut self.params, &grads, &rates)?;
        let grads = self.hook.gradients(&tape);
        of_steps.step(&mut self.hook.steps, &grads, &vec![falling * self.method.step_rate; grads.len()])?;
        // A step stays positive.
        for step in self.hook.steps.iter_mut() {
            step.value.data_mut().iter_mut().for_each(|s| *s = s.max(1e-3));
        }
        Ok(error)
    }

    /// Adds the regulariser's gradient to that of every `v`, once the warm-up is over.
    fn regularize(&self, grads: &mut [Option<Tensor>], done: f32) {
        let Method { warm_up, regularizer, .. } = *self.method;
        if done < warm_up {
            return;
        }
        let beta = annealed_beta((done - warm_up) / (1.0 - warm_up));
        for (param, grad) in self.params.iter().zip(grads) {
            let layer = param.name.strip_suffix(".weight").and_then(|layer| self.hook.weights.get(layer));
            let (Some(Learned::Rounding(_)), Some(grad)) = (layer, grad) else { continue };
            for (dv, &v) in grad.data_mut().iter_mut().zip(param.value.data()) {
                *dv += regularizer * regularizer_slope(v, beta);
            }
        }
    }

    /// Puts what was learned into the network: weights that are scales times codes, and the scales; ranges; norms.
    ///
    /// # Errors
    /// If a weight is NaN.
    pub fn finish(self, quantized: &mut Quantized) -> Result<()> {
        for param in self.params.iter() {
            let layer = param
                .name
                .strip_suffix(".weight")
                .and_then(|layer| Some((layer, self.hook.weights.get(layer)?)));
            let value = match layer {
                None => param.value.clone(),
                Some((layer, learned)) => {
                    let (w_hat, q) = match learned {
                        Learned::Rounding(soft) => (soft.hard(&param.value), soft.quantizer()),
                        Learned::Free(q) => (fake_quantize(&param.value, q)?, q),
                    };
                    quantized.quantization.weight_scales.insert(layer.to_owned(), q.scales().to_vec());
                    w_hat
                }
            };
            *quantized.params.get_mut(&param.name)? = value;
        }
        for step in self.hook.steps.iter() {
            let bits = quantized.quantization.plan.get(&step.name).map_or(8, |widths| widths.a);
            let range = self.hook.range(&step.name, bits)?;
            quantized.quantization.ranges.0.extend(range.map(|range| (step.name.clone(), range)));
        }
        Ok(())
    }
}

/// The root mean square.
fn rms(w: &Tensor) -> f32 {
    (w.data().iter().map(|&w| f64::from(w).powi(2)).sum::<f64>() / w.len().max(1) as f64).sqrt() as f32
}

/// `E sum_c (y - target)^2` over images and pixels, and its gradient to `y`.
fn squared_error(y: &Tensor, target: &Tensor) -> (f64, Tensor) {
    let rows = (y.len() / y.shape().last().max(1)) as f64;
    let mut dy = Tensor::scratch(y.shape());
    let chunks = dy
        .data_mut()
        .par_chunks_mut(CHUNK)
        .zip(y.data().par_chunks(CHUNK))
        .zip(target.data().par_chunks(CHUNK));
    // Sums of fixed chunks, added in order: the same bits for any number of threads.
    let sums: Vec<f64> = chunks
        .map(|((dy, y), target)| {
            let mut sum = 0.0;
            for ((dy, y), target) in dy.iter_mut().zip(y).zip(target) {
                let d = y - target;
                sum += f64::from(d * d);
                *dy = 2.0 * d / rows as f32;
            }
            sum
        })
        .collect();
    (sums.iter().sum::<f64>() / rows, dy)
}

#[cfg(test)]
mod tests {
    use engine::{Float, Layer};

    use super::super::rectified::rectified_sigmoid;
    use super::*;
    use crate::{LayerBits, Policy, QuantConfig, Quantizer};

    /// At the end of learning nearly every weight is on a level: what is stored is what was learned.
    #[test]
    fn every_rounding_is_decided_in_the_end() {
        let mut graph = Graph::default();
        let image = graph.add("input", Layer::Input, &[]);
        let conv =
            graph.add("conv", Layer::Conv2d { c: 4, o: 6, kernel: 3, stride: 1, padding: 1 }, &[image]);
        let pool = graph.add("pool", Layer::GlobalAvgPool, &[conv]);
        graph.add("fc", Layer::Linear { i: 6, o: 3 }, &[pool]);
        let float = graph.init(1).unwrap();
        let mut rng = Rng::new(1, 0);
        let images = Tensor::from_fn([8, 4, 4, 4], |_| rng.normal());
        let config = QuantConfig { policy: Policy::Product, ..QuantConfig::default() };
        let quantizer = Quantizer::new(config).with_layer_bits(LayerBits::of([("conv", 3, None)]));
        let images = || std::iter::once(images.clone());
        let quantized = quantizer.calibrate(&graph, &float, images()).unwrap();
        let x = Values::of_images(images()).unwrap();
        let y = x.at(&graph, &float, conv, &mut Float).unwrap();
        let examples = Examples { x_q: Values::of_images(images()).unwrap(), x, y };
        let method = Method { batch: 8, ..Method::ADAROUND };
        let mut learner = Learner::new(&quantized, Unit { from: image, to: conv }, &method).unwrap();
        for iteration in 0..method.iterations {
            learner.step(&examples, (1, 0, iteration)).unwrap();
        }
        let v = learner.params.get("conv.weight").unwrap();
        let open = v.data().iter().filter(|v| (0.01..0.99).contains(&rectified_sigmoid(**v))).count();
        assert!(open * 10 < v.len(), "{open} of {} are undecided", v.len());
    }

    #[test]
    fn the_error_and_its_gradient_by_hand() {
        let y = Tensor::from_vec([1, 1, 2, 2], vec![1.0, 2.0, 3.0, 4.0]).unwrap();
        let target = Tensor::from_vec([1, 1, 2, 2], vec![1.0, 0.0, 3.0, 5.0]).unwrap();
        let (error, dy) = squared_error(&y, &target);
        assert_eq!(error, (4.0 + 1.0) / 2.0);
        assert_eq!(dy.data(), [0.0, 2.0, 0.0, -1.0]);
    }
}
