//! What enters and leaves a unit, of all calibration images, computed once before the unit is learned.

use engine::{Graph, Hook, NodeId, Params, Result, Tensor};

use super::units::{Unit, sub_graph};

/// Images of one run of the network.
const BATCH: usize = 64;

/// The value at one node, of all images.
pub(super) struct Values {
    node: NodeId,
    /// `[images, ..]`.
    pub all: Tensor,
}

impl Values {
    /// The images themselves.
    ///
    /// # Errors
    /// If batches differ in shape.
    pub fn of_images(batches: impl Iterator<Item = Tensor>) -> Result<Self> {
        let (mut dims, mut data) = (Vec::new(), Vec::new());
        for batch in batches {
            dims = batch.dims().to_vec();
            data.extend_from_slice(batch.data());
        }
        let Some(images) = dims.first_mut() else {
            return Err(engine::Error::value("reconstruction", "there are no images"));
        };
        *images = 0;
        let image: usize = dims[1..].iter().product();
        dims[0] = data.len() / image.max(1);
        Ok(Self { node: 0, all: Tensor::from_vec(engine::Shape::new(&dims), data)? })
    }

    /// The value at node `to`, computed under `hook` from the value at hand.
    ///
    /// # Errors
    /// If `to` depends on more than the node at hand.
    pub fn at(&self, graph: &Graph, params: &Params, to: NodeId, hook: &mut dyn Hook) -> Result<Self> {
        if to == self.node {
            return Ok(Self { node: to, all: self.all.clone() });
        }
        let sub = sub_graph(graph, Unit { from: self.node, to })?;
        let (images, mut dims, mut data) = (self.all.dims()[0], Vec::new(), Vec::new());
        for first in (0..images).step_by(BATCH) {
            let chosen: Vec<usize> = (first..images.min(first + BATCH)).collect();
            let y = sub.infer(params, self.images(&chosen), hook)?;
            dims = y.dims().to_vec();
            data.extend_from_slice(y.data());
        }
        dims[0] = images;
        Ok(Self { node: to, all: Tensor::from_vec(engine::Shape::new(&dims), data)? })
    }

    /// Some of the images, in this order.
    pub fn images(&self, chosen: &[usize]) -> Tensor {
        let mut dims = self.all.dims().to_vec();
        let image = self.all.len() / dims[0].max(1);
        dims[0] = chosen.len();
        let mut y = Tensor::scratch(engine::Shape::new(&dims));
        for (&i, y) in chosen.iter().zip(y.data_mut().chunks_mut(image)) {
            y.copy_from_slice(&self.all.data()[i * image..][..image]);
        }
        y
    }
}

/// Every image of `[N, H, W, C]`, and behind them every image mirrored left to right.
pub(super) fn with_mirrored(images: &Tensor) -> Result<Tensor> {
    let Some((n, h, w, c)) = images.shape().nhwc() else { return Ok(images.clone()) };
    let mut data = images.data().to_vec();
    for row in images.data().chunks(w * c) {
        row.rchunks(c).for_each(|pixel| data.extend_from_slice(pixel));
    }
    Tensor::from_vec([2 * n, h, w, c], data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrored_images_follow_the_images() {
        let x = Tensor::from_vec([1, 1, 3, 2], vec![1., 2., 3., 4., 5., 6.]).unwrap();
        let both = with_mirrored(&x).unwrap();
        assert_eq!(both.dims(), [2, 1, 3, 2]);
        assert_eq!(both.data(), [1., 2., 3., 4., 5., 6., 5., 6., 3., 4., 1., 2.]);
    }

    #[test]
    fn images_are_chosen_by_number() {
        let batches = [Tensor::full([2, 1], 1.0), Tensor::full([1, 1], 2.0)];
        let values = Values::of_images(batches.into_iter()).unwrap();
        assert_eq!(values.all.dims(), [3, 1]);
        assert_eq!(values.images(&[2, 0]).data(), [2.0, 1.0]);
    }
}
