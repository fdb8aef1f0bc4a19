//! Batch norm re-estimated: the running statistics of a trained network taken anew under its quantization.
//!
//! ```text
//! running_mean  <-  mean over the batches of m
//! running_var   <-  mean over the batches of (v + m^2)  -  running_mean^2                      (9j)
//! ```
//!
//! for batch means `m` and variances `v` of the *quantized* network. In training the running averages follow a network
//! whose codes still change; where weights are averaged, they belong to no network at all. Nagel et al., "Overcoming
//! oscillations in quantization-aware training" (ICML 2022), section 3.2, re-estimate them when training is over.
//!
//! The images should be augmented as those of training were. A black border, which a shift leaves, is an edge that the first
//! layer's filters answer to; images without it have half of the variance there, and the network behind is another one.
//!
//! After post-training quantization the [shift of the statistics](super::correct) is the better way: it needs far fewer
//! images, because a float network on the same images takes out their noise.

use engine::{Graph, Hook, Params, Result, Tensor};

/// `params` with every batch norm's running statistics replaced by those of `batches` under `hook`.
///
/// Each batch is normalised by its own statistics on the way, and counts for as many images as it has.
///
/// # Errors
/// If the images do not fit the network, or the hook fails.
pub fn reestimate(
    graph: &Graph,
    params: &Params,
    batches: impl Iterator<Item = Tensor>,
    hook: &mut dyn Hook,
) -> Result<Params> {
    // Of each batch norm: values in a channel, and for each channel the sums of both, as often as a batch has values.
    let mut sums: Vec<(String, f64, Vec<[f64; 2]>)> = Vec::new();
    for x in batches {
        let statistics = graph.batch_statistics(params, x, hook)?;
        sums.resize_with(statistics.len(), Default::default);
        for ((name, count, sums), (norm, batch)) in sums.iter_mut().zip(statistics) {
            *name = norm;
            let values = batch.count as f64;
            *count += values;
            sums.resize(batch.mean.len(), [0.0; 2]);
            for ((sum, m), v) in sums.iter_mut().zip(batch.mean).zip(batch.var) {
                let (m, v) = (f64::from(m), f64::from(v));
                *sum = [sum[0] + values * m, sum[1] + values * (v + m * m)];
            }
        }
    }
    let mut params = params.clone();
    // book: reestimate
    for (name, count, sums) in sums {
        let mean: Vec<f64> = sums.iter().map(|[m, _]| m / count).collect();
        let var = sums.iter().zip(&mean).map(|([_, square], mean)| square / count - mean * mean);
        fill(params.get_mut(&format!("{name}.running_var"))?, var);
        fill(params.get_mut(&format!("{name}.running_mean"))?, mean.iter().copied());
    }
    // book end
    Ok(params)
}

fn fill(tensor: &mut Tensor, values: impl Iterator<Item = f64>) {
    tensor.data_mut().iter_mut().zip(values).for_each(|(slot, value)| *slot = value as f32);
}
