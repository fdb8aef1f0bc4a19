//! The correction: batch norms take back what rounding did to the statistics of their layers.

use std::collections::BTreeMap;

use engine::ops::BatchStats;
use engine::{Float, Hook, Params};

use super::Correction;
use crate::loader::Batch;
use crate::quantized::Quantization;
use crate::{Network, Result};

/// What the float network does with the correction's images, measured once and compared with any number of
/// quantizations.
pub struct Reference {
    batches: Vec<Batch>,
    /// Of each batch, each batch norm's name and statistics.
    statistics: Vec<Vec<(String, BatchStats)>>,
    /// Mean of each class's logit.
    logits: Vec<f64>,
    /// The float parameters.
    params: Params,
}

impl Reference {
    /// Runs the float `network` over `batches`.
    ///
    /// # Errors
    /// If the images do not fit the network.
    pub fn new(network: &Network, batches: impl Iterator<Item = Batch>) -> Result<Self> {
        let batches: Vec<Batch> = batches.collect();
        let Network { graph, params, .. } = network;
        let statistics = |batch: &Batch| Ok(graph.batch_statistics(params, batch.x.clone(), &mut Float)?);
        Ok(Self {
            statistics: batches.iter().map(statistics).collect::<Result<_>>()?,
            logits: mean_logits(network, &batches, &mut Float)?,
            params: params.clone(),
            batches,
        })
    }

    /// The parameters with the running statistics moved by what `quantization` does to the statistics of the
    /// layers, and the classifier's bias by what is then left in the mean of the logits: the equations of [`super`].
    ///
    /// # Errors
    /// If a layer has no range.
    pub fn correct(
        &self,
        network: &mut Network,
        quantization: &Quantization,
        correction: Correction,
    ) -> Result<()> {
        network.params.clone_from(&self.params);
        if correction == Correction::None {
            return Ok(());
        }
        let mut shifts: BTreeMap<&str, Shift> = BTreeMap::new();
        for (batch, in_float) in self.batches.iter().zip(&self.statistics) {
            let mut hook = quantization.simulated();
            let quantized = network.graph.batch_statistics(&self.params, batch.x.clone(), &mut hook)?;
            for ((name, f), (_, q)) in in_float.iter().zip(quantized) {
                let shift = shifts.entry(name).or_default();
                shift.batches += 1.0;
                add(&mut shift.mean, f.mean.iter().zip(&q.mean).map(|(f, q)| f64::from(*q) - f64::from(*f)));
                add(&mut shift.var_f, f.var.iter().map(|&v| f64::from(v)));
                add(&mut shift.var_q, q.var.iter().map(|&v| f64::from(v)));
            }
        }
        for (name, shift) in shifts {
            let mean = network.params.get_mut(&format!("{name}.running_mean"))?;
            for (m, s) in mean.data_mut().iter_mut().zip(&shift.mean) {
                *m += (s / shift.batches) as f32;
            }
            if correction == Correction::BatchNorm {
                let var = network.params.get_mut(&format!("{name}.running_var"))?;
                for ((v, q), f) in var.data_mut().iter_mut().zip(&shift.var_q).zip(&shift.var_f) {
                    // A channel that is constant, in either network, stays as it is.
                    let ratio = if *f > 0.0 && *q > 0.0 { q / f } else { 1.0 };
                    *v *= ratio as f32;
                }
            }
        }
        self.correct_logits(network, quantization)
    }

    /// The last layer has no batch norm behind it: its bias takes the shift of the mean.
    fn correct_logits(&self, network: &mut Network, quantization: &Quantization) -> Result<()> {
        let logits = mean_logits(network, &self.batches, &mut quantization.simulated())?;
        let last = network.graph.weighted().last().map(|node| format!("{}.bias", node.name));
        let Some(last) = last.filter(|bias| network.params.index(bias).is_some()) else { return Ok(()) };
        let bias = network.params.get_mut(&last)?.data_mut();
        for ((b, f), q) in bias.iter_mut().zip(&self.logits).zip(logits) {
            *b -= (q - f) as f32;
        }
        Ok(())
    }
}

/// The mean of each logit over all images.
fn mean_logits(network: &Network, batches: &[Batch], hook: &mut dyn Hook) -> Result<Vec<f64>> {
    let (mut sums, mut images) = (Vec::new(), 0);
    for batch in batches {
        let logits = network.graph.infer(&network.params, batch.x.clone(), hook)?;
        for row in logits.data().chunks(logits.dims()[1]) {
            add(&mut sums, row.iter().map(|&v| f64::from(v)));
            images += 1;
        }
    }
    Ok(sums.into_iter().map(|sum| sum / f64::from(images)).collect())
}

/// Sums over the batches, per channel.
#[derive(Default)]
struct Shift {
    batches: f64,
    mean: Vec<f64>,
    var_f: Vec<f64>,
    var_q: Vec<f64>,
}

fn add(sum: &mut Vec<f64>, terms: impl ExactSizeIterator<Item = f64>) {
    sum.resize(terms.len(), 0.0);
    sum.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
}
