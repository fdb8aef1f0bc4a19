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

/// Reads `--residual-bits`.
pub fn residual_bits() -> impl TypedValueParser<Value = u32> {
    PossibleValuesParser::new(["8", "16"]).map(|bits| bits.parse::<u32>().expect("8 and 16 are numbers"))
}
