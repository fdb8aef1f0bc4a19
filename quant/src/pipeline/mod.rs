//! The whole way of the course, for any network: floats, calibrated, corrected, trained, lowered to integers.
//!
//! ```
//! # use engine::{Graph, Layer, Tensor, rng::{Purpose, Rng}, optim::Sgd};
//! # use quant::{Correction, QuantConfig, Quantizer, Policy, Result};
//! # use quant::int_graph::IntEngine;
//! # fn main() -> Result<()> {
//! # let mut graph = Graph::default();
//! # let x = graph.add("x", Layer::Input, &[]);
//! # let conv = graph.add("conv", Layer::Conv2d { c: 3, o: 8, kernel: 3, stride: 2, padding: 1 }, &[x]);
//! # let norm = graph.add("norm", Layer::BatchNorm { c: 8 }, &[conv]);
//! # let relu = graph.add("relu", Layer::Relu, &[norm]);
//! # let pool = graph.add("pool", Layer::GlobalAvgPool, &[relu]);
//! # graph.add("fc", Layer::Linear { i: 8, o: 2 }, &[pool]);
//! # let params = graph.init(1)?;
//! # let mut rng = Rng::at(1, Purpose::Test, 0, 0);
//! # let images = Tensor::from_fn([4, 8, 8, 3], |_| rng.normal());
//! # let labels = vec![0, 1, 0, 1];
//! # let config = QuantConfig { policy: Policy::Product, ..QuantConfig::default() };
//! # let sgd = Sgd::new(0.9, true, 1e-4, false);
//! # let pixel = |_channel: usize, p: u8| f32::from(p) / 255.0 - 0.5;
//! let mut network = Quantizer::new(config).calibrate(&graph, &params, [images.clone()].into_iter())?;
//! network.correct([images.clone()].into_iter(), Correction::BatchNorm)?;
//! network.train([(images, labels)].into_iter(), sgd, 0.01)?;
//! let integers = network.lower([8, 8, 3], &pixel)?;
//! let logits = IntEngine::new(integers)?.run(&[128; 8 * 8 * 3])?;
//! # assert_eq!(logits.len(), 2);
//! # Ok(())
//! # }
//! ```
//!
//! 1. [`Quantizer`]: what is chosen, and the float network made a [`Quantized`] one.
//! 2. [`calibrate`](mod@calibrate): the ranges of activations.
//! 3. [`correct`]: batch norms take back what rounding did.
//!    [`analytic`]: the means without data.
//!    [`reestimate`](mod@reestimate): their statistics taken anew, after training.
//!    [`sequence`]: several corrections by their names, one after another.
//!    [`progressive`]: from a network that is quantized already to other widths.
//! 4. [`rules`]: the names of the choices.

pub mod analytic;
pub mod calibrate;
pub mod correct;
pub mod progressive;
pub mod quantizer;
pub mod reestimate;
pub mod rules;
pub mod sequence;

pub use calibrate::calibrate;
pub use correct::Reference;
pub use quantizer::{Quantized, Quantizer};
pub use reestimate::reestimate;
pub use rules::{ActivationRule, Correction};
pub use sequence::{Effort, Sequence, Step};
