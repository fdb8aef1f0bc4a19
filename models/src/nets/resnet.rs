//! Residual networks for CIFAR's small images (He et al. 2015, section 4.2): a 3x3 convolution, three stages of `n` blocks
//! with 16, 32 and 64 channels at 32, 16 and 8 pixels, global average pooling and a linear classifier;
//! `depth = 6 n + 2`.
//!
//! ```text
//! x ──> conv 3x3 ─ bn ─ relu ─ conv 3x3 ─ bn ─ (+) ─ relu ──>      one block
//!  └──────────────── shortcut ───────────────────┘
//! ```
//!
//! Node names are PyTorch's module paths (`layer1.0.conv1`, `layer2.0.downsample.0`, `fc`), so parameters carry
//! the names other tools expect.

use std::fmt;
use std::str::FromStr;

use engine::{Graph, Layer, NodeId};

use crate::{Error, Result};

/// How a block that halves the image brings its input to the new shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortcut {
    /// Every other pixel and zero channels: no parameters.
    A,
    /// A 1x1 convolution with stride 2 and a batch norm.
    B,
}

impl fmt::Display for Shortcut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "A",
            Self::B => "B",
        })
    }
}

impl FromStr for Shortcut {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        match s {
            "A" | "a" => Ok(Self::A),
            "B" | "b" => Ok(Self::B),
            _ => Err(Error::Value(format!("shortcut `{s}`: choose A or B"))),
        }
    }
}

/// Channels of the three stages.
const CHANNELS: [usize; 3] = [16, 32, 64];

/// The graph of a residual network of this depth, with a logit for each of `classes`.
///
/// ```
/// use models::{Shortcut, resnet};
/// let count = |shortcut| resnet(20, shortcut, 10).unwrap().init(0).unwrap().trainable_count();
/// assert_eq!(count(Shortcut::A), 269_722);
/// assert_eq!(count(Shortcut::B), 272_474);
/// ```
///
/// # Errors
/// If `depth` is not `6 n + 2` with `n >= 1` (20, 32, 44, 56, 110, ...).
pub fn resnet(depth: usize, shortcut: Shortcut, classes: usize) -> Result<Graph> {
    let n = depth.saturating_sub(2) / 6;
    if n == 0 || depth != 6 * n + 2 {
        return Err(Error::Value(format!(
            "depth {depth}: a CIFAR ResNet has 6n + 2 layers, such as 20, 32, 44, 56 or 110"
        )));
    }
    let mut g = Graph::default();
    let input = g.add("input", Layer::Input, &[]);
    let conv = g.add("conv1", conv3x3(3, CHANNELS[0], 1), &[input]);
    let norm = g.add("bn1", Layer::BatchNorm { c: CHANNELS[0] }, &[conv]);
    let mut x = g.add("relu", Layer::Relu, &[norm]);
    let mut c = CHANNELS[0];
    for (stage, &o) in CHANNELS.iter().enumerate() {
        for block in 0..n {
            let stride = if stage > 0 && block == 0 { 2 } else { 1 };
            x = add_block(&mut g, &format!("layer{}.{block}", stage + 1), x, (c, o, stride), shortcut);
            c = o;
        }
    }
    let pool = g.add("avgpool", Layer::GlobalAvgPool, &[x]);
    g.add("fc", Layer::Linear { i: c, o: classes }, &[pool]);
    Ok(g)
}

fn conv3x3(c: usize, o: usize, stride: usize) -> Layer {
    Layer::Conv2d { c, o, kernel: 3, stride, padding: 1 }
}

/// Appends one residual block and returns its output.
fn add_block(
    g: &mut Graph,
    name: &str,
    x: NodeId,
    (c, o, stride): (usize, usize, usize),
    shortcut: Shortcut,
) -> NodeId {
    let part = |suffix: &str| format!("{name}.{suffix}");
    let conv1 = g.add(part("conv1"), conv3x3(c, o, stride), &[x]);
    let bn1 = g.add(part("bn1"), Layer::BatchNorm { c: o }, &[conv1]);
    let relu1 = g.add(part("relu1"), Layer::Relu, &[bn1]);
    let conv2 = g.add(part("conv2"), conv3x3(o, o, 1), &[relu1]);
    let bn2 = g.add(part("bn2"), Layer::BatchNorm { c: o }, &[conv2]);
    let residual = match shortcut {
        _ if stride == 1 && c == o => x,
        Shortcut::A => {
            let lo = (o - c) / 2;
            g.add(part("shortcut"), Layer::SubsamplePad { stride, lo, hi: o - c - lo }, &[x])
        }
        Shortcut::B => {
            let conv = Layer::Conv2d { c, o, kernel: 1, stride, padding: 0 };
            let conv = g.add(part("downsample.0"), conv, &[x]);
            g.add(part("downsample.1"), Layer::BatchNorm { c: o }, &[conv])
        }
    };
    let sum = g.add(part("add"), Layer::Add, &[bn2, residual]);
    g.add(part("relu2"), Layer::Relu, &[sum])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resnet_20_has_22_layers_with_weights_in_option_b() {
        let names = |shortcut| {
            resnet(20, shortcut, 10).unwrap().weighted().map(|n| n.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(names(Shortcut::A).len(), 20);
        let b = names(Shortcut::B);
        assert_eq!(b.len(), 22);
        assert_eq!((b[0].as_str(), b[21].as_str()), ("conv1", "fc"));
        assert!(b.contains(&"layer3.0.downsample.0".to_string()));
    }

    #[test]
    fn a_depth_that_is_no_resnet_is_refused() {
        for depth in [0, 2, 18, 21] {
            let error = resnet(depth, Shortcut::B, 10).unwrap_err().to_string();
            assert!(error.contains(&format!("depth {depth}")), "{error}");
        }
    }
}
