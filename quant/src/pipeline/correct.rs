//! The correction: batch norms take back what rounding did to the statistics of their layers.
//!
//! Rounding a convolution's weights and inputs moves the mean and changes the variance of each of its output channels. The
//! batch norm behind it has a mean and a variance of its own that can absorb both:
//!
//! ```text
//! running_mean  <-  running_mean + ( mean_q - mean_f )
//! running_var   <-  running_var * var_q / var_f
//! ```
//!
//! where `f` is the float network and `q` the quantized one *on the same images*: the noise of a small sample cancels in
//! the difference, so that 1,000 images do. (Re-estimating the statistics from 1,000 images outright loses more accuracy
//! than it gains: [`reestimate`](super::reestimate()) says why.) Both networks normalise by the batch, so that each layer's shift is measured behind layers already
//! corrected. The first line alone is the bias correction of Nagel et al., "Data-free quantization through weight
//! equalization and bias correction" (ICCV 2019), section 4.2, its empirical form.

use std::collections::BTreeMap;

use engine::ops::BatchStats;
use engine::{Float, Graph, Hook, Params, Result, Tensor};

use super::Correction;
use crate::Quantization;

/// What the float network does with the correction's images, measured once and compared with any number of
/// quantizations.
pub struct Reference {
    graph: Graph,
    batches: Vec<Tensor>,
    /// Of each batch, each batch norm's name and statistics.
    statistics: Vec<Vec<(String, BatchStats)>>,
    /// Mean of each class's logit.
    logits: Vec<f64>,
    /// The float parameters.
    params: Params,
}

impl Reference {
    /// Runs the float network `graph` with `params` over `batches` of images.
    ///
    /// # Errors
    /// If the images do not fit the network.
    pub fn new(graph: &Graph, params: &Params, batches: impl Iterator<Item = Tensor>) -> Result<Self> {
        let batches: Vec<Tensor> = batches.collect();
        let statistics = |x: &Tensor| graph.batch_statistics(params, x.clone(), &mut Float);
        Ok(Self {
            statistics: batches.iter().map(statistics).collect::<Result<_>>()?,
            logits: mean_logits(graph, params, &batches, &mut Float)?,
            params: params.clone(),
            graph: graph.clone(),
            batches,
        })
    }

    /// The float parameters with the running statistics moved by what `quantization` does to the statistics of the
    /// layers, and the classifier's bias by what is then left in the mean of the logits: the equations above.
    ///
    /// # Errors
    /// If a layer has no range.
    pub fn correct(&self, quantization: &Quantization, correction: Correction) -> Result<Params> {
        self.correct_from(&self.params, quantization, correction)
    }

    /// [`correct`](Self::correct) where the quantized network has weights of its own (their rounding was learned, say), but
    /// the float network's `gamma` and `beta`: the shifts are those of its statistics from the float network's.
    ///
    /// # Errors
    /// If a layer has no range.
    pub fn correct_from(
        &self,
        params: &Params,
        quantization: &Quantization,
        correction: Correction,
    ) -> Result<Params> {
        let (start, mut params) = (params, params.clone());
        if correction == Correction::None {
            return Ok(params);
        }
        let mut shifts: BTreeMap<&str, Shift> = BTreeMap::new();
        for (x, in_float) in self.batches.iter().zip(&self.statistics) {
            let mut hook = quantization.simulated();
            let quantized = self.graph.batch_statistics(start, x.clone(), &mut hook)?;
            for ((name, f), (_, q)) in in_float.iter().zip(quantized) {
                let shift = shifts.entry(name).or_default();
                let m = q.count as f64; // a last batch of few images counts for as many
                shift.values += m;
                let means = f.mean.iter().zip(&q.mean);
                add(&mut shift.mean, means.map(|(f, q)| m * (f64::from(*q) - f64::from(*f))));
                add(&mut shift.var_f, f.var.iter().map(|&v| m * f64::from(v)));
                add(&mut shift.var_q, q.var.iter().map(|&v| m * f64::from(v)));
            }
        }
        // book: correct
        for (name, shift) in shifts {
            let mean = params.get_mut(&format!("{name}.running_mean"))?;
            mean.clone_from(self.params.get(&format!("{name}.running_mean"))?);
            for (m, s) in mean.data_mut().iter_mut().zip(&shift.mean) {
                *m += (s / shift.values) as f32;
            }
            if correction == Correction::BatchNorm {
                let var = params.get_mut(&format!("{name}.running_var"))?;
                var.clone_from(self.params.get(&format!("{name}.running_var"))?);
                for ((v, q), f) in var.data_mut().iter_mut().zip(&shift.var_q).zip(&shift.var_f) {
                    // A channel that is constant, in either network, stays as it is.
                    let ratio = if *f > 0.0 && *q > 0.0 { q / f } else { 1.0 };
                    *v *= ratio as f32;
                }
            }
        }
        // book end
        self.correct_logits(&mut params, quantization)?;
        Ok(params)
    }

    /// The last layer has no batch norm behind it: its bias takes the shift of the mean.
    fn correct_logits(&self, params: &mut Params, quantization: &Quantization) -> Result<()> {
        let logits = mean_logits(&self.graph, params, &self.batches, &mut quantization.simulated())?;
        let last = self.graph.weighted().last().map(|node| format!("{}.bias", node.name));
        let Some(last) = last.filter(|bias| params.index(bias).is_some()) else { return Ok(()) };
        let bias = params.get_mut(&last)?.data_mut();
        for ((b, f), q) in bias.iter_mut().zip(&self.logits).zip(logits) {
            *b -= (q - f) as f32;
        }
        Ok(())
    }
}

/// The mean of each logit over all images.
fn mean_logits(graph: &Graph, params: &Params, batches: &[Tensor], hook: &mut dyn Hook) -> Result<Vec<f64>> {
    let (mut sums, mut images) = (Vec::new(), 0);
    for x in batches {
        let logits = graph.infer(params, x.clone(), hook)?;
        for row in logits.data().chunks(logits.dims()[1]) {
            add(&mut sums, row.iter().map(|&v| f64::from(v)));
            images += 1;
        }
    }
    Ok(sums.into_iter().map(|sum| sum / f64::from(images)).collect())
}

/// Sums over the batches, per channel, each batch as often as it has values in a channel.
#[derive(Default)]
struct Shift {
    values: f64,
    mean: Vec<f64>,
    var_f: Vec<f64>,
    var_q: Vec<f64>,
}

fn add(sum: &mut Vec<f64>, terms: impl ExactSizeIterator<Item = f64>) {
    sum.resize(terms.len(), 0.0);
    sum.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
}
