//! From a graph and its parameters to an [`Inference`]: which layers merge, folded weights, buffers.

use super::{Buffer, Conv, ConvKernel, Inference, Step};
use crate::graph::{Plan, PlanStep};
use crate::kernel::Isa;
use crate::kernel::conv::Panels;
use crate::kernel::tile::Segment;
use crate::kernel::winograd::{Filters, TILE};
use crate::{Error, Graph, Layer, NodeId, Params, Result, Tensor};

/// Added to batch norm's variance.
const EPS: f64 = 1e-5;

impl Inference {
    /// Compiles `graph` for images `[N, h, w, c]`.
    ///
    /// # Errors
    /// If a parameter is missing, the graph has a shape that the direct kernels do not serve (output channels that
    /// do not fill vectors), or a batch norm that does not follow a convolution.
    pub fn compile(graph: &Graph, params: &Params, image: [usize; 3], isa: Isa) -> Result<Self> {
        let mut compiler = Compiler {
            graph,
            params,
            isa,
            plan: Plan::new(graph),
            border: border(graph),
            place: vec![None; graph.nodes().len()],
            buffers: Vec::new(),
            steps: Vec::new(),
        };
        for id in 0..graph.nodes().len() {
            compiler.node(id, image)?;
        }
        let Compiler { buffers, steps, .. } = compiler;
        let (Some(input), Some(last)) = (buffers.first(), buffers.last()) else {
            return Err(Error::value("inference", "the graph is empty"));
        };
        Ok(Self { isa, input: *input, classes: last.len(), steps, buffers, idle: Default::default() })
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
    plan: Plan,
    border: usize,
    /// Where each node's value is.
    place: Vec<Option<usize>>,
    buffers: Vec<Buffer>,
    steps: Vec<Step>,
}

impl Compiler<'_> {
    fn node(&mut self, id: NodeId, [h, w, c]: [usize; 3]) -> Result<()> {
        let node = &self.graph.nodes()[id];
        let place = match (self.plan.steps[id], node.layer) {
            (PlanStep::Absorbed, _) => return Ok(()),
            (PlanStep::BatchNormRelu { norm, residual }, _) => {
                let residual = residual.map(|r| self.place_of(r)).transpose()?;
                self.conv(norm, residual, true)?
            }
            (_, Layer::Input) => self.buffer(Buffer { h, w, c, border: self.border }),
            // Computed by the batch norm behind it.
            (_, Layer::Conv2d { .. }) => return Ok(()),
            (_, Layer::BatchNorm { .. }) => self.conv(id, None, false)?,
            (_, Layer::SubsamplePad { stride, lo, hi }) => {
                let x = self.place_of(node.inputs[0])?;
                let Buffer { h, w, c, border } = self.buffers[x];
                let y = Buffer { h: h.div_ceil(stride), w: w.div_ceil(stride), c: lo + c + hi, border };
                let y = self.buffer(y);
                self.steps.push(Step::SubsamplePad { x, y, stride, lo });
                y
            }
            (_, Layer::GlobalAvgPool) => {
                let x = self.place_of(node.inputs[0])?;
                let y = self.buffer(Buffer { h: 1, w: 1, c: self.buffers[x].c, border: 0 });
                self.steps.push(Step::Pool { x, y });
                y
            }
            (_, Layer::Linear { o, .. }) => {
                let x = self.place_of(node.inputs[0])?;
                let y = self.buffer(Buffer { h: 1, w: 1, c: o, border: 0 });
                let w = self.params.get(&format!("{}.weight", node.name))?.clone();
                let b = self.params.get(&format!("{}.bias", node.name))?.clone();
                self.steps.push(Step::Linear { x, y, w, b });
                y
            }
            (_, Layer::Relu | Layer::Add) => {
                let detail = format!("`{}` does not follow a batch norm; run the graph instead", node.name);
                return Err(Error::value("inference", detail));
            }
        };
        self.place[id] = Some(place);
        Ok(())
    }

    fn buffer(&mut self, buffer: Buffer) -> usize {
        self.buffers.push(buffer);
        self.buffers.len() - 1
    }

    fn place_of(&self, id: NodeId) -> Result<usize> {
        self.place[id].ok_or_else(|| {
            let name = &self.graph.nodes()[id].name;
            Error::value("inference", format!("`{name}` is used without the batch norm behind it"))
        })
    }

    /// The convolution before batch norm `norm`, folded.
    fn conv(&mut self, norm: NodeId, residual: Option<usize>, relu: bool) -> Result<usize> {
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
        let side = |n: usize| (n + 2 * padding - kernel) / stride + 1;
        let y = self.buffer(Buffer { h: side(from.h), w: side(from.w), c: o, border: self.border });
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
        self.steps.push(Step::Conv { x, y, residual, relu, conv: Box::new(conv) });
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
