//! What searchers that plan ahead take a layer's cost from.

use anyhow::Result;
use clap::ValueEnum;
use quant::mixed::proxy::Proxy;
use serde::{Deserialize, Serialize};

use super::SearchArgs;
use super::candidates::Candidates;

/// What searchers that plan ahead take a layer's cost from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Costs {
    /// The measured drop of each layer alone, paid for from the budget.
    Measured,
    /// The noise of its weights.
    Sqnr,
    /// The noise of its output.
    Output,
    /// The noise of its weights, each weighed by what the answers depend on it: the Fisher information.
    Fisher,
}

impl Costs {
    /// Guessed costs; `None` if they are to be measured, or the searcher does not ask for any.
    ///
    /// # Errors
    /// If a weight cannot be rounded.
    pub fn guessed(self, args: &SearchArgs, candidates: &Candidates<'_>) -> Result<Option<Vec<Vec<f64>>>> {
        let guess = match self {
            _ if !args.plans() => return Ok(None),
            Self::Measured => return Ok(None),
            Self::Sqnr => Proxy::Sqnr,
            Self::Output => Proxy::Output,
            Self::Fisher => Proxy::Fisher,
        };
        Ok(Some(candidates.evaluator.costs(guess, args.min_bits..=args.max_bits)?))
    }
}
