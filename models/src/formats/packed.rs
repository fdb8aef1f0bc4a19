//! Quantized weights in a checkpoint at their real width.
//!
//! A checkpoint whose metadata has the key `packed_weights` holds, for each weight named there,
//!
//! | tensor | type | shape | holds |
//! |---|---|---|---|
//! | `<layer>.weight` | U8 | `[packed_len]` | `w_int` in PyTorch's order, [bit-packed](quant::int_graph::bitpack) |
//! | `<layer>.weight_scale` | F32 | `[1]` or `[O]` | `s_w` |
//!
//! and under the key, as JSON, the width and shape of each: `{"fc.weight": {"bits": 4, "shape": [10, 64]}}`. All other
//! tensors are floats. What is read back is `s_w w_int`, which eq 1 takes to `w_int` again, *with this scale*: a rule
//! would choose another for the rounded weights, so the scales come along and stay fixed: they are read back into the
//! quantization's `weight_scales`.

use std::collections::BTreeMap;
use std::path::Path;

use quant::int_graph::bitpack::{pack, unpack};
use quant::linear_quantize;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use super::foreign::Builder;
use super::layout;
use super::safetensors_file::{SafetensorsFile, Stored, push_floats, to_bytes as file_of};
use crate::nets::quantized;
use crate::{Checkpoint, Error, QuantizedNetwork, Result};

/// The key of the metadata.
pub const KEY: &str = "packed_weights";
/// Of the scale's name, after the weight's.
const SCALE: &str = "_scale";

/// Width and shape of a weight.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    bits: u32,
    /// PyTorch's.
    shape: Vec<usize>,
}

/// The bytes of `checkpoint`, which is one of `quantized`, with every weight of at most 8 bits packed.
///
/// # Errors
/// If a weight cannot be quantized.
pub fn to_bytes(quantized: &QuantizedNetwork, checkpoint: &Checkpoint) -> Result<Vec<u8>> {
    let plan = &quantized.quantization.plan;
    let (mut stored, mut headers) = (Vec::new(), BTreeMap::new());
    for (name, tensor) in &checkpoint.tensors {
        let layer = name.strip_suffix(".weight").and_then(|layer| Some((layer, plan.get(layer)?)));
        let Some((layer, widths)) = layer.filter(|(_, widths)| widths.w <= 8) else {
            stored.push(Stored::float(name, tensor));
            continue;
        };
        let q = quantized.quantization.weight_params(layer, tensor, widths.w)?;
        let w_int = linear_quantize::<i8>(&layout::to_torch(tensor.clone()), &q)?;
        let bytes = pack(w_int.data(), widths.w);
        stored.push(Stored { name: name.clone(), dtype: Dtype::U8, dims: vec![bytes.len()], bytes });
        let scales = q.scales();
        stored.push(Stored {
            name: format!("{name}{SCALE}"),
            dtype: Dtype::F32,
            dims: vec![scales.len()],
            bytes: scales.iter().flat_map(|s| s.to_le_bytes()).collect(),
        });
        headers.insert(name.clone(), Header { bits: widths.w, shape: w_int.dims().to_vec() });
    }
    let mut metadata = checkpoint.metadata.clone();
    let mut quantization = quantized.quantization.clone();
    // Of packed weights they are among the tensors.
    quantization.weight_scales.retain(|layer, _| !headers.contains_key(&format!("{layer}.weight")));
    let is_json = "numbers and names are JSON";
    metadata.insert(quantized::KEY.into(), serde_json::to_string(&quantization).expect(is_json));
    metadata.insert(KEY.into(), serde_json::to_string(&headers).expect(is_json));
    file_of(&stored, &metadata)
}

/// Whether a file holds packed weights.
pub(crate) fn is_packed(file: &SafetensorsFile) -> bool {
    file.metadata.contains_key(KEY)
}

/// Reads a file with packed weights: the checkpoint holds `s_w w_int`.
///
/// # Errors
/// If a weight or its scale is broken, or another tensor is not made of finite floats.
pub(crate) fn read(file: &SafetensorsFile) -> Result<Checkpoint> {
    let json = file.metadata.get(KEY).map_or("{}", String::as_str);
    let broken = |e| Error::malformed(&file.path, format!("metadata `{KEY}`: {e}"));
    let packed = Packed { path: &file.path, headers: serde_json::from_str(json).map_err(broken)? };
    let (tensors, mut scales) = (file.tensors()?, BTreeMap::new());
    let mut builder = Builder::new(&file.path);
    for name in file.names.iter().filter(|name| !packed.is_scale(name)) {
        match packed.read(name, &tensors, &mut scales)? {
            Some((dims, values)) => builder.push(name.clone(), &dims, values)?,
            None => push_floats(&mut builder, &tensors, name)?,
        }
    }
    let metadata = with_scales(file.metadata.clone(), &scales);
    Ok(Checkpoint { metadata, ..builder.checkpoint })
}

/// The metadata with the scales where [`to_bytes`] took them from, the quantization's `weight_scales`. A quantization that
/// is missing or broken stays as it is: whoever reads it will say so.
fn with_scales(
    mut metadata: BTreeMap<String, String>,
    scales: &BTreeMap<String, Vec<f32>>,
) -> BTreeMap<String, String> {
    let json = metadata.get(quantized::KEY).and_then(|json| serde_json::from_str(json).ok());
    if let Some(mut quantization) = json {
        let place: &mut serde_json::Value = &mut quantization;
        if let Some(fields) = place.as_object_mut() {
            let others = fields.get("weight_scales").and_then(serde_json::Value::as_object).cloned();
            let mut all = others.unwrap_or_default();
            all.extend(scales.iter().map(|(layer, scales)| (layer.clone(), serde_json::json!(scales))));
            fields.insert("weight_scales".into(), all.into());
            metadata.insert(quantized::KEY.into(), quantization.to_string());
        }
    }
    metadata
}

/// The packed weights of a file.
struct Packed<'a> {
    path: &'a Path,
    headers: BTreeMap<String, Header>,
}

impl Packed<'_> {
    /// Whether a tensor is a packed weight's scale.
    fn is_scale(&self, name: &str) -> bool {
        name.strip_suffix(SCALE).is_some_and(|weight| self.headers.contains_key(weight))
    }

    /// Shape and numbers `s_w w_int` of a tensor, its scales into `scales`; `None` if it is not packed.
    fn read(
        &self,
        name: &str,
        file: &SafeTensors<'_>,
        scales: &mut BTreeMap<String, Vec<f32>>,
    ) -> Result<Option<(Vec<usize>, Vec<f32>)>> {
        let Some(Header { bits, shape }) = self.headers.get(name) else { return Ok(None) };
        let broken =
            |detail: String| Error::malformed(self.path, format!("packed tensor `{name}`: {detail}"));
        let bytes = |name: &str, dtype| match file.tensor(name) {
            Ok(view) if view.dtype() == dtype => Ok(view.data()),
            Ok(view) => Err(broken(format!("`{name}` has elements {:?}, expected {dtype:?}", view.dtype()))),
            Err(e) => Err(broken(e.to_string())),
        };
        let len = shape.iter().try_fold(1usize, |len, &d| len.checked_mul(d)).unwrap_or(usize::MAX);
        let w_int = unpack(bytes(name, Dtype::U8)?, len, *bits).map_err(|e| broken(e.to_string()))?;
        let s: Vec<f32> = bytes(&format!("{name}{SCALE}"), Dtype::F32)?
            .chunks_exact(4)
            .map(|s| f32::from_le_bytes(s.try_into().expect("four bytes")))
            .collect();
        let outputs = shape.first().copied().unwrap_or(0);
        if s.len() != 1 && s.len() != outputs || w_int.is_empty() {
            return Err(broken(format!("{} scales for shape {shape:?}", s.len())));
        }
        if let Some(s) = s.iter().find(|s| !(s.is_finite() && **s > 0.0)) {
            return Err(broken(format!("scale {s} is not positive and finite")));
        }
        let row = w_int.len() / s.len();
        let values = w_int.chunks(row).zip(&s).flat_map(|(w, &s)| w.iter().map(move |&w| s * f32::from(w)));
        let values = values.collect();
        scales.insert(name.strip_suffix(".weight").unwrap_or(name).to_string(), s);
        Ok(Some((shape.clone(), values)))
    }
}
