//! What others have published for small ResNet-20s on CIFAR-10, to stand beside what is measured here.
//!
//! These networks began at other float networks, with other grids and budgets: they say what is known to be possible, and
//! compare no methods.

use models::Network;
use models::data::classes::Classes;

/// A network that somebody else has published.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Published {
    /// What it is called in a drawing.
    pub name: &'static str,
    /// Its weights.
    pub kib: f64,
    /// Accuracy on the test images, percent.
    pub top1: f64,
}

/// Ordered by size.
///
/// - *IR-Net* (Qin et al., CVPR 2020; the table of `htqin/IR-Net`): one bit, levels `+-a`, in all layers but the first and the
///   last; activations in floats. The size is (6a) of option A, whose shortcuts have no weights: 267,264 weights of a bit and
///   1,072 floats.
/// - *heterogeneous*: mixed widths, trained (the table of `examples/resnet` in
///   `Intelligent-Microsystems-Lab/HeterogeneousQuantization`), where the float network has 95.19%. 70 KB, of which 1,072 are
///   268,000 floats.
/// - *heterogeneous, 8 bits*: 268 KB, of the same table.
pub const RESNET20: [Published; 3] = [
    Published { name: "IR-Net", kib: 36.8, top1: 90.8 },
    Published { name: "heterogeneous", kib: 68.4, top1: 92.47 },
    Published { name: "heterogeneous, 8 bits", kib: 261.7, top1: 93.83 },
];

/// What may stand beside `network`: nothing, if it is no ResNet-20 or tells other classes apart.
pub fn beside(network: &Network) -> &'static [Published] {
    let known = network.depth == 20 && network.classes == Classes::cifar10();
    if known { &RESNET20 } else { &[] }
}
