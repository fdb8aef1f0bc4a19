//! Shared by the benchmarks: random operands, the layers of ResNet-20, and the table of results.

pub mod ladder;
pub mod table;

use engine::rng::{Purpose, Rng};
use engine::{Shape, Tensor};

/// Normally distributed numbers, the same in every run.
pub fn normal(shape: impl Into<Shape>) -> Tensor {
    let mut rng = Rng::at(1, Purpose::Test, 0, 0);
    Tensor::from_fn(shape, |_| rng.normal())
}

/// Uniform codes in `min..=max`.
pub fn codes(n: usize, min: i32, max: i32) -> impl Iterator<Item = i32> {
    let mut rng = Rng::at(1, Purpose::Test, 0, 1);
    (0..n).map(move |_| min + rng.below((max - min + 1) as usize) as i32)
}

/// A convolution of ResNet-20: name, side of its input, input and output channels, kernel, stride.
pub struct ConvLayer {
    /// What it is.
    pub name: &'static str,
    /// Height and width of the input.
    pub side: usize,
    /// Input channels.
    pub c: usize,
    /// Output channels.
    pub o: usize,
    /// Height and width of the kernel.
    pub kernel: usize,
    /// Step between output pixels.
    pub stride: usize,
}

impl ConvLayer {
    /// Padding that keeps the size (before the stride).
    pub fn padding(&self) -> usize {
        self.kernel / 2
    }

    /// Whether Winograd's kernels compute it, rather than hand it to the direct ones.
    pub fn winograd_applies(&self) -> bool {
        self.kernel == 3 && self.stride == 1 && self.c >= 16
    }

    /// Multiply-adds of one image.
    pub fn multiply_adds(&self) -> usize {
        let out = self.side / self.stride;
        out * out * self.o * self.c * self.kernel * self.kernel
    }
}

/// The different convolutions of ResNet-20.
#[rustfmt::skip]
pub const LAYERS: [ConvLayer; 7] = [
    ConvLayer { name: "stem",         side: 32, c: 3,  o: 16, kernel: 3, stride: 1 },
    ConvLayer { name: "stage1",       side: 32, c: 16, o: 16, kernel: 3, stride: 1 },
    ConvLayer { name: "stage2.first", side: 32, c: 16, o: 32, kernel: 3, stride: 2 },
    ConvLayer { name: "stage2",       side: 16, c: 32, o: 32, kernel: 3, stride: 1 },
    ConvLayer { name: "stage3.first", side: 16, c: 32, o: 64, kernel: 3, stride: 2 },
    ConvLayer { name: "stage3",       side: 8,  c: 64, o: 64, kernel: 3, stride: 1 },
    ConvLayer { name: "downsample",   side: 32, c: 16, o: 32, kernel: 1, stride: 2 },
];

/// Matrix products `[M, N, K]`: the stages of ResNet-20 at batch 128 as one product each, and a square.
pub const GEMMS: [[usize; 3]; 4] =
    [[131_072, 16, 144], [32_768, 32, 288], [8_192, 64, 576], [1_024, 1_024, 1_024]];
