//! The accuracy of a network with rounded weights: what searches ask for, thousands of times.
//!
//! An evaluation is a pure function of the network, the bits, and the images it was made with. For each candidate
//!
//! 1. weights are rounded, each layer to its bits ([`Rounding`]); activations stay floats, as good as 16 bits;
//! 2. batch norms are corrected on the calibration images, as by `--correction batch_norm` ((7a) and (7b); plain:
//!    [`Reference::correct`](crate::Reference::correct), which the test compares with), and the last layer's bias (7c);
//! 3. the images with known classes are classified, and counted.
//!
//! The network is cut where only one value crosses (a residual network: between its blocks). The values at the cuts are
//! kept, of all images, for as many candidates as memory allows: one whose bits begin as those of a kept one is
//! computed from the first block that differs. The result is the same to the bit, because a cut's value depends on
//! nothing but the bits in front of it.

use std::collections::HashMap;
use std::sync::Arc;

use engine::{Error, Graph, Layer, Params, Result, Tensor, ops};

use super::stage::{Stage, Values};
use super::{LayerSize, NO_NETWORK, proxy};
use crate::equalize::flip::{change_signs, flips};
use crate::network::plan::leads_into_a_sum;
use crate::rounding::units::blocks;
use crate::{
    Granularity, Grid, ScaleRule, Symmetry, fake_quantize, reset_scale_and_zero_point,
    reset_scales_and_zero_points,
};

/// Images and their classes.
pub struct Images {
    /// `[N, H, W, C]`, as the network takes them.
    pub x: Tensor,
    /// The classes.
    pub labels: Vec<usize>,
}

/// How weights are rounded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rounding {
    /// What chooses the scale.
    pub rule: ScaleRule,
    /// One scale for each tensor, or for each channel.
    pub granularity: Granularity,
    /// Whether channels are to be [balanced](crate::equalize::balance()): convolutions then round as if by channel, and
    /// store one scale. (They are taken to have a batch norm behind them.)
    pub balanced: bool,
    /// Whether channels of convolutions are turned over where that [rounds better](crate::equalize::flip()).
    pub flipped: bool,
}

impl Rounding {
    /// The weight `w` of `layer` restored from `bits` bits; zeros from none.
    ///
    /// # Errors
    /// If `w` holds a NaN or `bits` is more than 16.
    pub fn round(&self, layer: &Layer, w: &Tensor, bits: u32) -> Result<Tensor> {
        if bits == 0 {
            return Ok(Tensor::zeros(w.shape()));
        }
        let balanced = self.balanced && matches!(layer, Layer::Conv2d { .. });
        let reset = match self.granularity {
            Granularity::PerTensor if !balanced => reset_scale_and_zero_point,
            _ => reset_scales_and_zero_points,
        };
        let round = |w: &Tensor| fake_quantize(w, &reset(w, bits, self.rule, Symmetry::Symmetric, true)?);
        if !self.flipped || !matches!(layer, Layer::Conv2d { .. }) {
            return round(w);
        }
        let flipped = flips(w.data(), w.dims()[0], self.rule, Grid::signed(bits)?)?;
        let mut turned = w.clone();
        change_signs(turned.data_mut(), &flipped);
        let mut w_hat = round(&turned)?;
        change_signs(w_hat.data_mut(), &flipped);
        Ok(w_hat)
    }
}

/// The values at one cut for one beginning of bits.
struct Kept {
    prefix: Vec<u32>,
    values: Arc<Values>,
    used: u64,
}

/// Measures candidates.
pub struct Evaluator {
    graph: Graph,
    params: Params,
    rounding: Rounding,
    stages: Vec<Stage>,
    layers: Vec<LayerSize>,
    /// Whether something goes around the layer, so that it can have 0 bits.
    droppable: Vec<bool>,
    batches: Vec<Tensor>,
    labels: Vec<usize>,
    /// Number of calibration images.
    calibration: usize,
    /// Mean of each logit of the float network on the calibration images.
    float_logits: Vec<f64>,
    start: Arc<Values>,
    kept: Vec<Kept>,
    clock: u64,
    memory: usize,
    rounded: HashMap<(usize, u32), Tensor>,
}

impl Evaluator {
    /// The network `graph` with `params`; its batch norms are corrected on `calibration`, batches of images, and
    /// candidates counted on `images`. At most `memory` bytes are used for values at cuts.
    ///
    /// # Errors
    /// If the images do not fit the network, or the compiled network does not serve its shapes.
    pub fn new(
        graph: &Graph,
        params: &Params,
        rounding: Rounding,
        calibration: Vec<Tensor>,
        images: &Images,
        memory: usize,
    ) -> Result<Self> {
        let all: Vec<&Tensor> = calibration.iter().chain([&images.x]).collect();
        let image = images.x.shape().nhwc().map_or([0; 3], |(_, h, w, c)| [h, w, c]);
        let extents = graph.extents(image)?;
        let (mut stages, mut float, mut first) = (Vec::new(), calibration.clone(), 0);
        for unit in blocks(graph) {
            let (stage, next) = Stage::new((graph, params), unit, first, &float, extents[unit.from])?;
            (first, float) = (stage.layers.end, next);
            stages.push(stage);
        }
        let data = all.iter().flat_map(|x| x.data()).copied().collect();
        let count = all.iter().map(|x| x.dims()[0]).sum::<usize>();
        let start = Values {
            batches: calibration.clone(),
            images: Tensor::from_vec([count, image[0], image[1], image[2]], data)?,
        };
        let size = |name: &String| {
            let w = params.get(&format!("{name}.weight"))?;
            let scales = match rounding.granularity {
                Granularity::PerTensor => 1,
                Granularity::PerChannel => w.dims()[0],
            };
            Ok(LayerSize { name: name.clone(), weights: w.len(), scales })
        };
        let names: Vec<String> = graph.weighted().map(|node| node.name.clone()).collect();
        let mut evaluator = Self {
            graph: graph.clone(),
            params: params.clone(),
            rounding,
            layers: names.iter().map(size).collect::<Result<_>>()?,
            droppable: (graph.nodes().iter().enumerate())
                .filter(|(_, node)| node.layer.has_weight())
                .map(|(id, _)| leads_into_a_sum(graph, id))
                .collect(),
            stages,
            labels: images.labels.clone(),
            calibration: count - images.labels.len(),
            batches: calibration,
            float_logits: Vec::new(),
            start: Arc::new(start),
            kept: Vec::new(),
            clock: 0,
            memory,
            rounded: HashMap::new(),
        };
        let weights = names.iter().map(|name| params.get(&format!("{name}.weight")));
        let weights: Vec<Tensor> = weights.map(|w| w.cloned()).collect::<Result<_>>()?;
        let mut values = evaluator.start.clone();
        for stage in &evaluator.stages {
            let own: Vec<&Tensor> = weights[stage.layers.clone()].iter().collect();
            values = Arc::new(stage.run(&own, &values)?);
        }
        evaluator.float_logits = evaluator.mean_logits(&values.images);
        Ok(evaluator)
    }

    /// The layers whose bits are asked for.
    pub fn layers(&self) -> &[LayerSize] {
        &self.layers
    }

    /// Gives back the memory of what is kept: the next candidate is computed from the beginning.
    pub fn forget(&mut self) {
        self.kept.clear();
    }

    /// The classes of the images that are counted.
    pub fn labels(&self) -> &[usize] {
        &self.labels
    }

    /// Percent of the images classified correctly with layer `i` at `bits[i]` bits; [`NO_NETWORK`] where nothing
    /// goes around a layer that 0 bits drop.
    ///
    /// # Errors
    /// If a width is more than 16.
    pub fn accuracy(&mut self, bits: &[u32]) -> Result<f64> {
        let mut layers = bits.iter().zip(&self.droppable);
        if layers.any(|(b, droppable)| *b == 0 && !droppable) {
            return Ok(NO_NETWORK);
        }
        let logits = self.logits(bits)?;
        Ok(100.0 * ops::accuracy(&logits, &self.labels) as f64 / self.labels.len() as f64)
    }

    /// The logits of the counted images.
    ///
    /// # Errors
    /// If a width is more than 16.
    pub fn logits(&mut self, bits: &[u32]) -> Result<Tensor> {
        for (layer, &b) in bits.iter().enumerate() {
            if !self.rounded.contains_key(&(layer, b)) {
                let node = self.graph.weighted().nth(layer);
                let node = node.ok_or_else(|| Error::value("evaluator", "more bits than layers"))?;
                let w = self.params.get(&format!("{}.weight", node.name))?;
                self.rounded.insert((layer, b), self.rounding.round(&node.layer, w, b)?);
            }
        }
        let (first, mut values) = self.nearest(bits);
        for at in first..self.stages.len() {
            let stage = &self.stages[at];
            let weights: Vec<&Tensor> = stage.layers.clone().map(|l| &self.rounded[&(l, bits[l])]).collect();
            values = Arc::new(stage.run(&weights, &values)?);
            let prefix = bits[..stage.layers.end].to_vec();
            if at + 1 < self.stages.len() {
                self.keep(prefix, values.clone());
            }
        }
        // The last layer has no batch norm behind it: its bias takes the shift of the mean (7c).
        let classes = values.images.dims()[1];
        let shift: Vec<f32> = self
            .mean_logits(&values.images)
            .iter()
            .zip(&self.float_logits)
            .map(|(q, f)| (q - f) as f32)
            .collect();
        let mut logits = values.images.data()[self.calibration * classes..].to_vec();
        logits.chunks_mut(classes).for_each(|row| row.iter_mut().zip(&shift).for_each(|(v, s)| *v -= s));
        Tensor::from_vec([logits.len() / classes, classes], logits)
    }

    /// A stand-in for what each layer costs: see [`proxy`]. `[layer][b - min]`; infinite where a layer cannot be dropped.
    ///
    /// # Errors
    /// If a width is more than 16.
    pub fn costs(&self, kind: proxy::Proxy, widths: std::ops::RangeInclusive<u32>) -> Result<Vec<Vec<f64>>> {
        let (network, from) = ((&self.graph, &self.params), *widths.start());
        let mut costs = proxy::costs(kind, network, self.rounding, self.batches.first(), widths)?;
        for (row, droppable) in costs.iter_mut().zip(&self.droppable) {
            if from == 0 && !droppable {
                row[0] = f64::INFINITY;
            }
        }
        Ok(costs)
    }

    fn mean_logits(&self, images: &Tensor) -> Vec<f64> {
        let classes = images.dims()[1];
        let mut sums = vec![0.0; classes];
        for row in images.data().chunks(classes).take(self.calibration) {
            sums.iter_mut().zip(row).for_each(|(sum, &v)| *sum += f64::from(v));
        }
        sums.iter().map(|sum| sum / self.calibration.max(1) as f64).collect()
    }

    /// The last stage whose input is known for `bits`, and that input.
    fn nearest(&mut self, bits: &[u32]) -> (usize, Arc<Values>) {
        self.clock += 1;
        for at in (1..self.stages.len()).rev() {
            let prefix = &bits[..self.stages[at].layers.start];
            if let Some(kept) = self.kept.iter_mut().find(|kept| kept.prefix == prefix) {
                kept.used = self.clock;
                return (at, kept.values.clone());
            }
        }
        (0, self.start.clone())
    }

    /// Keeps values, and lets go of those unused for longest where memory ends.
    fn keep(&mut self, prefix: Vec<u32>, values: Arc<Values>) {
        self.kept.push(Kept { prefix, values, used: self.clock });
        while self.kept.iter().map(|kept| kept.values.bytes()).sum::<usize>() > self.memory {
            let oldest = (0..self.kept.len()).min_by_key(|&i| self.kept[i].used);
            self.kept.swap_remove(oldest.expect("what takes memory is kept"));
        }
    }
}
