//! Which layer gets how many bits.

use std::fmt;
use std::str::FromStr;

use engine::nearest::did_you_mean;
use engine::{Error, Graph, Layer, NodeId, Result};
use serde::{Deserialize, Serialize};

use crate::Widths;

/// Which layers are quantized, and to what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// The course's: the first convolution stays float, every other layer with weights gets the widths
    /// asked for.
    Course,
    /// For an integer-only model: everything is quantized, the first and the last layer to 8 bits, and so are the
    /// inputs of residual sums and of the average pool.
    Product,
}

impl FromStr for Policy {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "course" => Ok(Self::Course),
            "product" => Ok(Self::Product),
            _ => Err(Error::unknown_choice("policy", "policy", text, &["course", "product"])),
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Course => "course",
            Self::Product => "product",
        })
    }
}

impl Policy {
    /// The widths of each layer of `graph`.
    pub fn plan(self, graph: &Graph, widths: Widths) -> Plan {
        let names: Vec<_> = graph.weighted().map(|node| node.name.clone()).collect();
        let last = names.len().saturating_sub(1);
        let eight = Widths { w: 8, a: 8 };
        let choose = |i: usize| match self {
            Self::Course => (i != 0).then_some(widths),
            Self::Product => Some(if i == 0 || i == last { eight } else { widths }),
        };
        let layers = names.into_iter().enumerate().map(|(i, name)| (name, choose(i))).collect();
        let activations = match self {
            Self::Course => Vec::new(),
            Self::Product => graph.activations().map(|node| (node.name.clone(), RESIDUAL_BITS)).collect(),
        };
        Plan { layers, activations }
    }
}

/// Bits of the activations that no layer multiplies, in an integer-only model: residuals, and what is averaged.
pub const RESIDUAL_BITS: u32 = 8;

/// The widths of each layer with weights, in the network's order; `None` is float.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    layers: Vec<(String, Option<Widths>)>,
    /// Bits of what enters a residual sum or the average pool, by node; empty where these stay float.
    #[serde(default, alias = "edges", skip_serializing_if = "Vec::is_empty")]
    activations: Vec<(String, u32)>,
}

impl Plan {
    /// Every layer and its widths.
    pub fn layers(&self) -> &[(String, Option<Widths>)] {
        &self.layers
    }

    /// The widths of a layer; `None` if it stays float, or is not in the network.
    pub fn get(&self, layer: &str) -> Option<Widths> {
        self.layers.iter().find(|(name, _)| name == layer).and_then(|(_, widths)| *widths)
    }

    /// Every residual sum and pool whose input is quantized, and to how many bits.
    pub fn activations(&self) -> &[(String, u32)] {
        &self.activations
    }

    /// Sets the bits of all residual sums and pools.
    ///
    /// # Errors
    /// Unless `bits` is 1 to 16.
    pub fn set_residual_bits(&mut self, bits: u32) -> Result<()> {
        crate::Grid::unsigned(bits)?;
        self.activations.iter_mut().for_each(|(_, b)| *b = bits);
        Ok(())
    }

    /// Everything that has a quantized input, and the bits of it: layers, residual sums, pools.
    pub fn inputs(&self) -> impl Iterator<Item = (&str, u32)> {
        let layers = self.layers.iter().filter_map(|(name, widths)| Some((name.as_str(), (*widths)?.a)));
        layers.chain(self.activations.iter().map(|(name, bits)| (name.as_str(), *bits)))
    }

    /// The bits of what enters this residual sum or pool; `None` if it stays float.
    pub fn activation(&self, node: &str) -> Option<u32> {
        self.activations.iter().find(|(name, _)| name == node).map(|(_, bits)| *bits)
    }

    /// Checks that only layers inside of a residual block are [dropped](super::LayerBits), so that its other way is left.
    ///
    /// # Errors
    /// Naming the first that is not.
    pub fn check_dropped(&self, graph: &Graph) -> Result<()> {
        for (id, node) in graph.nodes().iter().enumerate() {
            let dropped = self.get(&node.name).is_some_and(|widths| widths.w == 0);
            if dropped && !leads_into_a_sum(graph, id) {
                let detail = format!(
                    "layer `{}` cannot have 0 bits, which drop it: nothing goes around it; only the convolutions of a \
                     residual block can be dropped",
                    node.name
                );
                return Err(Error::value("bits", detail));
            }
        }
        Ok(())
    }

    /// The plan in which `layer` is as it is here and all else stays float, residual sums and pools too; everything, if `None`.
    #[must_use]
    pub fn only(&self, layer: Option<&str>) -> Self {
        let layers = self.layers.iter().map(|(name, widths)| {
            let widths = widths.filter(|_| Some(name.as_str()) == layer);
            (name.clone(), widths)
        });
        Self { layers: layers.collect(), activations: Vec::new() }
    }

    /// Changes the widths of a layer.
    ///
    /// # Errors
    /// If there is no such layer.
    pub fn set(&mut self, layer: &str, widths: Option<Widths>) -> Result<()> {
        match self.layers.iter_mut().find(|(name, _)| name == layer) {
            Some((_, slot)) => *slot = widths,
            None => {
                let known: Vec<_> = self.layers.iter().map(|(name, _)| name.as_str()).collect();
                let near = did_you_mean(layer, &known);
                let hint = format!("{near}; layers with weights: {}", known.join(", "));
                return Err(Error::Unknown { kind: "layer", name: layer.to_owned(), hint });
            }
        }
        Ok(())
    }
}

/// Whether the result of `id` goes one way only, through convolutions, batch norms and ReLUs, and that way ends in a residual
/// sum.
pub(crate) fn leads_into_a_sum(graph: &Graph, id: NodeId) -> bool {
    match graph.readers(id).collect::<Vec<_>>()[..] {
        [(reader, node)] => match node.layer {
            Layer::Add => true,
            Layer::BatchNorm { .. } | Layer::Relu | Layer::Conv2d { .. } => leads_into_a_sum(graph, reader),
            _ => false,
        },
        _ => false,
    }
}
