//! How much the network's answers depend on each weight: the diagonal of the Fisher information.
//!
//! ```text
//! F_i   =  mean over images of  sum_c p_c ( d log p_c / d w_i )^2                               (6m)
//! cost  =  1/2 sum_i F_i ( w_hat_i - w_i )^2
//! ```
//!
//! `p_c` is the probability that the network gives class `c`; no label is asked for. To second order the divergence of the
//! answers of two networks is `1/2 dw' F dw`, and the diagonal leaves out what errors of two weights do together. For the
//! loss near its minimum `F` is the Hessian, so that this is the cost of HAWQ-V2 (Dong et al. 2020) with a weight each
//! instead of one trace for a layer.
//!
//! Sources: Theis et al., "Faster gaze prediction with dense networks and Fisher pruning" (2018), for the cost; Martens,
//! "New insights and perspectives on the natural gradient method" (JMLR 21, 2020), for the Fisher information and the Hessian.

use std::collections::HashMap;

use engine::fast::{Algorithm, Fused};
use engine::{Float, Graph, Mode, Params, Result, Shape, Tape, Tensor, ops};

/// Images that are looked at: each takes a pass forward and back for every class that is not ruled out.
const IMAGES: usize = 32;
/// Classes below this probability are ruled out.
const UNLIKELY: f32 = 1e-4;

/// `F` of every layer's weights, by the layer's name; `batch` are images `[N, H, W, C]` as the network takes them.
pub(super) fn diagonal(graph: &Graph, params: &Params, batch: &Tensor) -> Result<HashMap<String, Vec<f64>>> {
    let fused = Fused::new(graph, Algorithm::default());
    let images = batch.dims()[0].min(IMAGES);
    let pixels = batch.len() / batch.dims()[0];
    let shape = |n: usize| Shape::from([&[n], &batch.dims()[1..]].concat().as_slice());
    let batch = Tensor::from_vec(shape(images), batch.data()[..images * pixels].to_vec())?;
    let p = ops::softmax(&graph.infer(params, batch.clone(), &mut Float)?);
    let classes = p.shape().last();
    let mut sums: HashMap<String, Vec<f64>> = HashMap::new();
    for (image, p) in batch.data().chunks(pixels).zip(p.data().chunks(classes)) {
        for (class, &likely) in p.iter().enumerate().filter(|(_, p)| **p > UNLIKELY) {
            let mut tape = Tape::new();
            let x = Tensor::from_vec(shape(1), image.to_vec())?;
            let forward = fused.run(params, &mut tape, x, Mode::Eval, &mut Float)?;
            // d log p_c / d logits = [j = c] - p_j
            let dy = Tensor::from_fn([1, classes], |j| f32::from(u8::from(j == class)) - p[j]);
            tape.backward(forward.output, dy)?;
            for node in graph.weighted() {
                let Some(i) = params.index(&format!("{}.weight", node.name)) else { continue };
                let Some(dw) = forward.params[i].and_then(|var| tape.grad(var)) else { continue };
                let sum = sums.entry(node.name.clone()).or_insert_with(|| vec![0.0; dw.len()]);
                let share = f64::from(likely) / images as f64;
                sum.iter_mut().zip(dw.data()).for_each(|(s, &dw)| *s += share * f64::from(dw).powi(2));
            }
        }
    }
    Ok(sums)
}

/// `1/2 sum F (w_hat - w)^2`.
pub(super) fn cost(f: &[f64], w: &[f32], w_hat: &[f32]) -> f64 {
    let terms = f.iter().zip(w).zip(w_hat);
    0.5 * terms.map(|((f, &w), &hat)| f * f64::from(hat - w).powi(2)).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use engine::Layer;

    use super::*;

    /// Of a linear layer the sum over classes is `F_(c,j) = p_c (1 - p_c) x_j^2`.
    #[test]
    fn of_a_linear_layer_it_is_known() {
        let mut graph = Graph::default();
        let x = graph.add("x", Layer::Input, &[]);
        graph.add("fc", Layer::Linear { i: 3, o: 4 }, &[x]);
        let params = graph.init(2).unwrap();
        let rows = [[1.0, -2.0, 0.5], [0.3, 0.0, 3.0]];
        let batch = Tensor::from_vec([2, 3], rows.concat()).unwrap();
        let f = &diagonal(&graph, &params, &batch).unwrap()["fc"];
        let p = ops::softmax(&graph.infer(&params, batch, &mut Float).unwrap());
        let w = params.get("fc.weight").unwrap();
        for class in 0..4 {
            for j in 0..3 {
                let of_image = |i: usize| {
                    let p = f64::from(p.data()[4 * i + class]);
                    p * (1.0 - p) * f64::from(rows[i][j]).powi(2)
                };
                let want = 0.5 * (of_image(0) + of_image(1));
                let at = if w.dims() == [4, 3] { 3 * class + j } else { 4 * j + class };
                assert!((f[at] - want).abs() < 1e-6, "class {class}, input {j}: {} instead of {want}", f[at]);
            }
        }
        assert_eq!(cost(&[2.0, 0.0], &[1.0, 1.0], &[1.5, 9.0]), 0.25);
    }
}
