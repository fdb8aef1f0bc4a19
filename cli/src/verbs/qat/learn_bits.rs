//! Flags of `qat` that let training find the bits of each layer.

use anyhow::Result;
use clap::Args;
use serde::{Deserialize, Serialize};

use super::rules::StepChoice;
use crate::run::exit::Failure;
use crate::run::experiment::SizeGoal;

/// Learned widths.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub struct LearnBitsArgs {
    /// Learn the bits of each layer's weights, from those of --bits and --layer-bits down, until all weights together have
    /// so many KiB; train on with what is found as --layer-bits
    #[arg(long, value_name = "KIB")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    learn_bits: Option<f64>,
    /// What a KiB costs while there are more, in units of the loss
    #[arg(long, value_name = "PRICE", default_value_t = PRICE, requires = "learn_bits")]
    #[serde(default = "price", skip_serializing_if = "is_price")]
    size_price: f64,
}

/// Layers that nobody misses lose a bit in 250 steps at a rate of 0.02.
const PRICE: f64 = 0.02;

fn price() -> f64 {
    PRICE
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde passes a reference
fn is_price(price: &f64) -> bool {
    *price == PRICE
}

impl LearnBitsArgs {
    /// Refuses numbers without meaning.
    ///
    /// # Errors
    /// Naming the flag.
    pub fn check(&self, weight_step: StepChoice) -> Result<()> {
        let Some(kib) = self.learn_bits else { return Ok(()) };
        let refuse = |text: String| Err(Failure::Usage(text).into());
        if !(kib > 0.0 && kib < 1e6) {
            return refuse(format!("--learn-bits {kib}: expected a number of KiB above 0"));
        }
        if !(self.size_price > 0.0 && self.size_price <= 1e3) {
            return refuse(format!(
                "--size-price {}: expected a number above 0, at most 1000",
                self.size_price
            ));
        }
        if weight_step != StepChoice::Rule {
            return refuse(
                "--learn-bits: the steps of weights must come from the rule (--weight-step rule)".into(),
            );
        }
        Ok(())
    }

    /// What the training is to come to.
    pub fn goal(&self) -> Option<SizeGoal> {
        let goal = |kib| SizeGoal { bytes: (kib * 1024.0) as usize, price: self.size_price as f32 };
        self.learn_bits.map(goal)
    }
}
