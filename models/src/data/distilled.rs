//! Images distilled from a network: calibration without data (ZeroQ, Cai et al. 2020, section 3.1).
//!
//! A trained network remembers its training images in the running statistics of its batch norms. Images are made that
//! have these statistics at every batch norm, by gradient descent on their pixels:
//!
//! ```text
//! L = sum over batch norms of (1/C) sum_c [ (m_c - mu_c)^2 / var_c + (sqrt(v_c / var_c) - 1)^2 ]        (5b)
//!     + a cross_entropy(logits, targets)
//! ```
//!
//! `m`, `v` are the batch's mean and variance at the batch norm's input, `mu`, `var` the running ones. (ZeroQ has the plain
//! squares; divided by the running variance, layers and channels of every size weigh alike.) With `a > 0` image `i` is also
//! to be one of class `i mod K` of `K` classes, which spreads the images over what the last layers tell apart. Images begin as noise
//! with the spectrum of photographs, stay within the range of pixels, and end as bytes.

mod match_statistics;
mod mixing;

use engine::optim::Adam;
use engine::rng::{Purpose, Rng};
use engine::{
    Error, Hook, Incoming, Layer, LayerQuant, Node, Operands, Params, Role, Tape, Tensor, Var, ops,
};

use super::augment::Normalization;
use super::cifar10::{CHANNELS, ImageSet, PLANE, RECORD_BYTES, SIDE};
use super::synthetic::noise_images;
use crate::{Network, Result};
use match_statistics::Match;
use mixing::Mixing;

/// The first stream of random rectangles; those before it belong to noise and synthetic samples.
const MIXING: usize = 16;

/// How images are distilled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Distilling {
    /// How many images.
    pub images: usize,
    /// Images that match the statistics together.
    pub batch: usize,
    /// Updates of each batch.
    pub iterations: usize,
    /// First learning rate of Adam on normalised pixels; it falls along half a cosine.
    pub rate: f32,
    /// `a` of (5b): the weight of class targets; 0: none.
    pub targets: f32,
    /// Whether each shows a part of its neighbour while it is distilled (5c).
    pub mixing: bool,
}

impl Default for Distilling {
    fn default() -> Self {
        Self { images: 256, batch: 64, iterations: 100, rate: 0.05, targets: 0.1, mixing: false }
    }
}

/// Distils images from `network`; `report` is told after every update how many are done, of how many, and the loss.
/// The same seed gives the same images.
///
/// # Errors
/// If the network has no batch norm, or a number becomes infinite.
pub fn distilled_images(
    network: &Network,
    how: Distilling,
    seed: u64,
    report: &mut dyn FnMut(usize, usize, f64),
) -> Result<ImageSet> {
    if !network.graph.nodes().iter().any(|node| matches!(node.layer, Layer::BatchNorm { .. })) {
        return Err(crate::Error::Value(
            "the network has no batch norm whose statistics images could match".into(),
        ));
    }
    let (params, classes) = (constant(&network.params), network.classes.len());
    let start = noise_images(how.images, 6, &Normalization::TRUE, seed)?;
    let pixels = normalized(&start, &network.normalization);
    let [least, most] = [0, 255]
        .map(|byte| std::array::from_fn::<f32, CHANNELS, _>(|c| network.normalization.apply(c, byte)));
    let (image, batches) = (SIDE * SIDE * CHANNELS, how.images.div_ceil(how.batch));
    let mut records = Vec::with_capacity(how.images * RECORD_BYTES);
    for (b, part) in pixels.chunks(how.batch * image).enumerate() {
        let shape = [part.len() / image, SIDE, SIDE, CHANNELS];
        let labels: Vec<usize> = (0..shape[0]).map(|i| (b * how.batch + i) % classes).collect();
        let mut x = Params::default();
        x.push("image", Role::Weight, Tensor::from_vec(shape, part.to_vec())?)?;
        let mut adam = Adam::default();
        for i in 0..how.iterations {
            let mut rng = Rng::at(seed, Purpose::Synthetic, MIXING + b, i);
            let mixing = how.mixing.then(|| Mixing::draw(SIDE, &mut rng));
            let shown = mixing.as_ref().map(|mixing| mixing.mix(&x[0].value));
            let shown = shown.as_ref().unwrap_or(&x[0].value);
            let (loss, dx) = gradient(network, &params, shown, (&labels, how.targets), mixing.as_ref())?;
            let dx = match &mixing {
                Some(mixing) => mixing.unmix(&dx),
                None => dx,
            };
            let done = i as f32 / how.iterations as f32;
            let rate = how.rate * 0.5 * (1.0 + (done * std::f32::consts::PI).cos());
            adam.step(&mut x, &[Some(dx)], &[rate])?;
            for (j, pixel) in x.get_mut("image")?.data_mut().iter_mut().enumerate() {
                *pixel = pixel.clamp(least[j % CHANNELS], most[j % CHANNELS]);
            }
            report(b * how.iterations + i + 1, batches * how.iterations, loss);
        }
        for (image, label) in x[0].value.data().chunks_exact(image).zip(labels) {
            record(image, label, &network.normalization, &mut records);
        }
    }
    ImageSet::from_classes("distilled images", records, network.classes.clone())
}

/// `L` of (5b) or (5c) and its gradient by the images shown.
fn gradient(
    network: &Network,
    params: &Params,
    x: &Tensor,
    (labels, targets): (&[usize], f32),
    mixing: Option<&Mixing>,
) -> Result<(f64, Tensor)> {
    let mut tape = Tape::new();
    let mut hook = MatchHook { params, image: None, loss: 0.0 };
    let forward = network.graph.forward_eval(params, &mut tape, x.clone(), &mut hook)?;
    let of_classes = match mixing {
        Some(mixing) => mixing.cross_entropy(&mut tape, forward.output, labels)?,
        None => ops::cross_entropy(&mut tape, forward.output, labels, 0.0)?,
    };
    let loss = hook.loss + f64::from(targets * tape.value(of_classes).data()[0]);
    tape.backward(of_classes, Tensor::scalar(targets))?;
    let image = hook.image.expect("a network has a first layer");
    let dx = tape.take_grad(image).ok_or_else(|| Error::value("distil", "the images have no gradient"))?;
    match loss.is_finite() {
        true => Ok((loss, dx)),
        false => Err(Error::value("distil", format!("the loss is {loss}")).into()),
    }
}

/// Parameters that want no gradient: only the images move.
fn constant(params: &Params) -> Params {
    let mut params = params.clone();
    params.iter_mut().for_each(|param| param.role = Role::Running);
    params
}

/// Makes the image a variable, and adds the loss of its statistics at every batch norm.
struct MatchHook<'a> {
    params: &'a Params,
    image: Option<Var>,
    loss: f64,
}

impl Hook for MatchHook<'_> {
    fn layer(&mut self, tape: &mut Tape, _: &Node, mut operands: Operands) -> engine::Result<LayerQuant> {
        if self.image.is_none() {
            let x = tape.value(operands.x.var).clone();
            operands.x.var = tape.leaf(x, true);
            self.image = Some(operands.x.var);
        }
        Ok(operands.into())
    }

    fn normalize(&mut self, tape: &mut Tape, node: &Node, x: Incoming) -> engine::Result<Var> {
        let running = |what: &str| self.params.get(&format!("{}.running_{what}", node.name));
        let matched = Match::new(tape.value(x.var), running("mean")?.data(), running("var")?.data());
        self.loss += matched.loss;
        let value = tape.value(x.var).clone();
        Ok(tape.push(value, &[x.var], matched))
    }
}

/// All pixels as the network sees them, `[N, H, W, C]`.
fn normalized(set: &ImageSet, normalization: &Normalization) -> Vec<f32> {
    let loader = super::loader::Loader::evaluation(set, set.len(), *normalization);
    loader.epoch(0).flat_map(|batch| batch.x.data().to_vec()).collect()
}

/// Appends an image as a record of CIFAR-10: label, then the planes of its channels.
fn record(image: &[f32], label: usize, normalization: &Normalization, records: &mut Vec<u8>) {
    records.push(label as u8);
    for c in 0..CHANNELS {
        let (mean, std) = (normalization.mean[c], normalization.std[c]);
        let byte =
            |i: usize| (255.0 * (mean + std * image[i * CHANNELS + c])).round().clamp(0.0, 255.0) as u8;
        records.extend((0..PLANE).map(byte));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shortcut;

    fn network() -> Network {
        let mut network = Network::fresh(8, Shortcut::B, Normalization::TRUE, 3).unwrap();
        for param in network.params.iter_mut().filter(|p| p.role == Role::Running) {
            let shift = if param.name.ends_with("var") { 0.5 } else { 0.1 };
            param.value.data_mut().iter_mut().for_each(|v| *v += shift);
        }
        network
    }

    #[test]
    fn threads_do_not_change_the_images() {
        let how = Distilling { images: 8, batch: 8, iterations: 2, ..Default::default() };
        let distil = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let set = pool.install(|| distilled_images(&network(), how, 1, &mut |_, _, _| {})).unwrap();
            normalized(&set, &Normalization::TRUE)
        };
        assert_eq!(distil(1), distil(3));
    }

    #[test]
    fn the_gradient_of_mixed_images_is_that_of_the_loss() {
        let network = network();
        let params = constant(&network.params);
        let x = Tensor::from_fn([3, SIDE, SIDE, CHANNELS], |i| (i as f32 * 0.37).sin());
        let labels = [1usize, 4, 7];
        let mixing = Mixing::draw(SIDE, &mut Rng::at(3, Purpose::Test, 0, 0));
        let loss_and_gradient =
            |x: &Tensor| gradient(&network, &params, &mixing.mix(x), (&labels, 0.5), Some(&mixing)).unwrap();
        let dx = mixing.unmix(&loss_and_gradient(&x).1);
        let direction = Tensor::from_fn(x.shape(), |i| (i as f32 * 1.7).cos());
        let moved = |h: f32| {
            let step = |i| x.data()[i] + h * direction.data()[i];
            loss_and_gradient(&Tensor::from_fn(x.shape(), step)).0
        };
        let h = 1e-3f32;
        let expected = (moved(h) - moved(-h)) / f64::from(2.0 * h);
        let slope: f64 =
            dx.data().iter().zip(direction.data()).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        assert!((slope - expected).abs() < 0.02 * expected.abs().max(0.1), "{slope} {expected}");
    }

    #[test]
    fn images_come_nearer_to_the_statistics_and_a_seed_means_the_same_images() {
        let how = Distilling { images: 12, batch: 8, iterations: 12, ..Default::default() };
        let distil = |seed| {
            let mut losses = Vec::new();
            let set = distilled_images(&network(), how, seed, &mut |done, of, loss| {
                assert_eq!(of, 24);
                assert_eq!(done, losses.len() + 1);
                losses.push(loss);
            });
            (set.unwrap(), losses)
        };
        let (set, losses) = distil(1);
        assert_eq!(set.len(), 12);
        assert!(losses[11] < 0.8 * losses[0] && losses[23] < 0.8 * losses[12], "{losses:?}");
        assert_eq!(distil(1).1, losses);
        assert_ne!(distil(2).1, losses);
    }
}
