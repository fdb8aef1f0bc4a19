//! Learned bit widths: how many bits a layer's weights get is trained by gradient descent, with a price on bytes.
//!
//! A width `b = k + f` between two whole numbers means: in a share `f` of the steps the finer of its two grids.
//!
//! ```text
//! w_hat  =  Q_(k+1)(w)  in a share f of the steps,  Q_k(w)  in the others                       (6k)
//! dL/db  =  sum dw_hat ( Q_(k+1)(w) - Q_k(w) )
//! g      =  dL/db / (n / 8192)  +  price     while the network is too large, without the price otherwise
//! v <- 0.9 v + g        b <- b - rate v
//! ```
//!
//! `dL/db` is how much the loss changes with a bit more, to first order. `n` weights are `n / 8192` KiB larger by it, so that
//! `g` weighs loss per KiB against the price of a KiB, for large layers and small ones alike. Where it is zero for every layer
//! no KiB is worth more elsewhere: the condition of (6b). Once the network is as small as its target nothing is paid, and bits only
//! move from layers that miss them less to layers that miss them more.
//!
//! No width falls below 1: between 0 and 1 bits a layer would be there in some steps and not in others, and the batch norm
//! behind it has one set of statistics.
//!
//! Source: Yang and Jin, "FracBits: Mixed precision quantization via fractional bit-widths" (AAAI 2021), has the derivative
//! and a price that ends at a target, but mixes both grids in each step, `(1 - f) Q_k(w) + f Q_(k+1)(w)`. A mixture has more
//! levels than either grid, and rounding takes them away in the end; dithering from step to step sees whole numbers of bits
//! only ([chapter 6](../../../docs/6-variable-precision.md) has one run of each).

mod rounded;

use std::collections::BTreeMap;

use engine::{Error, Op, Record, Result, Tape, Tensor, Var};
use serde::{Deserialize, Serialize};

use crate::mixed::LayerSize;

/// Share of the old velocity kept.
const MOMENTUM: f32 = 0.9;

/// Multiples of it, without their whole part, lie far apart.
const GOLDEN: f32 = 0.618_034;

/// What is this many times larger than its target has not come to rest there.
const ON_THE_WAY: f64 = 1.02;

/// The width of one layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LearnedWidth {
    /// `b`.
    pub value: f32,
    /// Its velocity.
    pub velocity: f32,
    /// The bits it began with, which are the most it can have.
    pub most: u32,
    /// The shares `f` of the steps so far, without the steps that had the finer grid.
    pub owed: f32,
}

impl LearnedWidth {
    /// `k` and `f` of (6k), `k + 1` within the most.
    pub fn split(&self) -> (u32, f32) {
        let k = (self.value as u32).min(self.most - 1);
        (k, self.value - k as f32)
    }

    /// Whether this step has the finer grid: one in `1 / f` has, evenly.
    fn next_is_fine(&mut self) -> bool {
        self.owed += self.split().1;
        let fine = self.owed >= 1.0;
        self.owed -= f32::from(u8::from(fine));
        fine
    }
}

/// The widths of a network's layers in training.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LearnedWidths {
    /// Bytes of (6a) at which nothing is paid any more.
    pub target: usize,
    /// What a KiB costs, in units of the loss.
    pub price: f32,
    /// The layers whose widths are learned, and those that keep theirs, with their bits.
    layers: Vec<(LayerSize, u32)>,
    /// By layer.
    pub widths: BTreeMap<String, LearnedWidth>,
    /// Where the widths of the pass at hand stand on the tape.
    placed: Vec<(String, Var)>,
}

impl LearnedWidths {
    /// Layers with the bits they begin with; one with fewer than two keeps them.
    pub fn new(layers: Vec<(LayerSize, u32)>, target: usize, price: f32) -> Self {
        let moving = layers.iter().filter(|(_, bits)| *bits > 1);
        // Layers of equal widths should not all change their grids in the same step.
        let width = |(i, (layer, bits)): (usize, &(LayerSize, u32))| {
            let owed = (i as f32 * GOLDEN).fract();
            (layer.name.clone(), LearnedWidth { value: *bits as f32, velocity: 0.0, most: *bits, owed })
        };
        let widths = moving.enumerate().map(width).collect();
        Self { target, price, layers, widths, placed: Vec::new() }
    }

    /// Whether nothing is learned.
    pub fn is_empty(&self) -> bool {
        self.widths.is_empty()
    }

    /// (6k): one of `coarse` and `fine`, the weight of `layer` at `k` and at `k + 1` bits, with a gradient for its width.
    ///
    /// # Panics
    /// If the width of `layer` is not learned.
    pub fn choose(&mut self, tape: &mut Tape, layer: &str, coarse: Var, fine: Var) -> Var {
        let width = self.widths.get_mut(layer).expect("a learned width");
        let b = tape.leaf(Tensor::scalar(width.value), true);
        let is_fine = width.next_is_fine();
        self.placed.push((layer.to_owned(), b));
        let w_hat = tape.value(if is_fine { fine } else { coarse }).clone();
        tape.push(w_hat, &[coarse, fine, b], Choose { is_fine })
    }

    /// Goes on from `widths`, those of a run that was stopped.
    ///
    /// # Errors
    /// If they are not of these layers, or out of their bounds.
    pub fn restore(&mut self, widths: BTreeMap<String, LearnedWidth>) -> Result<()> {
        let known = |(name, old): (&String, &LearnedWidth)| {
            let most = self.widths.get(name).map(|width| width.most);
            let finite = old.velocity.is_finite() && old.owed.is_finite();
            most == Some(old.most) && (1.0..=old.most as f32).contains(&old.value) && finite
        };
        if widths.len() != self.widths.len() || !widths.iter().all(known) {
            return Err(Error::value("learned widths", "are not those of this network"));
        }
        self.widths = widths;
        Ok(())
    }

    /// Bytes of (6a), for widths between whole numbers too.
    pub fn bytes(&self) -> f64 {
        let bits = |layer: &LayerSize, bits: u32| {
            self.widths.get(&layer.name).map_or(f64::from(bits), |width| f64::from(width.value))
        };
        let held = self.layers.iter().filter(|(_, b)| *b > 0); // a dropped layer has no scale either
        held.map(|(layer, b)| layer.weights as f64 * bits(layer, *b) / 8.0 + 4.0 * layer.scales as f64).sum()
    }

    /// Whether the network is still above its target.
    pub fn is_on_the_way(&self) -> bool {
        self.bytes() > self.target as f64 * ON_THE_WAY
    }

    /// Moves every width that stands on `tape` by its gradient (6k), and takes it off. A gradient that is no finite number
    /// moves nothing.
    pub fn learn(&mut self, tape: &Tape, rate: f32) {
        let price = if self.bytes() > self.target as f64 { self.price } else { 0.0 };
        for (name, var) in std::mem::take(&mut self.placed) {
            let size =
                self.layers.iter().find(|(layer, _)| layer.name == name).map(|(layer, _)| layer.weights);
            let (Some(db), Some(width), Some(weights)) = (tape.grad(var), self.widths.get_mut(&name), size)
            else {
                continue;
            };
            let db = db.data()[0];
            if !db.is_finite() {
                continue;
            }
            // book: learn
            let kib = weights as f32 / 8192.0;
            width.velocity = MOMENTUM * width.velocity + db / kib + price;
            width.value = (width.value - rate * width.velocity).clamp(1.0, width.most as f32);
            // book end
        }
    }
}

/// The choice of one of two roundings, straight through to the one that was chosen.
struct Choose {
    is_fine: bool,
}

impl Op for Choose {
    fn name(&self) -> &'static str {
        "choose"
    }

    fn backward(&self, record: &Record<'_>, dy: Tensor) -> Vec<Option<Tensor>> {
        let (coarse, fine) = (record.input(0).data(), record.input(1).data());
        // book: db
        let terms = dy.data().iter().zip(fine).zip(coarse);
        let db = terms.map(|((&dy, &fine), &coarse)| f64::from(dy) * f64::from(fine - coarse)).sum::<f64>();
        // book end
        let (d_coarse, d_fine) = if self.is_fine { (None, Some(dy)) } else { (Some(dy), None) };
        vec![d_coarse, d_fine, Some(Tensor::scalar(db as f32))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::fake_quantize::fake_quantize_on;
    use crate::{Grid, QParams, Ste};

    fn sizes(all: &[(&str, usize, u32)]) -> Vec<(LayerSize, u32)> {
        let layer = |&(name, weights, bits): &(&str, usize, u32)| {
            (LayerSize { name: name.to_owned(), weights, scales: 1 }, bits)
        };
        all.iter().map(layer).collect()
    }

    #[test]
    fn a_share_of_the_steps_has_the_finer_grid_and_the_width_the_gradient_of_the_difference() {
        let (w, a) = ([0.3f32, -0.8, 0.05, 0.6], [1.0f32, -2.0, 0.5, 3.0]);
        let q = |bits, s| QParams::per_tensor(Grid::signed(bits).unwrap(), s, 0).unwrap();
        let mut widths = LearnedWidths::new(sizes(&[("a", 4, 3)]), 0, 0.0);
        widths.widths.get_mut("a").unwrap().value = 2.25;
        let mut finer = 0;
        for _ in 0..100 {
            let mut tape = Tape::new();
            let w = tape.leaf(Tensor::from_vec([4], w.to_vec()).unwrap(), true);
            let coarse = fake_quantize_on(&mut tape, w, &q(2, 0.5), Ste::Identity).unwrap();
            let fine = fake_quantize_on(&mut tape, w, &q(3, 0.25), Ste::Identity).unwrap();
            let y = widths.choose(&mut tape, "a", coarse, fine);
            let y_is_fine = tape.value(y).data() == [0.25, -0.75, 0.0, 0.5];
            assert!(y_is_fine || tape.value(y).data() == [0.5, -1.0, 0.0, 0.5]);
            finer += usize::from(y_is_fine);
            tape.backward(y, Tensor::from_vec([4], a.to_vec()).unwrap()).unwrap();
            assert_eq!(tape.grad(w).unwrap().data(), a); // straight through
            let (_, b) = widths.placed.pop().unwrap();
            assert_eq!(tape.grad(b).unwrap().data(), [1.0 * -0.25 - 2.0 * 0.25]);
        }
        assert_eq!(finer, 25);
    }

    #[test]
    fn a_width_falls_by_its_price_until_the_target_and_rises_where_the_loss_wants_it() {
        let mut widths = LearnedWidths::new(sizes(&[("a", 16384, 8), ("b", 8192, 1)]), 15 << 10, 0.5);
        let step = |widths: &mut LearnedWidths, db: f32| {
            let mut tape = Tape::new();
            let [coarse, fine] = [0.0, 1.0].map(|value| tape.leaf(Tensor::scalar(value), true));
            let y = widths.choose(&mut tape, "a", coarse, fine);
            tape.backward(y, Tensor::scalar(db)).unwrap();
            widths.learn(&tape, 0.1);
        };
        assert_eq!(widths.widths["a"].split(), (7, 1.0));
        step(&mut widths, 0.0);
        assert_eq!(widths.widths["a"].value, 8.0 - 0.1 * 0.5);
        step(&mut widths, 0.4); // in units of two KiB
        assert!((widths.widths["a"].value - (7.95 - 0.1 * (0.45 + 0.2 + 0.5))).abs() < 1e-6);
        (0..200).for_each(|_| step(&mut widths, 0.0));
        let small = widths.widths["a"].clone();
        assert!(widths.bytes() <= 15.0 * 1024.0 && small.velocity.abs() < 1e-3, "{small:?}");
        step(&mut widths, -1.0); // the loss falls with a bit more
        assert!(widths.widths["a"].value > small.value);
        (0..200).for_each(|_| step(&mut widths, 10.0));
        assert_eq!(widths.widths["a"].split(), (1, 0.0)); // never below one bit
    }
}
