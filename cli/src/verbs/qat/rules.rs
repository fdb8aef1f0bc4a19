//! The rules by which a network learns under quantization: flags of `qat`, each one of the library's choices.

use anyhow::Result;
use clap::{Args, ValueEnum};
use quant::{Granularity, QuantConfig, Ste, StepDomain, StepRule};
use serde::{Deserialize, Serialize};

use crate::run::exit::Failure;

/// Gradients, steps, and what is done to weights beside rounding them.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub struct RuleArgs {
    /// Gradient of activations that clip: identity passes it on, clipped stops it
    #[arg(long, value_enum, default_value_t = SteChoice::Clipped)]
    ste: SteChoice,
    /// Gradient of weights that clip [default: clipped where their steps are learned, else identity]
    #[arg(long, value_enum)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    weight_ste: Option<SteChoice>,
    /// A scale of weights for each tensor (per_tensor) or output channel (per_channel)
    #[arg(long, value_name = "WHAT", default_value_t = Granularity::PerTensor)]
    #[serde(default = "per_tensor", skip_serializing_if = "is_per_tensor")]
    pub weight_granularity: Granularity,
    /// Steps of weights: by the rule, or learned
    #[arg(long, value_enum, default_value_t = StepChoice::Rule)]
    pub weight_step: StepChoice,
    /// Steps of activations: a moving average of ranges, or learned
    #[arg(long, value_enum, default_value_t = StepChoice::Rule)]
    activation_step: StepChoice,
    /// How learned steps move: the step itself, or its logarithm
    #[arg(long, value_enum, default_value_t = DomainChoice::Linear)]
    step_domain: DomainChoice,
    /// Normalise the weights of each layer before they are rounded
    #[arg(long)]
    weight_norm: bool,
    /// Draw weights to the middle of their step, this strongly in the end; 0: not at all
    #[arg(long, value_name = "LAMBDA", default_value_t = 0.0)]
    damping: f64,
    /// Fix a weight to its commonest code when that turns back in more than this share of the steps; the share is that of the end,
    /// four times as much in the beginning; 0: fix none
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    #[serde(default, skip_serializing_if = "is_zero")]
    pub freezing: f64,
}

// What earlier versions did not know is written only where it is used.

#[allow(clippy::trivially_copy_pass_by_ref)] // serde passes a reference
fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

fn per_tensor() -> Granularity {
    Granularity::PerTensor
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde passes a reference
fn is_per_tensor(granularity: &Granularity) -> bool {
    *granularity == Granularity::PerTensor
}

impl RuleArgs {
    /// Refuses a strength without meaning.
    ///
    /// # Errors
    /// Naming the flag.
    pub fn check(&self) -> Result<()> {
        if !(0.0..=1e3).contains(&self.damping) {
            let text = format!("--damping {}: expected a number from 0 to 1000", self.damping);
            return Err(Failure::Usage(text).into());
        }
        if !(0.0..=1.0).contains(&self.freezing) {
            let text = format!("--freezing {}: expected a share of the steps, from 0 to 1", self.freezing);
            return Err(Failure::Usage(text).into());
        }
        if self.freezing > 0.0 && self.weight_norm {
            let text = "--freezing: weights that --weight-norm normalises have no code to be fixed to";
            return Err(Failure::Usage(text.into()).into());
        }
        let learned = [self.weight_step, self.activation_step].iter().any(|step| *step != StepChoice::Rule);
        if self.step_domain == DomainChoice::Log && !learned {
            let text =
                "--step-domain log: no steps are learned; --weight-step or --activation-step says which are";
            return Err(Failure::Usage(text.into()).into());
        }
        Ok(())
    }

    /// Writes the choices into `config`.
    pub fn apply(&self, config: &mut QuantConfig) {
        config.activation_ste = self.ste.into();
        // The course's weights pass every gradient on; LSQ and PACT stop it where a weight clips.
        let usual =
            if self.weight_step == StepChoice::Rule { SteChoice::Identity } else { SteChoice::Clipped };
        config.weight_ste = self.weight_ste.unwrap_or(usual).into();
        config.weight_step = self.weight_step.into();
        config.activation_step = self.activation_step.into();
        config.step_domain = self.step_domain.into();
        config.weight_norm = self.weight_norm;
        config.damping = self.damping as f32;
        config.freezing = self.freezing as f32;
    }
}

/// What the gradient of clipped activations is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SteChoice {
    /// It passes through.
    Identity,
    /// It is zero.
    Clipped,
}

impl From<SteChoice> for Ste {
    fn from(choice: SteChoice) -> Self {
        match choice {
            SteChoice::Identity => Self::Identity,
            SteChoice::Clipped => Self::Clipped,
        }
    }
}

/// Where the steps of weights or activations come from in training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepChoice {
    /// Weights: by the scale rule at every step; activations: a moving average of the batches' ranges.
    Rule,
    /// Learned by gradient descent (LSQ).
    Lsq,
    /// Learned from clipped values only (PACT).
    Pact,
}

impl From<StepChoice> for StepRule {
    fn from(choice: StepChoice) -> Self {
        match choice {
            StepChoice::Rule => Self::Rule,
            StepChoice::Lsq => Self::Lsq,
            StepChoice::Pact => Self::Pact,
        }
    }
}

/// In which variable a learned step descends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DomainChoice {
    /// The step.
    Linear,
    /// Its logarithm.
    Log,
}

impl From<DomainChoice> for StepDomain {
    fn from(choice: DomainChoice) -> Self {
        match choice {
            DomainChoice::Linear => Self::Linear,
            DomainChoice::Log => Self::Log,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        rules: RuleArgs,
    }

    #[test]
    fn clipped_weights_learn_nothing_where_their_steps_are_learned() {
        let ste = |flags: &str| {
            let mut config = QuantConfig::default();
            Flags::parse_from([""].into_iter().chain(flags.split_whitespace())).rules.apply(&mut config);
            config.weight_ste
        };
        assert_eq!(ste(""), Ste::Identity);
        assert_eq!(ste("--activation-step lsq"), Ste::Identity);
        assert_eq!(ste("--weight-step lsq"), Ste::Clipped);
        assert_eq!(ste("--weight-step pact"), Ste::Clipped);
        assert_eq!(ste("--weight-step lsq --weight-ste identity"), Ste::Identity);
        assert_eq!(ste("--weight-ste clipped"), Ste::Clipped);
    }
}
