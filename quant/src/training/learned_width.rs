//! Learned bit widths: how many bits a layer's weights get is trained by gradient descent, with a price on bytes.
//!
//! A width `b = k + f` between two whole numbers stands for a mixture of their grids, so that it has a derivative:
//!
//! ```text
//! w_hat  =  (1 - f) Q_k(w)  +  f Q_(k+1)(w)                                                   (6k)
//! db     =  sum dw_hat ( Q_(k+1)(w) - Q_k(w) )  +  price n / 8192    while the network is too large
//! ```
//!
//! The first term is how much the loss falls with a bit more, the second what the bit costs: `n` weights are `n / 8192`
//! KiB larger by it, and `price` is in units of the loss per KiB. Without a network that is too large nothing is paid, so
//! the size comes to rest at the target, and bits go on moving from layers that miss them less to layers that miss them
//! more.
//!
//! No width falls below 1. Between 0 and 1 bits (6k) would say `w_hat = f Q_1(w)`, and the batch norm behind divides any
//! factor `f` out again: the loss would feel nothing until the layer is gone.
//!
//! Source: Yang and Jin, "FracBits: Mixed precision quantization via fractional bit-widths" (AAAI 2021), its formulas 3 to 5;
//! the price per byte that stops at a target is a hinge, as there.

use std::collections::BTreeMap;

use engine::{Error, Op, Record, Result, Tape, Tensor, Var};
use serde::{Deserialize, Serialize};

use crate::LayerBits;
use crate::mixed::{LayerSize, size_bytes};

/// Share of the old velocity kept.
const MOMENTUM: f32 = 0.9;

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
}

impl LearnedWidth {
    /// `k` and `f` of (6k), `k + 1` within the most.
    pub fn split(&self) -> (u32, f32) {
        let k = (self.value as u32).min(self.most - 1);
        (k, self.value - k as f32)
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
        let width = |bits: u32| LearnedWidth { value: bits as f32, velocity: 0.0, most: bits };
        let widths = moving.map(|(layer, bits)| (layer.name.clone(), width(*bits))).collect();
        Self { target, price, layers, widths, placed: Vec::new() }
    }

    /// Whether nothing is learned.
    pub fn is_empty(&self) -> bool {
        self.widths.is_empty()
    }

    /// Puts the width of `layer` on the tape in this pass.
    pub fn place(&mut self, tape: &mut Tape, layer: &str, value: f32) -> Var {
        let var = tape.leaf(Tensor::scalar(value), true);
        self.placed.push((layer.to_owned(), var));
        var
    }

    /// Goes on from `widths`, those of a run that was stopped.
    ///
    /// # Errors
    /// If they are not of these layers, or out of their bounds.
    pub fn restore(&mut self, widths: BTreeMap<String, LearnedWidth>) -> Result<()> {
        let known = |(name, old): (&String, &LearnedWidth)| {
            let most = self.widths.get(name).map(|width| width.most);
            most == Some(old.most) && (1.0..=old.most as f32).contains(&old.value) && old.velocity.is_finite()
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
        let size = |(layer, b): &(LayerSize, u32)| layer.weights as f64 * bits(layer, *b) / 8.0;
        self.layers.iter().map(|layer| size(layer) + 4.0 * layer.0.scales as f64).sum()
    }

    /// Whether the network is still above its target.
    pub fn is_on_the_way(&self) -> bool {
        self.bytes() > self.target as f64 * ON_THE_WAY
    }

    /// Moves every width that stands on `tape` by its gradient (6k), and takes it off.
    pub fn learn(&mut self, tape: &Tape, rate: f32) {
        let price = if self.bytes() > self.target as f64 { self.price } else { 0.0 };
        for (name, var) in std::mem::take(&mut self.placed) {
            let size =
                self.layers.iter().find(|(layer, _)| layer.name == name).map(|(layer, _)| layer.weights);
            let (Some(db), Some(width), Some(weights)) = (tape.grad(var), self.widths.get_mut(&name), size)
            else {
                continue;
            };
            // book: learn
            let db = db.data()[0] + price * weights as f32 / 8192.0;
            width.velocity = MOMENTUM * width.velocity + db;
            width.value = (width.value - rate * width.velocity).clamp(1.0, width.most as f32);
            // book end
        }
    }

    /// Whole numbers of bits: the nearest, and then, while that is too much, a bit less where rounding has given the most. Too
    /// much is more than the target; of a network still on its way there, more than it has.
    pub fn rounded(&self) -> Vec<(&str, u32)> {
        let most = if self.is_on_the_way() { self.bytes() } else { self.target as f64 };
        let nearest = |(layer, bits): &(LayerSize, u32)| match self.widths.get(&layer.name) {
            Some(width) => (width.value.round() as u32, width.value),
            None => (*bits, *bits as f32),
        };
        let (mut bits, values): (Vec<u32>, Vec<f32>) = self.layers.iter().map(nearest).unzip();
        let sizes: Vec<LayerSize> = self.layers.iter().map(|(layer, _)| layer.clone()).collect();
        while size_bytes(&sizes, &bits) as f64 > most {
            let given = |l: &usize| bits[*l] as f32 - values[*l];
            let able = (0..bits.len()).filter(|&l| bits[l] > 1 && self.widths.contains_key(&sizes[l].name));
            let Some(generous) = able.max_by(|a, b| given(a).total_cmp(&given(b))) else { break };
            bits[generous] -= 1;
        }
        self.layers.iter().zip(bits).map(|((layer, _), bits)| (layer.name.as_str(), bits)).collect()
    }

    /// [`rounded`](Self::rounded), as a plan takes them.
    pub fn layer_bits(&self) -> LayerBits {
        LayerBits::of(self.rounded())
    }
}

/// (6k): the mixture of `fine` and `coarse`, two roundings of one weight, with the share `f` of `fine` that the width `b`, a
/// scalar on the tape, has beyond a whole number.
pub fn mix_on(tape: &mut Tape, coarse: Var, fine: Var, b: Var, f: f32) -> Var {
    let (c, d) = (tape.value(coarse), tape.value(fine));
    // book: mix
    let w_hat = Tensor::from_fn(c.shape(), |i| (1.0 - f) * c.data()[i] + f * d.data()[i]);
    // book end
    tape.push(w_hat, &[coarse, fine, b], Mix { f })
}

struct Mix {
    f: f32,
}

impl Op for Mix {
    fn name(&self) -> &'static str {
        "mix"
    }

    fn backward(&self, record: &Record<'_>, dy: Tensor) -> Vec<Option<Tensor>> {
        let (coarse, fine) = (record.input(0).data(), record.input(1).data());
        let terms = dy.data().iter().zip(fine).zip(coarse);
        let db = terms.map(|((&dy, &fine), &coarse)| f64::from(dy) * f64::from(fine - coarse)).sum::<f64>();
        let share = |share: f32| Tensor::from_fn(dy.shape(), |i| share * dy.data()[i]);
        vec![Some(share(1.0 - self.f)), Some(share(self.f)), Some(Tensor::scalar(db as f32))]
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
    fn the_gradients_are_those_of_the_mixture() {
        // L = sum a (w_hat), by hand and by finite differences in b.
        let (w, a) = ([0.3f32, -0.8, 0.05, 0.6], [1.0f32, -2.0, 0.5, 3.0]);
        let q = |bits, s| QParams::per_tensor(Grid::signed(bits).unwrap(), s, 0).unwrap();
        let run = |f: f32| {
            let mut tape = Tape::new();
            let w = tape.leaf(Tensor::from_vec([4], w.to_vec()).unwrap(), true);
            let coarse = fake_quantize_on(&mut tape, w, &q(2, 0.5), Ste::Identity).unwrap();
            let fine = fake_quantize_on(&mut tape, w, &q(3, 0.25), Ste::Identity).unwrap();
            let b = tape.leaf(Tensor::scalar(2.0 + f), true);
            let y = mix_on(&mut tape, coarse, fine, b, f);
            let loss: f32 = tape.value(y).data().iter().zip(a).map(|(y, a)| y * a).sum();
            tape.backward(y, Tensor::from_vec([4], a.to_vec()).unwrap()).unwrap();
            (loss, tape.grad(b).unwrap().data()[0], tape.grad(w).unwrap().data().to_vec())
        };
        let (_, db, dw) = run(0.25);
        assert!(((run(0.5).0 - run(0.0).0) / 0.5 - db).abs() < 1e-5, "{db}");
        assert_eq!(dw, a); // straight through: (1 - f) + f
        // coarse: 0.5, -1, 0, 0.5; fine: 0.25, -0.75, 0, 0.5
        assert!((db - (-0.25 - 0.5)).abs() < 1e-6, "{db}");
    }

    #[test]
    fn a_width_falls_by_its_price_until_the_target_and_rises_where_the_loss_wants_it() {
        let mut widths = LearnedWidths::new(sizes(&[("a", 8192, 8), ("b", 8192, 1)]), 7 << 10, 0.5);
        let step = |widths: &mut LearnedWidths, db: f32| {
            let mut tape = Tape::new();
            let (c, d) = (tape.leaf(Tensor::scalar(0.0), false), tape.leaf(Tensor::scalar(1.0), false));
            let (k, f) = widths.widths["a"].split();
            let b = widths.place(&mut tape, "a", k as f32 + f);
            let y = mix_on(&mut tape, c, d, b, f);
            tape.backward(y, Tensor::scalar(db)).unwrap();
            widths.learn(&tape, 0.1);
        };
        assert_eq!(widths.widths["a"].split(), (7, 1.0));
        step(&mut widths, 0.0);
        assert_eq!(widths.widths["a"].value, 8.0 - 0.1 * 0.5);
        step(&mut widths, 0.0);
        assert!((widths.widths["a"].value - (7.95 - 0.1 * 0.95)).abs() < 1e-6);
        (0..200).for_each(|_| step(&mut widths, 0.0));
        let small = widths.widths["a"].clone();
        assert!(widths.bytes() <= 7.0 * 1024.0 && small.velocity.abs() < 1e-3, "{small:?}");
        step(&mut widths, -1.0); // the loss falls with a bit more
        assert!(widths.widths["a"].value > small.value);
        (0..200).for_each(|_| step(&mut widths, 10.0));
        assert_eq!(widths.widths["a"].split(), (1, 0.0)); // never below one bit
    }

    #[test]
    fn rounding_keeps_to_the_target() {
        let mut widths = LearnedWidths::new(sizes(&[("a", 8000, 8), ("b", 8000, 8), ("c", 800, 1)]), 0, 0.1);
        let mut within = |a: f32, b: f32, target: usize| {
            widths.widths.get_mut("a").unwrap().value = a;
            widths.widths.get_mut("b").unwrap().value = b;
            widths.target = target;
            widths.rounded().iter().map(|&(_, bits)| bits).collect::<Vec<_>>()
        };
        let bytes = |a: usize, b: usize| 1000 * (a + b) + 100 + 12;
        assert_eq!(within(2.6, 3.7, bytes(3, 4)), [3, 4, 1]);
        assert_eq!(within(2.51, 3.52, bytes(3, 3)), [2, 4, 1]); // both were given a half, `a` more
        assert_eq!(within(2.52, 3.51, bytes(3, 3)), [3, 3, 1]);
        assert_eq!(within(1.0, 1.0, bytes(1, 1) - 1), [1, 1, 1]); // nothing is smaller
        // On the way from far above, what it has is the measure: 6.3, and not the target.
        assert_eq!(within(2.6, 3.7, bytes(1, 1)), [2, 4, 1]);
    }
}
