//! The bias correction without data: batch norm knows the mean of what enters the next layer.
//!
//! Rounding the weights `w` by `e = w_hat - w` shifts the mean of output channel `o` by `e` times the mean of the input.
//! Behind a batch norm and a ReLU that mean has a closed form (Nagel et al., "Data-free quantization through weight
//! equalization and bias correction", ICCV 2019, section 4.2.1 and appendix C): a batch norm's result has the mean
//! `beta` and the standard deviation `|gamma|`; taken as normal and clipped at 0,
//!
//! ```text
//! E[x_c]         =  |gamma| phi(beta / |gamma|)  +  beta Phi(beta / |gamma|)            (7j)
//! E[y_hat - y]_o =  sum over c, kernel   e[o, kernel, c] E[x_c]
//! ```
//!
//! with the normal density `phi` and distribution `Phi`. The batch norm behind the layer takes the shift into its mean.
//! The formula applies to convolutions that read a ReLU behind a batch norm and have a batch norm behind them; the borders,
//! where zeros enter, count like the rest.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use engine::{Graph, Layer, Node, NodeId, Params, Result};

use super::Quantized;
use crate::fake_quantize;

/// `E[max(0, x)]` of a normal `x` with this mean and standard deviation.
pub fn clipped_normal_mean(mean: f64, std: f64) -> f64 {
    if std == 0.0 {
        return mean.max(0.0);
    }
    let t = mean / std;
    std * (-0.5 * t * t).exp() / (2.0 * PI).sqrt() + mean * 0.5 * (1.0 + erf(t * FRAC_1_SQRT_2))
}

/// The error function to 1e-12: its series where that converges fast, else the continued fraction of `1 - erf`.
fn erf(x: f64) -> f64 {
    let a = x.abs();
    if a < 2.5 {
        // 2/sqrt(pi) e^(-x^2) sum 2^n x^(2n+1) / (1 3 5 ... (2n+1)): all terms of one sign.
        let (mut term, mut sum) = (a, a);
        for n in 1..80 {
            term *= 2.0 * a * a / f64::from(2 * n + 1);
            sum += term;
        }
        return (2.0 / PI.sqrt() * (-a * a).exp() * sum).copysign(x);
    }
    // 1 - erf(x) = e^(-x^2) / sqrt(pi) / (x + (1/2)/(x + (2/2)/(x + (3/2)/(x + ...)))).
    let fraction = (1..=80).rev().fold(a, |below, k| a + 0.5 * f64::from(k) / below);
    (1.0 - (-a * a).exp() / PI.sqrt() / fraction).copysign(x)
}

/// Every `batch norm - relu - conv - batch norm`: first norm, convolution, second norm.
fn chains(graph: &Graph) -> Vec<[NodeId; 3]> {
    let nodes = graph.nodes();
    let is_norm = |id: NodeId| matches!(nodes[id].layer, Layer::BatchNorm { .. });
    let chain = |last: NodeId| {
        let conv = *nodes[last].inputs.first()?;
        let relu = *nodes[conv].inputs.first()?;
        let first = *nodes[relu].inputs.first()?;
        let fits = matches!(nodes[conv].layer, Layer::Conv2d { .. }) && nodes[relu].layer == Layer::Relu;
        (fits && is_norm(first)).then_some([first, conv, last])
    };
    (0..nodes.len()).filter(|&id| is_norm(id)).filter_map(chain).collect()
}

/// Moves the running mean behind every convolution the formula applies to by the shift that its rounded weights have in
/// relation to those of `float`. Returns the number of layers.
///
/// # Errors
/// If a parameter is missing, or a weight is NaN.
pub fn correct_analytically(quantized: &mut Quantized, float: &Params) -> Result<usize> {
    let graph = quantized.graph.clone();
    let mut corrected = 0;
    for chain in chains(&graph) {
        let [first, conv, last] = chain.map(|id| &graph.nodes()[id]);
        let Some(widths) = quantized.quantization.plan.get(&conv.name) else { continue };
        let w = quantized.params.get(&format!("{}.weight", conv.name))?;
        let q = quantized.quantization.weight_params(&conv.name, w, widths.w)?;
        let w_hat = fake_quantize(w, &q)?;
        let means = input_means(first, &quantized.params)?;
        let w = float.get(&format!("{}.weight", conv.name))?;
        let rows = w_hat.data().chunks(w.len() / w.dims()[0]).zip(w.data().chunks(w.len() / w.dims()[0]));
        let shift = rows.map(|(w_hat, w)| {
            let errors = w_hat.iter().zip(w).map(|(w_hat, w)| f64::from(*w_hat) - f64::from(*w));
            errors.zip(means.iter().cycle()).map(|(e, mean)| e * mean).sum::<f64>()
        });
        let shift: Vec<f64> = shift.collect();
        let running = quantized.params.get_mut(&format!("{}.running_mean", last.name))?;
        running.data_mut().iter_mut().zip(shift).for_each(|(m, s)| *m += s as f32);
        corrected += 1;
    }
    Ok(corrected)
}

/// `E[x_c]` behind the batch norm `norm` and its ReLU.
fn input_means(norm: &Node, params: &Params) -> Result<Vec<f64>> {
    let [gamma, beta] = ["weight", "bias"].map(|suffix| params.get(&format!("{}.{suffix}", norm.name)));
    let pairs = gamma?.data().iter().zip(beta?.data());
    Ok(pairs.map(|(gamma, beta)| clipped_normal_mean(f64::from(*beta), f64::from(gamma.abs()))).collect())
}

#[cfg(test)]
mod tests {
    use engine::rng::{Purpose, Rng};
    use engine::{Hook, LayerQuant, Operands, Tape, Tensor};

    use super::*;
    use crate::{QuantConfig, Quantizer};

    #[test]
    fn the_error_function_has_its_known_values() {
        for (x, want) in [
            (0.5, 0.520_499_877_813),
            (1.0, 0.842_700_792_950),
            (2.0, 0.995_322_265_019),
            (3.0, 0.999_977_909_503),
        ] {
            assert!((erf(x) - want).abs() < 1e-11 && (erf(-x) + want).abs() < 1e-11, "{x}: {}", erf(x));
        }
        assert!((erf(2.499_999_999) - erf(2.500_000_001)).abs() < 1e-10, "the two forms meet");
    }

    #[test]
    fn the_mean_of_a_clipped_normal_agrees_with_a_million_draws() {
        let mut rng = Rng::at(5, Purpose::Test, 0, 0);
        let draws: Vec<f64> = (0..1_000_000).map(|_| f64::from(rng.normal())).collect();
        for (mean, std) in [(0.0, 1.0), (0.7, 0.5), (-1.5, 1.2), (-0.3, 2.0)] {
            let sampled = draws.iter().map(|z| (mean + std * z).max(0.0)).sum::<f64>() / 1e6;
            let exact = clipped_normal_mean(mean, std);
            assert!((sampled - exact).abs() < 4.0 * std / 1e3, "{mean} {std}: {sampled} {exact}");
        }
        assert_eq!((clipped_normal_mean(2.0, 0.0), clipped_normal_mean(-2.0, 0.0)), (2.0, 0.0));
    }

    /// Keeps the mean of each channel that the last convolution computes.
    #[derive(Default)]
    struct Means(Vec<f64>);

    impl Hook for Means {
        fn layer(&mut self, _: &mut Tape, _: &Node, operands: Operands) -> Result<LayerQuant> {
            Ok(operands.into())
        }

        fn output(&mut self, node: &Node, y: &Tensor) -> Result<()> {
            if node.name == "conv2" {
                let c = y.shape().last();
                let mean = |o| y.data().iter().skip(o).step_by(c).map(|&v| f64::from(v)).sum::<f64>();
                self.0 = (0..c).map(|o| mean(o) / (y.len() / c) as f64).collect();
            }
            Ok(())
        }
    }

    #[test]
    fn the_shift_of_the_mean_is_that_of_normal_activations() {
        // A batch norm fed with normal numbers, and a 1x1 convolution, which sees no borders.
        let conv = |c| Layer::Conv2d { c, o: 6, kernel: 1, stride: 1, padding: 0 };
        let mut graph = Graph::default();
        let x = graph.add("x", Layer::Input, &[]);
        let conv1 = graph.add("conv1", conv(6), &[x]);
        let bn1 = graph.add("bn1", Layer::BatchNorm { c: 6 }, &[conv1]);
        let relu = graph.add("relu", Layer::Relu, &[bn1]);
        let conv2 = graph.add("conv2", conv(6), &[relu]);
        graph.add("bn2", Layer::BatchNorm { c: 6 }, &[conv2]);
        let mut params = graph.init(2).unwrap();
        let w = params.get_mut("conv1.weight").unwrap().data_mut();
        w.iter_mut().enumerate().for_each(|(i, w)| *w = if i % 7 == 0 { 1.0 } else { 0.0 });
        for (name, f) in [("bn1.weight", 0.7f32), ("bn1.bias", 0.3)] {
            let values = params.get_mut(name).unwrap().data_mut();
            values.iter_mut().enumerate().for_each(|(c, v)| *v = f * (1.0 + c as f32).sin());
        }
        let mut rng = Rng::at(9, Purpose::Test, 0, 0);
        let images = Tensor::from_fn([40, 50, 50, 6], |_| rng.normal());
        let config = QuantConfig { bits: "W3A8".parse().unwrap(), ..QuantConfig::default() };
        let calibrated = Quantizer::new(config).calibrate(&graph, &params, [images.clone()].into_iter());
        let mut quantized = calibrated.unwrap();
        let means = |params: &Params| {
            let mut hook = Means::default();
            graph.infer(params, images.clone(), &mut hook).unwrap();
            hook.0
        };
        let float = means(&params);
        assert_eq!(correct_analytically(&mut quantized, &params).unwrap(), 1);
        let mut rounded = params.clone();
        let w = rounded.get_mut("conv2.weight").unwrap();
        *w = fake_quantize(w, &quantized.quantization.weight_params("conv2", w, 3).unwrap()).unwrap();
        let shift = quantized.params.get("bn2.running_mean").unwrap().data();
        for ((got, rounded), float) in shift.iter().zip(means(&rounded)).zip(float) {
            assert!((f64::from(*got) - (rounded - float)).abs() < 5e-3, "{got} {}", rounded - float);
        }
    }
}
