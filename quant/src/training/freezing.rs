//! Freezing of oscillations: a weight whose code jumps to and fro is fixed to the code that it has most.
//!
//! Near a tie a latent weight jumps between two codes from step to step ([chapter 3](../../../docs/3-ste.md), exercise
//! 3), also when the learning rate is next to nothing, and which of the two a network ends with is chance. With `o = 1` if the
//! code has changed and goes back in the direction from which it last came, else 0, follow
//!
//! ```text
//! f  <-  f + m (o - f)                    how often the code turns back, a share of the steps        (9k)
//! a  <-  a + m (w_int - a)                the code on average                  m = 0.01
//! f > f_th:   w = s round(a)   from now on
//! ```
//!
//! Nagel et al., "Overcoming oscillations in quantization-aware training" (ICML 2022), algorithm 1. Early on, weights should be
//! free to change their codes, so the threshold `f_th` falls along the cosine by which the learning rate falls, from four
//! times its end to its end (theirs: 0.04 to 0.01). The other weights then learn around those that stay.

use engine::{Result, Tensor};

use crate::numbers::uniform::restore_value;
use crate::{Error, QParams, linear_quantize};

/// `m` of (9k).
const MOMENTUM: f32 = 0.01;
/// In the place of `f`, which is a share, of a weight that is frozen.
const FROZEN: f32 = 2.0;
/// The threshold in the beginning, as a multiple of that in the end.
const EARLY: f32 = 4.0;

/// The threshold `f_th` when the learning rate has fallen by the share `progress` and the threshold in the end is `end`.
pub fn threshold(end: f32, progress: f32) -> f32 {
    end * (EARLY + (1.0 - EARLY) * progress)
}

/// How the codes of a tensor's weights have moved.
#[derive(Clone, Debug, PartialEq)]
pub struct Oscillations {
    /// The codes after the last update; of frozen weights, those they keep.
    code: Tensor,
    /// In which direction each changed last: -1 or 1; 0 if it never has.
    direction: Tensor,
    /// `f`, or [`FROZEN`].
    frequency: Tensor,
    /// `a`.
    mean: Tensor,
}

impl Oscillations {
    /// Of weights that have moved nowhere yet, `w` in the codes of `q`.
    ///
    /// # Errors
    /// If a weight is NaN.
    pub fn new(w: &Tensor, q: &QParams) -> Result<Self> {
        let code = codes(w, q)?;
        let zero = Tensor::zeros(w.shape());
        Ok(Self { mean: code.clone(), code, direction: zero.clone(), frequency: zero })
    }

    /// Takes note of the codes of `w` after an update, freezes those that turn back too often, and puts all that are frozen back
    /// to the middle of their step.
    ///
    /// # Errors
    /// If a weight is NaN.
    pub fn follow(&mut self, w: &mut Tensor, q: &QParams, threshold: f32) -> Result<()> {
        let now = codes(w, q)?;
        let (code, direction) = (self.code.data_mut(), self.direction.data_mut());
        let (frequency, mean) = (self.frequency.data_mut(), self.mean.data_mut());
        let channel = (w.len() / q.scales().len()).max(1);
        for (i, w) in w.data_mut().iter_mut().enumerate() {
            if frequency[i] != FROZEN {
                let change = now.data()[i] - code[i];
                // book: freeze
                let turned = f32::from(u8::from(change * direction[i] < 0.0));
                frequency[i] += MOMENTUM * (turned - frequency[i]);
                mean[i] += MOMENTUM * (now.data()[i] - mean[i]);
                // book end
                code[i] = now.data()[i];
                if change != 0.0 {
                    direction[i] = change.signum();
                }
                if frequency[i] > threshold {
                    (code[i], frequency[i]) = (mean[i].round_ties_even(), FROZEN);
                }
            }
            if frequency[i] == FROZEN {
                let (s, z) = q.channel(i / channel);
                *w = restore_value(code[i] as i32, s, z);
            }
        }
        Ok(())
    }

    /// How many weights are frozen.
    pub fn frozen(&self) -> usize {
        self.frequency.data().iter().filter(|f| **f == FROZEN).count()
    }

    /// Everything that is to be kept, by name.
    pub fn state(&self) -> [(&'static str, &Tensor); 4] {
        [
            ("code", &self.code),
            ("direction", &self.direction),
            ("frequency", &self.frequency),
            ("mean", &self.mean),
        ]
    }

    /// From what [`state`](Self::state) gave.
    ///
    /// # Errors
    /// If one of the four is missing or they are not of one shape.
    pub fn from_state(mut tensors: Vec<(String, Tensor)>) -> Result<Self> {
        let mut take = |name: &str| {
            let place = tensors.iter().position(|(other, _)| other == name);
            let missing = || Error::value("state of freezing", format!("`{name}` is missing"));
            place.map(|i| tensors.swap_remove(i).1).ok_or_else(missing)
        };
        let all = Self {
            code: take("code")?,
            direction: take("direction")?,
            frequency: take("frequency")?,
            mean: take("mean")?,
        };
        let shape = all.code.shape();
        if all.state().iter().any(|(_, tensor)| tensor.shape() != shape) {
            return Err(Error::value("state of freezing", "its parts have different shapes"));
        }
        Ok(all)
    }
}

/// The codes of eq 1, as floats: that is how they are kept.
fn codes(w: &Tensor, q: &QParams) -> Result<Tensor> {
    let codes = linear_quantize::<i32>(w, q)?;
    Tensor::from_vec(w.shape(), codes.data().iter().map(|&code| code as f32).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Grid;

    fn one(w: f32) -> Tensor {
        Tensor::from_vec([1], vec![w]).unwrap()
    }

    fn q() -> QParams {
        QParams::per_tensor(Grid::signed(4).unwrap(), 0.5, 0).unwrap()
    }

    #[test]
    fn turns_are_counted_and_the_commonest_code_stays() {
        // Codes 0, 1, 1, 0, 1, 1, 0, ...: it turns back twice in three steps, and is 1 in two of three.
        let mut seen = Oscillations::new(&one(0.0), &q()).unwrap();
        let (mut f, mut a, mut last) = (0.0f32, 0.0f32, [0.0f32, 0.0]);
        for step in 1..400 {
            let code = if step % 3 == 0 { 0.0 } else { 1.0 };
            let mut w = one(0.5 * code + 0.1);
            let before = w.clone();
            seen.follow(&mut w, &q(), 0.6).unwrap();
            let change = code - last[0];
            let turned = if change * last[1] < 0.0 { 1.0 } else { 0.0 };
            f += 0.01 * (turned - f);
            a += 0.01 * (code - a);
            last = [code, if change == 0.0 { last[1] } else { change }];
            if f > 0.6 {
                assert!(step > 100 && a > 0.5);
                assert_eq!((w.data(), seen.frozen()), (&[0.5][..], 1));
                // From now on it stays, wherever the update has sent it.
                let mut w = one(-3.0);
                let finer = QParams::per_tensor(Grid::signed(4).unwrap(), 0.25, 0).unwrap();
                seen.follow(&mut w, &finer, 0.6).unwrap();
                assert_eq!(w.data(), [0.25]);
                return;
            }
            assert_eq!((w, seen.frozen()), (before, 0));
            assert_eq!((seen.frequency.data(), seen.mean.data()), (&[f][..], &[a][..]));
        }
        panic!("it was never frozen");
    }

    #[test]
    fn a_weight_that_wanders_in_one_direction_is_free() {
        let mut seen = Oscillations::new(&one(-4.0), &q()).unwrap();
        for step in 0..1000 {
            seen.follow(&mut one(-4.0 + 0.007 * step as f32), &q(), 1e-6).unwrap();
        }
        assert_eq!(seen.frozen(), 0);
    }

    #[test]
    fn the_threshold_falls_to_its_end_and_a_state_comes_back() {
        for (progress, expected) in [(0.0, 0.04), (0.5, 0.025), (1.0, 0.01)] {
            assert!((threshold(0.01, progress) - expected).abs() < 1e-7);
        }
        let q = QParams::per_channel(Grid::signed(2).unwrap(), vec![0.5, 0.1], vec![0, 0]).unwrap();
        let mut w = Tensor::from_vec([2, 2], vec![-0.6, 0.2, 0.06, 0.02]).unwrap();
        let mut seen = Oscillations::new(&w, &q).unwrap();
        assert_eq!(seen.code.data(), [-1.0, 0.0, 1.0, 0.0]);
        seen.follow(&mut w, &q, -1.0).unwrap(); // all of them
        assert_eq!(w.data(), [-0.5, 0.0, 0.1, 0.0]);
        let state: Vec<_> = seen.state().map(|(name, tensor)| (name.to_owned(), tensor.clone())).into();
        assert_eq!(Oscillations::from_state(state.clone()).unwrap(), seen);
        assert!(Oscillations::from_state(state[..3].to_vec()).is_err());
        let odd = state
            .iter()
            .map(|(name, tensor)| (name.clone(), if name == "mean" { one(0.0) } else { tensor.clone() }));
        assert!(Oscillations::from_state(odd.collect()).is_err());
    }
}
