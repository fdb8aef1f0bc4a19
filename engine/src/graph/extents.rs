//! How large every activation is, and what that costs.

use super::{Graph, Layer};
use crate::ops::extent;
use crate::{Error, Result};

impl Graph {
    /// Height, width and channels of every node's result for an image `[h, w, c]`.
    ///
    /// # Errors
    /// If a window is larger than what it looks at.
    pub fn extents(&self, image: [usize; 3]) -> Result<Vec<[usize; 3]>> {
        let mut all: Vec<[usize; 3]> = Vec::new();
        for node in &self.nodes {
            let [h, w, c] = node.inputs.first().map_or(image, |&i| all[i]);
            all.push(match node.layer {
                Layer::Conv2d { o, kernel, stride, padding, .. } => {
                    let side = |n: usize| extent(n, kernel, stride, padding);
                    let (Some(h), Some(w)) = (side(h), side(w)) else {
                        let detail = format!("layer `{}`: the window is larger than {h}x{w}", node.name);
                        return Err(Error::shape("graph", detail));
                    };
                    [h, w, o]
                }
                Layer::SubsamplePad { stride, lo, hi } => {
                    [h.div_ceil(stride), w.div_ceil(stride), lo + c + hi]
                }
                Layer::GlobalAvgPool => [1, 1, c],
                Layer::Linear { o, .. } => [1, 1, o],
                Layer::Input | Layer::BatchNorm { .. } | Layer::Relu | Layer::Add => [h, w, c],
            });
        }
        Ok(all)
    }

    /// Multiply-adds of one image of `side x side` pixels, padding included, per node with weights; none if the network
    /// does not take such an image.
    ///
    /// ```
    /// # use engine::{Graph, Layer};
    /// let mut g = Graph::default();
    /// let x = g.add("x", Layer::Input, &[]);
    /// g.add("conv", Layer::Conv2d { c: 3, o: 16, kernel: 3, stride: 2, padding: 1 }, &[x]);
    /// assert_eq!(g.multiply_adds(32), [("conv", 16 * 16 * 16 * 27)]);
    /// ```
    pub fn multiply_adds(&self, side: usize) -> Vec<(&str, usize)> {
        // Of the image's channels, which the first layer knows, only the extents of nodes without weights depend.
        let extents = self.extents([side, side, 0]).unwrap_or_default();
        let products = self.nodes.iter().zip(extents).filter_map(|(node, [h, w, _])| match node.layer {
            Layer::Conv2d { c, o, kernel, .. } => Some((node.name.as_str(), h * w * o * c * kernel * kernel)),
            Layer::Linear { i, o } => Some((node.name.as_str(), i * o)),
            _ => None,
        });
        products.collect()
    }
}
