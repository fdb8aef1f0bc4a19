//! Weights ready for the integer layers.

use std::borrow::Cow;

use engine::{Error, Result};

use crate::IntTensor;
use crate::kernel::pack::Panels;
use crate::kernel::{self, K_GROUP, MicroKernel};

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
