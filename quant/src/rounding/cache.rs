//! What enters and leaves a unit, of all calibration images, computed once before the unit is learned.

use engine::rng::{Purpose, Rng};
use engine::{Graph, Hook, NodeId, Params, Result, Tensor};

use super::units::{Unit, sub_graph};

/// The number that stands for no unit, in the draws of views.
const VIEWS: usize = 1 << 20;

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

/// Largest shift of a view, in pixels.
const SHIFT: usize = 4;

/// `views` views of every image of `[N, H, W, C]`: first the images themselves, then each mirrored in every other view and
/// shifted by up to 4 pixels each way, zeros entering at the border (black there, as in training, was tried with
/// `ptq_w2a2_adaquant.toml`, seed 1: 84.91%, with zeros 85.70%). What the float network makes of them is known
/// without labels, and the more it is asked, the less the quantized network fits chance.
pub(super) fn with_views(images: &Tensor, views: usize, seed: u64) -> Result<Tensor> {
    let Some((n, h, w, c)) = images.shape().nhwc() else { return Ok(images.clone()) };
    let mut data = images.data().to_vec();
    for view in 1..views {
        for (i, image) in images.data().chunks(h * w * c).enumerate() {
            let mut rng = Rng::at(seed, Purpose::Reconstruction, VIEWS, view * n + i);
            let [dy, dx] = [0, 1].map(|_| rng.below(2 * SHIFT + 1));
            let mirrored = view % 2 == 1;
            for y in 0..h {
                for x in 0..w {
                    let (from_y, x) = (y + dy, if mirrored { w - 1 - x } else { x });
                    let from_x = x + dx;
                    let inside = (SHIFT..h + SHIFT).contains(&from_y) && (SHIFT..w + SHIFT).contains(&from_x);
                    match inside {
                        true => {
                            let at = ((from_y - SHIFT) * w + from_x - SHIFT) * c;
                            data.extend_from_slice(&image[at..at + c]);
                        }
                        false => data.extend(std::iter::repeat_n(0.0, c)),
                    }
                }
            }
        }
    }
    Tensor::from_vec([views.max(1) * n, h, w, c], data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_are_the_images_mirrored_and_shifted() {
        let x = Tensor::from_fn([2, 9, 9, 1], |i| (i + 1) as f32);
        let views = with_views(&x, 3, 1).unwrap();
        assert_eq!(views.dims(), [6, 9, 9, 1]);
        assert_eq!(&views.data()[..162], x.data());
        for (view, image) in views.data().chunks(81).enumerate().skip(2) {
            // The centre is in every view: its place in the image tells the shift of all others.
            let (first, mirrored) = (81 * (view % 2), view / 2 == 1);
            let centre = image[40] as usize - 1 - first;
            let (dy, dx) = (centre as isize / 9 - 4, centre as isize % 9 - 4);
            for (at, &v) in image.iter().enumerate() {
                let (y, x) = (at as isize / 9, at as isize % 9);
                let (y, x) = (y + dy, if mirrored { 8 - x } else { x } + dx);
                let inside = (0..9).contains(&y) && (0..9).contains(&x);
                let want = if inside { (first as isize + y * 9 + x + 1) as f32 } else { 0.0 };
                assert_eq!(v, want, "view {view} at {at}");
            }
        }
    }

    #[test]
    fn images_are_chosen_by_number() {
        let batches = [Tensor::full([2, 1], 1.0), Tensor::full([1, 1], 2.0)];
        let values = Values::of_images(batches.into_iter()).unwrap();
        assert_eq!(values.all.dims(), [3, 1]);
        assert_eq!(values.images(&[2, 0]).data(), [2.0, 1.0]);
    }
}
