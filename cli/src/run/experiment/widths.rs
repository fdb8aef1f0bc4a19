//! The flags that say which layers get how many bits, and by which rule.

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use quant::{LayerBits, Policy, ScaleRule, Widths};
use serde::{Deserialize, Serialize};

/// Bits, and the rule of the weights' scales.
#[derive(Args, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WidthArgs {
    /// Bits of weights and activations
    #[arg(long, value_name = "WxAy", default_value = "W4A4")]
    pub bits: Widths,
    /// Layers whose weights have other bits, the later entry before the earlier: `layer3.*=2,fc=8,conv1=W5A8`; 0 bits
    /// drop a layer of a residual block
    #[arg(long, value_name = "LAYER=BITS,..")]
    pub layer_bits: Option<LayerBits>,
    /// Rule that chooses the scale of weights
    #[arg(long, value_name = "RULE", default_value = "sawb")]
    pub method: ScaleRule,
    /// course: all layers but the first; product: all layers, the first and the last with 8 bits
    #[arg(long, value_name = "NAME", default_value = "course")]
    pub policy: Policy,
    /// Bits of residual sums and the average pool, for policy product [default: 8]
    #[arg(long, alias = "stream-bits", value_name = "N", value_parser = residual_bits())]
    pub residual_bits: Option<u32>,
}

impl WidthArgs {
    /// The same with the policy of a table. Bits of single layers stay: they are exceptions from whatever policy there is.
    /// Bits of residual sums are the table's if it gives any; else those that are set here, if the policy rounds such sums.
    pub fn under(self, policy: Policy, residual_bits: Option<u32>) -> Self {
        let set = self.residual_bits.filter(|_| policy == Policy::Product);
        Self { policy, residual_bits: residual_bits.or(set), ..self }
    }
}

/// Reads `--residual-bits`.
pub fn residual_bits() -> impl TypedValueParser<Value = u32> {
    PossibleValuesParser::new(["8", "16"]).map(|bits| bits.parse::<u32>().expect("8 and 16 are numbers"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_of_a_table_goes_before_ones_own_and_exceptions_stay() {
        let of = |policy, residual_bits| WidthArgs {
            bits: "W2A16".parse().unwrap(),
            layer_bits: Some("*=2,fc=8".parse().unwrap()),
            method: ScaleRule::HEURISTIC,
            policy,
            residual_bits,
        };
        let (course, product) = (Policy::Course, Policy::Product);
        assert_eq!(of(course, None).under(product, None), of(product, None));
        assert_eq!(of(product, Some(16)).under(product, None), of(product, Some(16)));
        assert_eq!(of(product, Some(16)).under(product, Some(8)), of(product, Some(8)));
        // The policy of the course has no such sums to round.
        assert_eq!(of(product, Some(16)).under(course, None), of(course, None));
    }
}
