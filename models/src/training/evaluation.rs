//! Evaluation: batches through a network under a hook, and how often the largest logit is the right one's.

use engine::{Graph, Hook, Params, ops};
use quant::FiniteHook;

use crate::data::loader::Batch;
use crate::{Error, Result};

/// Result of an evaluation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evaluation {
    /// Images classified correctly.
    pub correct: usize,
    /// Images seen.
    pub images: usize,
    /// The logits, `[images, classes]`, flat.
    pub logits: Vec<f32>,
}

impl Evaluation {
    /// Share of correct images, in percent.
    pub fn top1(&self) -> f64 {
        100.0 * self.correct as f64 / self.images.max(1) as f64
    }

    /// Share of images, in percent, that both evaluations give the same class.
    pub fn agreement(&self, other: &Self) -> f64 {
        let same = self.answers().zip(other.answers()).filter(|(a, b)| a == b).count();
        100.0 * same as f64 / self.images.max(1) as f64
    }

    /// The class of each image, that of its largest logit, in the order they were seen.
    pub fn answers(&self) -> impl Iterator<Item = usize> + '_ {
        let classes = (self.logits.len() / self.images.max(1)).max(1);
        self.logits.chunks_exact(classes).map(ops::argmax)
    }
}

/// Classifies all `batches` under `hook`; `seen` is called with the images done so far.
///
/// # Errors
/// If the hook fails, or a logit is not finite, which has no largest class: the first layer is named whose activations
/// are not.
pub fn evaluate(
    graph: &Graph,
    params: &Params,
    batches: impl Iterator<Item = Batch>,
    hook: &mut dyn Hook,
    mut seen: impl FnMut(usize),
) -> Result<Evaluation> {
    let mut evaluation = Evaluation::default();
    for batch in batches {
        let x = batch.x.clone(); // copied, not computed: next to nothing beside the network
        let logits = graph.infer(params, batch.x, hook)?;
        if logits.data().iter().any(|v| !v.is_finite()) {
            graph.infer(params, x, &mut FiniteHook)?;
            return Err(Error::Value("the logits are not finite; the activations before them are".into()));
        }
        evaluation.correct += ops::accuracy(&logits, &batch.labels);
        evaluation.images += batch.labels.len();
        evaluation.logits.extend_from_slice(logits.data());
        seen(evaluation.images);
    }
    Ok(evaluation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_right_and_of_equal_answers() {
        let of = |correct, answers: [usize; 4]| {
            let logits = answers.iter().flat_map(|&a| (0..3).map(move |c| if c == a { 1.0 } else { -1.0 }));
            Evaluation { correct, images: 4, logits: logits.collect() }
        };
        let (one, other) = (of(3, [0, 1, 2, 2]), of(1, [0, 1, 2, 0]));
        assert_eq!(one.answers().collect::<Vec<_>>(), [0, 1, 2, 2]);
        assert_eq!((one.top1(), other.top1()), (75.0, 25.0));
        assert_eq!([one.agreement(&other), one.agreement(&one)], [75.0, 100.0]);
        assert_eq!((Evaluation::default().top1(), Evaluation::default().answers().count()), (0.0, 0));
    }
}
