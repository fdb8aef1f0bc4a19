//! Mixed images: while they are distilled, each shows a rectangle of its neighbour.
//!
//! ```text
//! x'_i = x_i  outside,   x_(i+1)  inside the rectangle           (of the batch, the last one's neighbour the first)
//! L    = statistics of x'  +  a [ (1 - q) cross_entropy(logits, y_i) + q cross_entropy(logits, y_(i+1)) ]    (5c)
//! ```
//!
//! `q` is the rectangle's share of the area. An image that is right only as a whole overfits the network it is distilled
//! from; one whose every part must carry its class, beside whatever else, does not: Li et al., "MixMix" (ICCV 2021),
//! section 3.2, with the rectangles of CutMix (Yun et al. 2019), drawn anew for every update.

use engine::rng::Rng;
use engine::{Op, Record, Result, Tape, Tensor, Var, ops};

/// A rectangle that shows the neighbour: rows `top..bottom`, columns `left..right`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mixing {
    rows: (usize, usize),
    columns: (usize, usize),
    side: usize,
}

impl Mixing {
    /// A rectangle whose share of the area is drawn uniformly, with a centre anywhere in the image of `side` x `side`
    /// pixels; what lies beyond the border is cut off.
    pub fn draw(side: usize, rng: &mut Rng) -> Self {
        let half = (side as f32 * rng.uniform().sqrt() / 2.0) as usize;
        let mut span = || {
            let centre = rng.below(side);
            (centre.saturating_sub(half), (centre + half).min(side))
        };
        Self { rows: span(), columns: span(), side }
    }

    /// `q`: the rectangle's share of the area.
    pub fn share(&self) -> f32 {
        let length = |(from, to): (usize, usize)| (to - from) as f32 / self.side as f32;
        length(self.rows) * length(self.columns)
    }

    /// `x'` of the images `x [N, side, side, C]`.
    pub fn mix(&self, x: &Tensor) -> Tensor {
        let images = x.dims()[0];
        self.exchange(x, |i| (i + 1) % images)
    }

    /// `dx` from `dx'`: what a rectangle received belongs to the image that it shows.
    pub fn unmix(&self, dx: &Tensor) -> Tensor {
        let images = dx.dims()[0];
        self.exchange(dx, |i| (i + images - 1) % images)
    }

    /// Every image, its rectangle taken from image `whose(i)`.
    fn exchange(&self, x: &Tensor, whose: impl Fn(usize) -> usize) -> Tensor {
        let c = x.len() / (x.dims()[0] * self.side * self.side);
        let (row, image) = (self.side * c, self.side * self.side * c);
        let mut mixed = x.clone();
        for i in 0..x.dims()[0] {
            for r in self.rows.0..self.rows.1 {
                let at = |image_of: usize| {
                    let start = image_of * image + r * row;
                    start + self.columns.0 * c..start + self.columns.1 * c
                };
                mixed.data_mut()[at(i)].copy_from_slice(&x.data()[at(whose(i))]);
            }
        }
        mixed
    }

    /// The classes' term of (5c), without its factor `a`.
    pub fn cross_entropy(&self, tape: &mut Tape, logits: Var, labels: &[usize]) -> Result<Var> {
        let neighbours: Vec<usize> = (0..labels.len()).map(|i| labels[(i + 1) % labels.len()]).collect();
        let own = ops::cross_entropy(tape, logits, labels, 0.0)?;
        let other = ops::cross_entropy(tape, logits, &neighbours, 0.0)?;
        let share = self.share();
        let value = (1.0 - share) * tape.value(own).data()[0] + share * tape.value(other).data()[0];
        Ok(tape.push(Tensor::scalar(value), &[own, other], Blend { share }))
    }
}

/// `(1 - share) a + share b`.
struct Blend {
    share: f32,
}

impl Op for Blend {
    fn name(&self) -> &'static str {
        "blend"
    }

    fn backward(&self, _: &Record<'_>, dy: Tensor) -> Vec<Option<Tensor>> {
        let part = |share: f32| Some(Tensor::scalar(share * dy.data()[0]));
        vec![part(1.0 - self.share), part(self.share)]
    }
}

#[cfg(test)]
mod tests {
    use engine::rng::Purpose;

    use super::*;

    #[test]
    fn a_rectangle_shows_the_neighbour_and_its_gradient_goes_there() {
        let mixing = Mixing { rows: (0, 2), columns: (1, 2), side: 2 };
        assert_eq!(mixing.share(), 0.5);
        let x = Tensor::from_vec([2, 2, 2, 1], (1..=8).map(|v| v as f32).collect()).unwrap();
        let mixed = mixing.mix(&x);
        assert_eq!(mixed.data(), [1.0, 6.0, 3.0, 8.0, 5.0, 2.0, 7.0, 4.0]);
        assert_eq!(mixing.unmix(&mixed).data(), x.data());
        // Of three images, mixing and its gradient are not the same exchange: <mix(x), dy> = <x, unmix(dy)>.
        let value = |seed: f32| Tensor::from_fn([3, 2, 2, 1], |i| (seed * (i + 1) as f32).sin());
        let dot = |a: &Tensor, b: &Tensor| a.data().iter().zip(b.data()).map(|(a, b)| a * b).sum::<f32>();
        let (x, dy) = (value(0.7), value(1.9));
        assert!((dot(&mixing.mix(&x), &dy) - dot(&x, &mixing.unmix(&dy))).abs() < 1e-6);
        assert!((dot(&mixing.mix(&x), &dy) - dot(&x, &mixing.mix(&dy))).abs() > 1e-3);
    }

    #[test]
    fn rectangles_of_every_size_stay_inside() {
        let mut shares: Vec<f32> = (0..200)
            .map(|i| {
                let mixing = Mixing::draw(32, &mut Rng::at(1, Purpose::Test, 0, i));
                assert!(mixing.rows.1 <= 32 && mixing.columns.1 <= 32);
                mixing.share()
            })
            .collect();
        shares.sort_by(f32::total_cmp);
        assert!(shares[10] < 0.05 && shares[190] > 0.5, "{} {}", shares[10], shares[190]);
    }
}
