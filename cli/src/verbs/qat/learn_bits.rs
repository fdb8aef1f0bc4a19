//! Flags of `qat` that let training find the bits of each layer.

use anyhow::Result;
use clap::Args;
use models::Network;
use quant::Quantization;
use quant::mixed::size_bytes;
use serde::{Deserialize, Serialize};

use super::rules::StepChoice;
use crate::run::exit::Failure;
use crate::run::experiment::{Recipe, SizeGoal};

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
    pub fn check(&self, weight_step: StepChoice, freezing: bool) -> Result<()> {
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
        if freezing {
            return refuse(
                "--learn-bits: a weight whose bits are learned has no code to be fixed to (--freezing)"
                    .into(),
            );
        }
        if weight_step != StepChoice::Rule {
            return refuse(
                "--learn-bits: the steps of weights must come from the rule (--weight-step rule)".into(),
            );
        }
        Ok(())
    }

    /// Refuses a size below that of one bit in every layer, and layers of which none has more than one.
    ///
    /// # Errors
    /// Naming the flag, and the least size there is.
    pub fn check_size(&self, network: &Network, recipe: &Recipe) -> Result<()> {
        let Some(goal) = self.goal() else { return Ok(()) };
        let quantizer = recipe.quantizer();
        let quantization = Quantization::new(quantizer.config().clone(), quantizer.plan(&network.graph)?);
        let layers = quantization.layer_sizes(&network.params)?;
        let bits = layers.iter().map(|layer| quantization.plan.get(&layer.name).map_or(0, |widths| widths.w));
        let bits: Vec<u32> = bits.collect();
        if bits.iter().all(|bits| *bits < 2) {
            let text = "--learn-bits: no layer has more than one bit, so that there is none to take";
            return Err(Failure::Usage(text.into()).into());
        }
        let least = size_bytes(&layers, &bits.iter().map(|bits| 1.min(*bits)).collect::<Vec<_>>());
        if least > goal.bytes {
            let text = format!(
                "--learn-bits {}: with one bit in every layer the weights have {:.1} KiB",
                goal.bytes as f64 / 1024.0,
                least as f64 / 1024.0
            );
            return Err(Failure::Usage(text).into());
        }
        Ok(())
    }

    /// What the training is to come to.
    pub fn goal(&self) -> Option<SizeGoal> {
        let goal = |kib| SizeGoal { bytes: (kib * 1024.0) as usize, price: self.size_price as f32 };
        self.learn_bits.map(goal)
    }
}
