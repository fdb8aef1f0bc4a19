//! Rounding inside float training.
//!
//! 1. [`fake_quantize`]: forward as the integers will compute, backward straight through (the two estimators).
//! 2. [`learned_step`]: a step size with a gradient (LSQ, PACT).
//! 3. [`learned_steps`]: the step sizes of a network, and how they move.
//! 4. [`learned_width`]: bits of weights with a gradient, and a price on bytes.
//! 5. [`weight_norm`]: weights of fixed mean and spread before they are rounded.
//! 6. [`damping`]: weights drawn away from the ties between two codes; [`freezing`]: those that jump across them held.

pub mod damping;
pub mod fake_quantize;
pub mod freezing;
pub mod learned_step;
pub mod learned_steps;
pub mod learned_width;
pub mod weight_norm;
