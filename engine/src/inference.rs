//! The float network made ready to classify: batch norm folded into the weights, bias, residual sum and ReLU in
//! the convolution's epilogue, Winograd's kernels where they fit, one image from end to end before the next.
//!
//! With `y = gamma (conv(x, w) - mean) / std + beta` the fold is `w' = w gamma / std`, `b' = beta - mean gamma / std`.
//! (The quantized network does not fold: that would move the grid its weights were trained on.)
//!
//! An image's activations stay in the second-level cache from layer to layer. Each lives in a buffer with a border
//! of zeros as wide as the widest padding; layers write only the inside, so nothing is ever copied to be padded.
//!
//! Equals the plain [`Graph::forward_plain`](crate::Graph::forward_plain) in evaluation up to rounding (tests below).

mod compile;
mod steps;

use std::sync::Mutex;

use rayon::prelude::*;

use crate::arena::Floats;
use crate::kernel::Isa;
use crate::kernel::conv::{Epilogue, Panels};
use crate::kernel::tile::Segment;
use crate::kernel::winograd::{Filters, WinogradConv};
use crate::{Error, Result, Tensor};
use steps::linear;

/// A compiled network. See [`Inference::compile`].
pub struct Inference {
    isa: Isa,
    input: Buffer,
    steps: Vec<CompiledStep>,
    buffers: Vec<Buffer>,
    output: Buffer,
    /// Whether the output is `[c]` of a pool or a linear layer, and no image.
    row: bool,
    /// Workspaces that nobody uses at the moment; their borders are zero and stay so.
    idle: Mutex<Vec<Workspace>>,
}

/// One activation `[h, w, c]` inside a border of `border` zero pixels.
#[derive(Clone, Copy, Debug)]
struct Buffer {
    h: usize,
    w: usize,
    c: usize,
    border: usize,
}

impl Buffer {
    /// Floats of a row, borders included.
    fn row(&self) -> usize {
        (self.w + 2 * self.border) * self.c
    }

    fn len(&self) -> usize {
        (self.h + 2 * self.border) * self.row()
    }

    /// Offset of pixel (0, 0).
    fn start(&self) -> usize {
        self.border * (self.row() + self.c)
    }
}

/// One layer; the numbers are places in `buffers`.
enum CompiledStep {
    Conv { x: usize, y: usize, residual: Option<usize>, relu: bool, conv: Box<Conv> },
    SubsamplePad { x: usize, y: usize, stride: usize, lo: usize },
    Pool { x: usize, y: usize },
    Linear { x: usize, y: usize, w: Tensor, b: Tensor },
}

impl CompiledStep {
    /// Where its result goes.
    fn y(&self) -> usize {
        match *self {
            Self::Conv { y, .. }
            | Self::SubsamplePad { y, .. }
            | Self::Pool { y, .. }
            | Self::Linear { y, .. } => y,
        }
    }
}

struct Conv {
    bias: Vec<f32>,
    kernel: ConvKernel,
}

/// Which kernel computes a convolution.
enum ConvKernel {
    Direct {
        panels: Panels,
        segments: Vec<Segment>,
        stride: usize,
    },
    /// 3x3 with stride 1 and padding 1, on sides that are multiples of 4.
    Winograd(Filters),
}

/// The activations of one image, and space for Winograd's transforms; every thread has its own.
#[derive(Default)]
struct Workspace {
    values: Vec<Floats>,
    scratch: Floats,
}

/// A workspace in use; goes home when dropped.
struct Lent<'a> {
    space: Workspace,
    home: &'a Mutex<Vec<Workspace>>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Ok(mut home) = self.home.lock() {
            home.push(std::mem::take(&mut self.space));
        }
    }
}

impl Inference {
    /// Logits `[N, classes]` of images `x [N, H, W, C]`; images are shared out among threads. Of a graph that ends with an
    /// image (a piece of a network), that image `[N, h, w, c]`.
    ///
    /// # Errors
    /// If the images are not of the size the network was compiled for.
    pub fn run(&self, x: &Tensor) -> Result<Tensor> {
        let Buffer { h, w, c, .. } = self.input;
        let n = match x.shape().nhwc() {
            Some((n, xh, xw, xc)) if (xh, xw, xc) == (h, w, c) => n,
            _ => {
                let detail = format!("compiled for images [N, {h}, {w}, {c}], got {}", x.shape());
                return Err(Error::shape("inference", detail));
            }
        };
        let out = self.output;
        let mut logits =
            if self.row { Tensor::scratch([n, out.c]) } else { Tensor::scratch([n, out.h, out.w, out.c]) };
        let classify = |workspace: &mut Lent<'_>, (logits, image): (&mut [f32], &[f32])| {
            self.image(&mut workspace.space, image);
            let values = workspace.space.values.last().expect("a network has an output");
            for (i, row) in logits.chunks_exact_mut(out.w * out.c).enumerate() {
                row.copy_from_slice(&values[out.start() + i * out.row()..][..out.w * out.c]);
            }
        };
        if n == 1 {
            // At once: to wake another thread would take as long as a layer.
            classify(&mut self.lend(), (logits.data_mut(), x.data()));
            return Ok(logits);
        }
        let images =
            logits.data_mut().par_chunks_mut(out.h * out.w * out.c).zip(x.data().par_chunks(h * w * c));
        // A few long runs of images per thread: every run begins by fetching a workspace.
        let run = n.div_ceil(4 * rayon::current_num_threads());
        images.with_min_len(run).for_each_init(|| self.lend(), classify);
        Ok(logits)
    }

    /// A workspace that nobody uses, or a new one.
    fn lend(&self) -> Lent<'_> {
        let idle = self.idle.lock().expect("no panic while the list is locked").pop();
        let space = idle.unwrap_or_else(|| {
            let zeros = |len| {
                let mut floats = Floats::take(len);
                floats.fill(0.0);
                floats
            };
            let values = self.buffers.iter().map(|b| zeros(b.len())).collect();
            Workspace { values, scratch: zeros(self.scratch_len()) }
        });
        Lent { space, home: &self.idle }
    }

    /// Floats that the largest of Winograd's transforms need.
    fn scratch_len(&self) -> usize {
        let of = |step: &CompiledStep| match step {
            CompiledStep::Conv { conv, .. } => match &conv.kernel {
                ConvKernel::Winograd(filters) => WinogradConv::scratch_len(filters),
                ConvKernel::Direct { .. } => 0,
            },
            _ => 0,
        };
        self.steps.iter().map(of).max().unwrap_or(0)
    }

    /// One image through all layers; the logits end in the last buffer.
    fn image(&self, Workspace { values, scratch }: &mut Workspace, image: &[f32]) {
        self.input(image, &mut values[0]);
        for step in &self.steps {
            let mut out = std::mem::take(&mut values[step.y()]);
            match step {
                CompiledStep::Conv { x, y, residual, relu, conv } => {
                    let residual = residual.map(|r| &*values[r]);
                    let epilogue = Epilogue { bias: Some(&conv.bias), residual, relu: *relu };
                    self.conv(&conv.kernel, (&values[*x], *x), (&mut out, *y), epilogue, scratch);
                }
                CompiledStep::SubsamplePad { x, y, stride, lo } => {
                    self.subsample_pad((&values[*x], *x), (&mut out, *y), *stride, *lo);
                }
                CompiledStep::Pool { x, .. } => self.pool((&values[*x], *x), &mut out),
                CompiledStep::Linear { x, w, b, .. } => linear(&values[*x], w, b, &mut out),
            }
            values[step.y()] = out;
        }
    }
}

#[cfg(test)]
mod tests;
