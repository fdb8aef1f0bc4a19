//! Rounding inside float training.
//!
//! 1. [`fake_quantize`]: forward as the integers will compute, backward straight through (the two estimators).
//! 2. [`learned_step`]: a step size with a gradient (LSQ, PACT).
//! 3. [`learned_steps`]: the step sizes of a network, and how they move.
//! 4. [`weight_norm`]: weights of fixed mean and spread before they are rounded.
//! 5. [`damping`]: weights drawn away from the ties between two codes.

pub mod damping;
pub mod fake_quantize;
pub mod learned_step;
pub mod learned_steps;
pub mod weight_norm;
