//! State dictionaries for other programs: the tensors under the names that a definition of the network in PyTorch has.
//!
//! Two families of definitions are common for CIFAR's residual networks:
//!
//! | [`Names`] | classifier | shortcut of option B |
//! |---|---|---|
//! | `downsample`, as torchvision names its networks | `fc` | `downsample.0`, `downsample.1` |
//! | `shortcut` | `linear` | `shortcut.0`, `shortcut.1` |
//!
//! Each batch norm also gets the counter `num_batches_tracked` that PyTorch's has (nothing here counts: it is 0), so that
//! the names are all there are: `load_state_dict(strict=True)` takes them.
//!
//! The weights of a quantized network are those its integers stand for, `s_w w_int`, its biases `s_x s_w b_int`; scales and
//! zero points stand beside them, see [`Exported::grids`].

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use engine::Role;
use quant::Granularity;
use safetensors::Dtype;
use serde_json::json;

use super::common_grid::CommonGrid;
use super::layout;
use super::safetensors_file::{Stored, to_bytes};
use crate::nets::quantized;
use crate::{Error, Network, QuantizedNetwork, Result, Shortcut};

/// The key of the metadata with the grids as JSON.
pub const GRIDS: &str = "fake_quantize";
/// The key of the metadata that says how parts are named.
pub const NAMES: &str = "names";

/// How a definition of the network names its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// `fc` and `downsample`.
    Downsample,
    /// `linear` and `shortcut`.
    Shortcut,
}

impl Names {
    /// Those of the definition that is common for an option.
    pub fn common(shortcut: Shortcut) -> Self {
        match shortcut {
            Shortcut::A => Self::Shortcut,
            Shortcut::B => Self::Downsample,
        }
    }

    /// This project's name of a tensor or layer in these names.
    pub fn of(self, name: &str) -> String {
        match (self, name.strip_prefix("fc")) {
            (Self::Downsample, _) => name.to_owned(),
            (Self::Shortcut, Some(rest)) => format!("linear{rest}"),
            (Self::Shortcut, None) => name.replace(".downsample.", ".shortcut."),
        }
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Downsample => "downsample",
            Self::Shortcut => "shortcut",
        })
    }
}

impl FromStr for Names {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "downsample" => Ok(Self::Downsample),
            "shortcut" => Ok(Self::Shortcut),
            _ => {
                let known = ["downsample", "shortcut"];
                Err(engine::Error::unknown_choice("names", "names", text, &known).into())
            }
        }
    }
}

/// The numbers of an exported tensor.
#[derive(Clone, Debug, PartialEq)]
pub enum Numbers {
    /// 32-bit floats.
    F32(Vec<f32>),
    /// 64-bit integers.
    I64(Vec<i64>),
}

/// A tensor in PyTorch's layout.
#[derive(Clone, Debug, PartialEq)]
pub struct ExportedTensor {
    /// Its extents; none for a single number.
    pub dims: Vec<usize>,
    /// Row-major.
    pub numbers: Numbers,
}

/// A network as other programs load it.
#[derive(Clone, Debug)]
pub struct Exported {
    /// The state dictionary, in the network's order.
    pub tensors: Vec<(String, ExportedTensor)>,
    /// Of a quantized network: the grids of each layer's input and weight (of a residual sum or pool, its input) under
    /// `input` and `weight`, in the [common convention](super::common_grid). Empty for a network in floats.
    pub grids: Vec<(String, BTreeMap<&'static str, CommonGrid>)>,
    names: Names,
}

impl Exported {
    /// `network`, quantized as `quantized` says if it is given, in these names.
    ///
    /// # Errors
    /// If a weight has no codes.
    pub fn of(network: &Network, quantized: Option<&QuantizedNetwork>, names: Names) -> Result<Self> {
        let mut exported = Self { tensors: Vec::new(), grids: Vec::new(), names };
        let mut restored = BTreeMap::new();
        for node in quantized.iter().flat_map(|_| network.graph.nodes()) {
            let Some(quantized) = quantized else { continue };
            let mut grids = BTreeMap::new();
            if node.layer.has_weight() {
                let Some(layer) = quantized.common_layer(&node.name)? else { continue };
                restored.insert(format!("{}.weight", node.name), layer.restored_weight());
                restored.extend(layer.restored_bias().map(|b| (format!("{}.bias", node.name), b)));
                grids.insert("input", layer.input);
                grids.insert("weight", layer.weight);
            } else if let Some(grid) = quantized.common_activation(&node.name)? {
                grids.insert("input", grid);
            }
            if !grids.is_empty() {
                exported.grids.push((names.of(&node.name), grids));
            }
        }
        for param in network.params.iter() {
            let tensor = layout::to_torch(param.value.clone());
            let values = restored.remove(&param.name).unwrap_or_else(|| tensor.data().to_vec());
            let tensor = ExportedTensor { dims: tensor.dims().to_vec(), numbers: Numbers::F32(values) };
            exported.tensors.push((names.of(&param.name), tensor));
            let counter = param.name.strip_suffix("running_var").filter(|_| param.role == Role::Running);
            let zero = || ExportedTensor { dims: vec![], numbers: Numbers::I64(vec![0]) };
            let counter = counter.map(|batch_norm| format!("{}num_batches_tracked", names.of(batch_norm)));
            exported.tensors.extend(counter.map(|name| (name, zero())));
        }
        Ok(exported)
    }

    /// What a file says beside the tensors: `about`, and of a quantized network, as JSON, the grids under `fake_quantize` and,
    /// under `quantization`, what this program needs to read the same quantized network back. The weights are rounded ones, of
    /// which a rule would choose other scales, so that the scales are part of it.
    ///
    /// # Errors
    /// If a weight has no grid.
    pub fn metadata(
        &self,
        quantized: Option<&QuantizedNetwork>,
        about: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>> {
        let mut metadata = about.clone();
        if let Some(quantized) = quantized {
            let mut quantization = quantized.quantization.clone();
            for (layer, widths) in quantized.quantization.plan.layers() {
                let Some(widths) = widths else { continue };
                let w = quantized.network.params.get(&format!("{layer}.weight"))?;
                let q_w = quantized.quantization.weight_params(layer, w, widths.w)?;
                quantization.weight_scales.insert(layer.clone(), q_w.scales().to_vec());
            }
            let is_json = "numbers and names are JSON";
            metadata.insert(quantized::KEY.into(), serde_json::to_string(&quantization).expect(is_json));
            metadata.insert(GRIDS.into(), self.grids_json().to_string());
        }
        metadata.insert(NAMES.into(), self.names.to_string());
        Ok(metadata)
    }

    /// The bytes of a safetensors file with this [metadata](Self::metadata).
    ///
    /// # Errors
    /// If two tensors have the same name.
    pub fn to_safetensors(&self, metadata: &BTreeMap<String, String>) -> Result<Vec<u8>> {
        let stored = |(name, tensor): &(String, ExportedTensor)| {
            let (dtype, bytes) = match &tensor.numbers {
                Numbers::F32(values) => (Dtype::F32, values.iter().flat_map(|v| v.to_le_bytes()).collect()),
                Numbers::I64(values) => (Dtype::I64, values.iter().flat_map(|v| v.to_le_bytes()).collect()),
            };
            Stored { name: name.clone(), dtype, dims: tensor.dims.clone(), bytes }
        };
        to_bytes(&self.tensors.iter().map(stored).collect::<Vec<_>>(), metadata)
    }

    /// The grids as JSON: `{layer: {"weight": {"scale": [..], "zero_point": [..], "quant_min": .., "quant_max": ..}}}`.
    fn grids_json(&self) -> serde_json::Value {
        let grid = |grid: &CommonGrid| {
            json!({
                "scale": grid.scale,
                "zero_point": grid.zero_point,
                "quant_min": grid.grid.qmin,
                "quant_max": grid.grid.qmax,
                "per_channel": grid.granularity == Granularity::PerChannel,
            })
        };
        let layer = |grids: &BTreeMap<&str, CommonGrid>| -> serde_json::Value {
            grids.iter().map(|(what, g)| ((*what).to_owned(), grid(g))).collect()
        };
        self.grids.iter().map(|(name, grids)| (name.clone(), layer(grids))).collect()
    }
}
