//! How large every activation is, whether the layers fit together, and what they cost.

use super::{Graph, Layer, Node};
use crate::ops::{Conv2dShape, extent};
use crate::{Error, Result, Shape};

/// What a node's result is, for one image.
#[derive(Clone, Copy, PartialEq)]
enum Value {
    /// `[h, w, c]`.
    Image([usize; 3]),
    /// `[c]`: of a pool, of a linear layer.
    Row(usize),
}

impl Graph {
    /// Height, width and channels of every node's result for an image `[h, w, c]`; those of a row `[c]`, which pools and
    /// linear layers compute, are `[1, 1, c]`. A graph that has them runs: every layer is given what it takes.
    ///
    /// # Errors
    /// If the image has no pixels or no channels, or a layer is given what it does not take: other channels, a row instead
    /// of an image or the other way round, a sum of different shapes, an image smaller than the window.
    pub fn extents(&self, image: [usize; 3]) -> Result<Vec<[usize; 3]>> {
        let mut values: Vec<Value> = Vec::new();
        for node in &self.nodes {
            let inputs: Vec<Value> = node.inputs.iter().map(|&i| values[i]).collect();
            values.push(node.value(&inputs, image)?);
        }
        let extents = values.into_iter().map(|value| match value {
            Value::Image(extents) => extents,
            Value::Row(c) => [1, 1, c],
        });
        Ok(extents.collect())
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
        // The image has the channels that the first convolution takes.
        let taken = self.nodes.iter().find_map(|node| match node.layer {
            Layer::Conv2d { c, .. } => Some(c),
            _ => None,
        });
        let extents = self.extents([side, side, taken.unwrap_or(1)]).unwrap_or_default();
        let products = self.nodes.iter().zip(extents).filter_map(|(node, [h, w, _])| match node.layer {
            Layer::Conv2d { c, o, kernel, .. } => Some((node.name.as_str(), h * w * o * c * kernel * kernel)),
            Layer::Linear { i, o } => Some((node.name.as_str(), i * o)),
            _ => None,
        });
        products.collect()
    }
}

impl Node {
    /// What it makes of its inputs' values.
    fn value(&self, inputs: &[Value], image: [usize; 3]) -> Result<Value> {
        let refuse = |takes: String| {
            let given = match inputs.first() {
                Some(Value::Image([h, w, c])) => format!("an image of {h}x{w}x{c}"),
                Some(Value::Row(c)) => format!("a row of {c}"),
                None => format!("an image of {}x{}x{}", image[0], image[1], image[2]),
            };
            Err(Error::shape("graph", format!("layer `{}` takes {takes} and is given {given}", self.name)))
        };
        match (self.layer, inputs) {
            (Layer::Input, _) if image.contains(&0) => refuse("pixels and channels".to_owned()),
            (Layer::Input, _) if !Shape::fits_memory(&image) => refuse("what memory can hold".to_owned()),
            (Layer::Input, _) => Ok(Value::Image(image)),
            (Layer::Conv2d { o: 0, .. } | Layer::Linear { o: 0, .. }, _) => {
                refuse("one output or more".to_owned())
            }
            (Layer::Conv2d { c, o, kernel, stride, padding }, &[Value::Image([h, w, xc])]) if xc == c => {
                let side = |n: usize| extent(n, kernel, stride, padding);
                let [x, w_shape] = [[1, h, w, c], [o, kernel, kernel, c]].map(Shape::from);
                match Conv2dShape::new(x, w_shape, stride, padding) {
                    Ok(shape) => Ok(Value::Image([shape.oh, shape.ow, o])),
                    Err(_) if side(h).and(side(w)).is_some() => {
                        refuse("an image that memory can hold, padding included,".to_owned())
                    }
                    Err(_) => refuse(format!("at least a window of {kernel}x{kernel}, stride {stride}")),
                }
            }
            (Layer::Conv2d { c, .. }, _) => refuse(format!("an image of {c} channels")),
            (Layer::BatchNorm { c }, &[Value::Image([_, _, xc])]) if xc == c => Ok(inputs[0]),
            (Layer::BatchNorm { c }, _) => refuse(format!("an image of {c} channels")),
            (Layer::SubsamplePad { stride, lo, hi }, &[Value::Image([h, w, c])]) if stride > 0 => {
                let [h, w] = [h, w].map(|n| n.div_ceil(stride));
                match lo.checked_add(c).and_then(|c| c.checked_add(hi)) {
                    Some(c) if Shape::fits_memory(&[h, w, c]) => Ok(Value::Image([h, w, c])),
                    _ => refuse("no more channels than memory can hold".to_owned()),
                }
            }
            (Layer::SubsamplePad { .. }, _) => refuse("an image, with a positive stride,".to_owned()),
            (Layer::GlobalAvgPool, &[Value::Image([_, _, c])]) => Ok(Value::Row(c)),
            (Layer::GlobalAvgPool, _) => refuse("an image".to_owned()),
            (Layer::Linear { i, o }, &[Value::Row(c)]) if c == i => Ok(Value::Row(o)),
            (Layer::Linear { i, .. }, _) => refuse(format!("a row of {i}")),
            (Layer::Add, &[a, b]) if a != b => refuse("two values of one shape".to_owned()),
            (Layer::Add | Layer::Relu, _) => Ok(inputs[0]),
        }
    }
}
