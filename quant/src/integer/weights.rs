//! Weights ready for the integer layers, and the bias in integers.

use std::borrow::Cow;

use engine::{Error, Result};

use crate::kernel::pack::Panels;
use crate::kernel::{self, K_GROUP, MicroKernel};
use crate::{Granularity, IntTensor, QParams};

/// Integer weights `[O, KH, KW, C]` or `[O, I]`, packed once for the micro-kernel that suits their range.
#[derive(Clone)]
pub struct PackedWeights {
    w_int: IntTensor<i8>,
    pub(super) kernel: &'static MicroKernel,
    /// `[O, KH, KW, C]`; a linear weight counts as `[O, 1, 1, I]`.
    pub(super) dims: [usize; 4],
    /// `C` rounded up to whole groups: the channels of the padded image the kernels read.
    pub(super) channels_padded: usize,
    pub(super) panels: Panels,
    /// `sum w` of each output channel.
    pub(super) sums: Vec<i64>,
    /// `sum |w|` of each output channel.
    pub(super) abs_sums: Vec<i64>,
}

impl PackedWeights {
    /// Packs convolution weights `[O, KH, KW, C]` or linear weights `[O, I]` for the best micro-kernel that
    /// this CPU has for weights of their range.
    ///
    /// # Errors
    /// If the shape is neither, or has no elements.
    pub fn pack(w_int: IntTensor<i8>) -> Result<Self> {
        let max_weight = w_int.data().iter().map(|&w| i32::from(w).abs()).max();
        Self::pack_for(kernel::select(max_weight.unwrap_or(0)), w_int)
    }

    /// [`pack`](Self::pack) for a given micro-kernel.
    ///
    /// # Errors
    /// As [`pack`](Self::pack); or if the kernel is not exact for weights as large as these.
    pub fn pack_for(kernel: &'static MicroKernel, w_int: IntTensor<i8>) -> Result<Self> {
        let dims = match *w_int.dims() {
            [o, kh, kw, c] => [o, kh, kw, c],
            [o, i] => [o, 1, 1, i],
            _ => [0; 4],
        };
        if dims.contains(&0) {
            let detail = format!("weights must be [O, KH, KW, C] or [O, I], got {}", w_int.shape());
            return Err(Error::shape("pack", detail));
        }
        let [o, kh, kw, c] = dims;
        let channels_padded = c.next_multiple_of(K_GROUP);
        let w = w_int.data();
        let panels = Panels::new(kernel.layout, o, kh, kw * channels_padded, |o, y, k| {
            let (x, channel) = (k / channels_padded, k % channels_padded);
            if channel < c { w[((o * kh + y) * kw + x) * c + channel] } else { 0 }
        });
        if panels.max_weight() > kernel.max_weight {
            let (largest, most) = (panels.max_weight(), kernel.max_weight);
            let detail = format!("{} is exact for weights up to {most}, got {largest}", kernel.name);
            return Err(Error::value("pack", detail));
        }
        let rows = || w.chunks(kh * kw * c);
        let sums = rows().map(|row| row.iter().map(|&w| i64::from(w)).sum()).collect();
        let abs_sums = rows().map(|row| row.iter().map(|&w| i64::from(w).abs()).sum()).collect();
        Ok(Self { w_int, kernel, dims, channels_padded, panels, sums, abs_sums })
    }

    /// These weights for `kernel`: themselves if they are packed for it, else packed anew.
    pub(super) fn for_kernel(&self, kernel: &'static MicroKernel) -> Result<Cow<'_, Self>> {
        if std::ptr::eq(kernel, self.kernel) {
            return Ok(Cow::Borrowed(self));
        }
        Self::pack_for(kernel, self.w_int.clone()).map(Cow::Owned)
    }

    /// The micro-kernel they are packed for.
    pub fn kernel(&self) -> &'static MicroKernel {
        self.kernel
    }

    /// The weights in the kernel's order.
    pub(crate) fn panels(&self) -> &Panels {
        &self.panels
    }

    /// The weights as they were given.
    pub fn w_int(&self) -> &IntTensor<i8> {
        &self.w_int
    }

    /// Number of output channels.
    pub fn outputs(&self) -> usize {
        self.dims[0]
    }
}

/// `b_int = round(b / (s_x s_w))`, half to even, of absolute value up to `2^53`: all that `f64` holds exactly, and what
/// leaves 64 bits room for the products.
///
/// 32 bits would not do: a step is as small as the weights, and a bias of 0.5 beside weights around 1e-7 is 6e9 steps.
///
/// # Errors
/// If a quotient is not a number or larger; the message names the channel.
pub fn quantize_bias(b: &[f32], s: &[f64]) -> Result<Vec<i64>> {
    const LARGEST: f64 = (1u64 << 53) as f64;
    let code = |(channel, (&b, &s)): (usize, (&f32, &f64))| {
        let exact = (f64::from(b) / s).round_ties_even();
        // NaN is in no range.
        if (-LARGEST..=LARGEST).contains(&exact) {
            return Ok(exact as i64);
        }
        let detail = format!("channel {channel}: {b} is not a number of steps of {s:e} up to 2^53");
        Err(Error::value("bias", detail))
    };
    b.iter().zip(s).enumerate().map(code).collect()
}

/// `s_x s_w` of each output channel, after checking that eq 6 applies: activations per tensor, weights
/// symmetric, scales one or one per output channel.
pub(crate) fn product_scales(
    op: &'static str,
    q_x: &QParams,
    q_w: &QParams,
    outputs: usize,
) -> Result<Vec<f64>> {
    if q_x.granularity() != Granularity::PerTensor {
        return Err(Error::value(op, "activations must have one scale for the whole tensor"));
    }
    if let Some(z) = q_w.zero_points().iter().find(|&&z| z != 0) {
        return Err(Error::value(op, format!("weights must have zero_point 0, got {z}")));
    }
    if q_w.granularity() == Granularity::PerChannel && q_w.scales().len() != outputs {
        let detail = format!("{} weight scales for {outputs} output channels", q_w.scales().len());
        return Err(Error::shape(op, detail));
    }
    let s_x = f64::from(q_x.scales()[0]);
    Ok((0..outputs).map(|o| s_x * f64::from(q_w.channel(o).0)).collect())
}
