//! From a graph and its parameters to an [`Inference`]: the fused steps, folded weights, buffers. Plain: the graph
//! itself, by [`Graph::forward_plain`].

use super::{Buffer, CompiledStep, Conv, ConvKernel, Inference};
use crate::fast::{self, Norm, StepOp, fuse};
use crate::kernel::Isa;
use crate::kernel::conv::Panels;
use crate::kernel::tile::Segment;
use crate::kernel::winograd::{Filters, TILE};
use crate::ops::EPS;
use crate::{Error, Graph, Layer, NodeId, Params, Result, Tensor};

impl Inference {
    /// Compiles `graph` for images `[N, h, w, c]`.
    ///
    /// # Errors
    /// If a parameter is missing, the graph has a shape that the direct kernels do not serve (output channels that
    /// do not fill vectors), a batch norm that does not follow a convolution, or a convolution without one behind it; or
    /// if a layer is given what it does not take ([`Graph::extents`]).
    pub fn compile(graph: &Graph, params: &Params, image: [usize; 3], isa: Isa) -> Result<Self> {
        let mut compiler = Compiler {
            graph,
            params,
            isa,
            border: border(graph),
            extents: graph.extents(image)?,
            place: vec![None; graph.nodes().len()],
            buffers: Vec::new(),
            steps: Vec::new(),
        };
        for step in fuse(graph) {
            compiler.step(&step)?;
        }
        let Some(last) = graph.nodes().len().checked_sub(1) else {
            return Err(Error::value("inference", "the graph is empty"));
        };
        let row = matches!(graph.nodes()[last].layer, Layer::GlobalAvgPool | Layer::Linear { .. });
        let last = compiler.place_of(last)?;
        let Compiler { buffers, steps, .. } = compiler;
        let (input, output) = (buffers[0], buffers[last]);
        Ok(Self { isa, input, output, row, steps, buffers, idle: Default::default() })
    }
}

/// The widest padding of any convolution.
fn border(graph: &Graph) -> usize {
    let padding = |layer: &Layer| match layer {
        Layer::Conv2d { padding, .. } => *padding,
        _ => 0,
    };
    graph.nodes().iter().map(|n| padding(&n.layer)).max().unwrap_or(0)
}

struct Compiler<'a> {
    graph: &'a Graph,
    params: &'a Params,
    isa: Isa,
    border: usize,
    /// Shape of each node's value.
    extents: Vec<[usize; 3]>,
    /// Where each node's value is.
    place: Vec<Option<usize>>,
    buffers: Vec<Buffer>,
    steps: Vec<CompiledStep>,
}

impl Compiler<'_> {
    fn step(&mut self, step: &fast::Step) -> Result<()> {
        let node = &self.graph.nodes()[step.id];
        let y = match step.op {
            StepOp::Input => self.buffer(step.id, self.border),
            StepOp::ConvNorm { norm, .. } | StepOp::Norm(norm) => self.conv(step.id, norm)?,
            // The batch norms behind it compute it; for anything else it has no place.
            StepOp::Conv2d => return Ok(()),
            StepOp::SubsamplePad { stride, lo, .. } => {
                let x = self.place_of(node.inputs[0])?;
                let y = self.buffer(step.id, self.border);
                self.steps.push(CompiledStep::SubsamplePad { x, y, stride, lo });
                y
            }
            StepOp::GlobalAvgPool => {
                let x = self.place_of(node.inputs[0])?;
                let y = self.buffer(step.id, 0);
                self.steps.push(CompiledStep::Pool { x, y });
                y
            }
            StepOp::Linear => {
                let x = self.place_of(node.inputs[0])?;
                let y = self.buffer(step.id, 0);
                let w = self.params.get(&format!("{}.weight", node.name))?.clone();
                let b = self.params.get(&format!("{}.bias", node.name))?.clone();
                self.steps.push(CompiledStep::Linear { x, y, w, b });
                y
            }
            StepOp::Relu | StepOp::Add => {
                let detail = format!("`{}` does not follow a batch norm; run the graph instead", node.name);
                return Err(Error::value("inference", detail));
            }
        };
        self.place[step.id] = Some(y);
        Ok(())
    }

    /// A buffer for the value of node `id`.
    fn buffer(&mut self, id: NodeId, border: usize) -> usize {
        let [h, w, c] = self.extents[id];
        self.buffers.push(Buffer { h, w, c, border });
        self.buffers.len() - 1
    }

    fn place_of(&self, id: NodeId) -> Result<usize> {
        self.place[id].ok_or_else(|| {
            let name = &self.graph.nodes()[id].name;
            Error::value("inference", format!("`{name}` is used without the batch norm behind it"))
        })
    }

    /// The convolution before batch norm `norm`, folded, for the value of node `id`.
    fn conv(&mut self, id: NodeId, Norm { id: norm, residual, relu }: Norm) -> Result<usize> {
        let residual = residual.map(|r| self.place_of(r.from)).transpose()?;
        let norm = &self.graph.nodes()[norm];
        let node = &self.graph.nodes()[norm.inputs[0]];
        let Layer::Conv2d { c, o, kernel, stride, padding } = node.layer else {
            let detail = format!("batch norm `{}` does not follow a convolution", norm.name);
            return Err(Error::value("inference", detail));
        };
        if !Panels::fit(self.isa, o) {
            let detail =
                format!("`{}` has {o} channels, which do not fill {} vectors", node.name, self.isa.name());
            return Err(Error::value("inference", detail));
        }
        let x = self.place_of(node.inputs[0])?;
        let from = self.buffers[x];
        let y = self.buffer(id, self.border);
        let (w, k) = (self.params.get(&format!("{}.weight", node.name))?, kernel * kernel * c);
        let (factor, bias) = self.fold(&norm.name)?;
        let winograd = (kernel, stride, padding) == (3, 1, 1)
            && [from.h, from.w].iter().all(|side| side.is_multiple_of(TILE))
            && Panels::fit(self.isa, c);
        let folded = |o: usize, i: usize| w.data()[o * k + i] * factor[o];
        let kernel = if winograd {
            let w: Vec<f32> = (0..o * k).map(|at| folded(at / k, at % k)).collect();
            ConvKernel::Winograd(Filters::new(self.isa, &w, [o, c], false))
        } else {
            // The field of output pixel (0, 0) starts `padding` pixels before pixel (0, 0).
            let first = from.start() - padding * (from.row() + from.c);
            let len = kernel * c;
            let segment = |kh: usize| Segment { x: first + kh * from.row(), k: kh * len, len };
            let panels = Panels::pack(self.isa, k, o, |i, o| folded(o, i));
            ConvKernel::Direct { panels, segments: (0..kernel).map(segment).collect(), stride }
        };
        let conv = Conv { bias, kernel };
        self.steps.push(CompiledStep::Conv { x, y, residual, relu, conv: Box::new(conv) });
        Ok(y)
    }

    /// `gamma / std` and `beta - mean gamma / std` of a batch norm.
    fn fold(&self, name: &str) -> Result<(Vec<f32>, Vec<f32>)> {
        let get = |suffix: &str| self.params.get(&format!("{name}.{suffix}")).map(Tensor::data);
        let (gamma, beta) = (get("weight")?, get("bias")?);
        let (mean, var) = (get("running_mean")?, get("running_var")?);
        let factor: Vec<f64> =
            gamma.iter().zip(var).map(|(g, v)| f64::from(*g) / (f64::from(*v) + EPS).sqrt()).collect();
        let bias =
            (0..gamma.len()).map(|i| (f64::from(beta[i]) - f64::from(mean[i]) * factor[i]) as f32).collect();
        Ok((factor.iter().map(|f| *f as f32).collect(), bias))
    }
}
