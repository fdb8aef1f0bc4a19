//! A residual network, layer by layer, as ONNX's nodes.

use std::collections::BTreeMap;

use engine::ops::EPS;
use engine::{Layer, Node, Params};
use quant::Granularity;

use super::model::{self, Element, GraphParts};
use super::protobuf::Message;
use super::storage;
use crate::data::cifar10::{CHANNELS, SIDE};
use crate::formats::common_grid::{CommonGrid, CommonLayer};
use crate::formats::layout;
use crate::{Network, QuantizedNetwork, Result};

/// The name of what comes in: normalised images `[N, 3, 32, 32]`.
const INPUT: &str = "input";
/// The name of what goes out: `[N, classes]`.
const OUTPUT: &str = "logits";

/// The bytes of an ONNX file of `network`, quantized as `quantized` says if it is given, in the operators' version
/// `opset`. `metadata` becomes the file's properties: the normalisation that images need is among it.
///
/// # Errors
/// If a weight has no codes, or `opset` has no type for a width.
pub fn to_bytes(
    network: &Network,
    quantized: Option<&QuantizedNetwork>,
    opset: u32,
    metadata: &BTreeMap<String, String>,
) -> Result<Vec<u8>> {
    let mut writer = Writer {
        params: &network.params,
        quantized,
        opset,
        graph: GraphParts::default(),
        restored: BTreeMap::new(),
    };
    writer.graph.inputs.push(model::value(INPUT, &[CHANNELS, SIDE, SIDE]));
    writer.graph.outputs.push(model::value(OUTPUT, &[network.classes.len()]));
    let nodes = network.graph.nodes();
    let name_of = |id: usize| match nodes[id].layer {
        Layer::Input => INPUT,
        _ if id + 1 == nodes.len() => OUTPUT,
        _ => nodes[id].name.as_str(),
    };
    for (id, node) in nodes.iter().enumerate() {
        let inputs: Vec<&str> = node.inputs.iter().map(|&input| name_of(input)).collect();
        writer.layer(node, &inputs, name_of(id))?;
    }
    Ok(model::file(writer.graph, opset, metadata.iter()))
}

struct Writer<'a> {
    params: &'a Params,
    quantized: Option<&'a QuantizedNetwork>,
    opset: u32,
    graph: GraphParts,
    /// What was quantized and restored already: layers behind the same value share a grid if theirs are equal.
    restored: BTreeMap<String, String>,
}

impl Writer<'_> {
    /// Adds `node` with the inputs and the output of these names.
    fn layer(&mut self, node: &Node, inputs: &[&str], output: &str) -> Result<()> {
        match node.layer {
            Layer::Input => {}
            Layer::Conv2d { kernel, stride, padding, .. } => {
                let operands = self.operands(node, inputs[0])?;
                let attributes = vec![
                    model::ints("kernel_shape", &[kernel; 2]),
                    model::ints("strides", &[stride; 2]),
                    model::ints("pads", &[padding; 4]),
                ];
                self.node("Conv", &operands, output, attributes);
            }
            Layer::Linear { .. } => {
                let operands = self.operands(node, inputs[0])?;
                self.node("Gemm", &operands, output, vec![model::int("transB", 1)]);
            }
            Layer::BatchNorm { .. } => {
                let mut operands = vec![inputs[0].to_owned()];
                for part in ["weight", "bias", "running_mean", "running_var"] {
                    operands.push(self.param(&format!("{}.{part}", node.name))?);
                }
                let attributes = vec![model::float("epsilon", EPS as f32)];
                self.node("BatchNormalization", &operands, output, attributes);
            }
            Layer::Relu => self.node("Relu", inputs, output, vec![]),
            Layer::Add => {
                let residual = self.activation(node, inputs[1])?;
                self.node("Add", &[inputs[0], &residual], output, vec![]);
            }
            Layer::SubsamplePad { stride, lo, hi } => {
                self.subsample_pad(node, inputs[0], output, [stride, lo, hi])
            }
            Layer::GlobalAvgPool => {
                let x = self.activation(node, inputs[0])?;
                let pooled = format!("{}.pooled", node.name);
                self.node("GlobalAveragePool", &[&x], &pooled, vec![]);
                self.node("Flatten", &[&pooled], output, vec![model::int("axis", 1)]);
            }
        }
        Ok(())
    }

    fn node(&mut self, kind: &str, inputs: &[impl AsRef<str>], output: &str, attributes: Vec<Message>) {
        let inputs: Vec<&str> = inputs.iter().map(AsRef::as_ref).collect();
        self.graph.nodes.push(model::node(kind, &inputs, output, attributes));
    }

    /// Adds a parameter as it is, in PyTorch's layout, and returns its name.
    fn param(&mut self, name: &str) -> Result<String> {
        let tensor = layout::to_torch(self.params.get(name)?.clone());
        self.graph.initializers.push(model::floats(name, tensor.dims(), tensor.data()));
        Ok(name.to_owned())
    }

    /// Adds constants for the places and widths of a slice, say, and returns the name.
    fn constant(&mut self, name: String, values: &[i64]) -> String {
        self.graph.initializers.push(model::integers(&name, Element::I64, &[values.len()], values));
        name
    }

    /// Every other pixel, and zero channels on both sides.
    fn subsample_pad(&mut self, node: &Node, x: &str, output: &str, [stride, lo, hi]: [usize; 3]) {
        let name = |part: &str| format!("{}.{part}", node.name);
        let end = i64::MAX; // as far as it goes
        let slice = [
            x.to_owned(),
            self.constant(name("starts"), &[0, 0]),
            self.constant(name("ends"), &[end, end]),
            self.constant(name("axes"), &[2, 3]),
            self.constant(name("steps"), &[stride as i64; 2]),
        ];
        let pixels = name("pixels");
        self.node("Slice", &slice, &pixels, vec![]);
        let pads = self.constant(name("pads"), &[0, lo as i64, 0, 0, 0, hi as i64, 0, 0]);
        self.node("Pad", &[pixels, pads], output, vec![]);
    }

    /// The names of input, weight and bias of a layer with weights.
    fn operands(&mut self, node: &Node, x: &str) -> Result<Vec<String>> {
        let layer = match self.quantized {
            Some(quantized) => quantized.common_layer(&node.name)?,
            None => None,
        };
        let weight = format!("{}.weight", node.name);
        let bias = format!("{}.bias", node.name);
        let Some(layer) = layer else {
            let mut operands = vec![x.to_owned(), self.param(&weight)?];
            if self.params.get(&bias).is_ok() {
                operands.push(self.param(&bias)?);
            }
            return Ok(operands);
        };
        let x = self.quantize(x, &node.name, &layer.input)?;
        let w_int: Vec<i64> = layer.w_int.data().iter().map(|&w| w.into()).collect();
        let element = storage::element(layer.weight.grid, self.opset)?;
        let w = self.codes(&weight, element, layer.w_int.dims(), &w_int, &layer.weight);
        Ok([x, w].into_iter().chain(self.bias(&bias, &layer)?).collect())
    }

    /// Adds the codes of a weight and what restores them, and returns the name of the restored weight.
    fn codes(
        &mut self,
        name: &str,
        element: Element,
        dims: &[usize],
        codes: &[i64],
        grid: &CommonGrid,
    ) -> String {
        let quantized = format!("{name}_quantized");
        self.graph.initializers.push(model::integers(&quantized, element, dims, codes));
        let [scale, zero_point] = self.scale_and_zero_point(name, element, grid);
        let attributes = match grid.granularity {
            Granularity::PerTensor => vec![],
            Granularity::PerChannel => vec![model::int("axis", 0)],
        };
        self.node("DequantizeLinear", &[&quantized, &scale, &zero_point], name, attributes);
        name.to_owned()
    }

    /// Adds the bias: in 32 bits where it fits and the weights have 8, else restored. (ONNX Runtime fuses a `Gemm` between
    /// integers with a bias of 32 bits into its `QGemm`, which takes no others than of 8 bits: version 1.32 does so for
    /// 2 bits, too, and then refuses the file.)
    fn bias(&mut self, name: &str, layer: &CommonLayer) -> Result<Option<String>> {
        let Some(b_int) = &layer.b_int else { return Ok(None) };
        let bytes = [layer.input.grid, layer.weight.grid].map(|grid| storage::element(grid, self.opset));
        let of_8_bits = bytes.into_iter().all(|element| matches!(element, Ok(Element::Int { bits: 8, .. })));
        if of_8_bits && b_int.iter().all(|&b| i32::try_from(b).is_ok()) {
            let (quantized, scale) = (format!("{name}_quantized"), format!("{name}_scale"));
            let dims = [b_int.len()];
            self.graph.initializers.push(model::integers(&quantized, Element::I32, &dims, b_int));
            self.graph.initializers.push(model::floats(&scale, &dims, &layer.bias_scale));
            self.node("DequantizeLinear", &[&quantized, &scale], name, vec![model::int("axis", 0)]);
        } else if let Some(restored) = layer.restored_bias() {
            self.graph.initializers.push(model::floats(name, &[restored.len()], &restored));
        }
        Ok(Some(name.to_owned()))
    }

    /// The value that enters a residual sum or a pool: through its grid, if it has one.
    fn activation(&mut self, node: &Node, x: &str) -> Result<String> {
        let grid = match self.quantized {
            Some(quantized) => quantized.common_activation(&node.name)?,
            None => None,
        };
        grid.map_or_else(|| Ok(x.to_owned()), |grid| self.quantize(x, &node.name, &grid))
    }

    /// Takes `x` to the codes of `grid` and back, for `user`; returns the name of what comes back.
    fn quantize(&mut self, x: &str, user: &str, grid: &CommonGrid) -> Result<String> {
        let known = format!("{x} {grid:?}");
        if let Some(restored) = self.restored.get(&known) {
            return Ok(restored.clone());
        }
        let element = storage::activation_element(grid.grid, self.opset)?;
        let name = |part: &str| format!("{user}.input{part}");
        let [scale, zero_point] = self.scale_and_zero_point(&name(""), element, grid);
        let mut x = x.to_owned();
        if element != (Element::Int { bits: grid.grid.bits(), signed: grid.grid.is_signed() }) {
            // The type has codes beyond the grid, and saturates at its own ends only.
            let ends = [(grid.grid.qmin, "_min"), (grid.grid.qmax, "_max")].map(|(code, end)| {
                self.graph.initializers.push(model::floats(&name(end), &[], &[grid.restore(code, 0)]));
                name(end)
            });
            self.node("Clip", &[&x, &ends[0], &ends[1]], &name("_clipped"), vec![]);
            x = name("_clipped");
        }
        let (quantized, restored) = (name("_quantized"), name(""));
        self.node("QuantizeLinear", &[&x, &scale, &zero_point], &quantized, vec![]);
        self.node("DequantizeLinear", &[&quantized, &scale, &zero_point], &restored, vec![]);
        self.restored.insert(known, restored.clone());
        Ok(restored)
    }

    /// Adds scales and zero points under names that begin with `name`, and returns these names.
    fn scale_and_zero_point(&mut self, name: &str, element: Element, grid: &CommonGrid) -> [String; 2] {
        let names = [format!("{name}_scale"), format!("{name}_zero_point")];
        let count = [grid.scale.len()];
        let dims: &[usize] = if grid.granularity == Granularity::PerTensor { &[] } else { &count };
        let zero_points: Vec<i64> = grid.zero_point.iter().map(|&z| z.into()).collect();
        self.graph.initializers.push(model::floats(&names[0], dims, &grid.scale));
        self.graph.initializers.push(model::integers(&names[1], element, dims, &zero_points));
        names
    }
}
