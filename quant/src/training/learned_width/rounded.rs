//! What becomes of widths between whole numbers when training has learned them.

use super::LearnedWidths;
use crate::LayerBits;
use crate::mixed::{LayerSize, size_bytes};

impl LearnedWidths {
    /// Whole numbers of bits: the nearest; then, while that is too much, a bit less where rounding has given the most; and then
    /// a bit more where it has taken the most, as far as what is left suffices. Too much is more than the target; of a network
    /// still on its way there, more than it has.
    pub fn rounded(&self) -> Vec<(&str, u32)> {
        let most = if self.is_on_the_way() { self.bytes() } else { self.target as f64 };
        let nearest = |(layer, bits): &(LayerSize, u32)| match self.widths.get(&layer.name) {
            Some(width) => (width.value.round() as u32, width.value),
            None => (*bits, *bits as f32),
        };
        let (mut bits, values): (Vec<u32>, Vec<f32>) = self.layers.iter().map(nearest).unzip();
        let sizes: Vec<LayerSize> = self.layers.iter().map(|(layer, _)| layer.clone()).collect();
        let fits = |bits: &[u32]| size_bytes(&sizes, bits) as f64 <= most;
        while !fits(&bits) {
            let given = |l: &usize| bits[*l] as f32 - values[*l];
            let able = (0..bits.len()).filter(|&l| bits[l] > 1 && self.widths.contains_key(&sizes[l].name));
            let Some(generous) = able.max_by(|a, b| given(a).total_cmp(&given(b))) else { break };
            bits[generous] -= 1;
        }
        let taken = |bits: &[u32], l: usize| values[l] - bits[l] as f32;
        let mut short: Vec<usize> = (0..bits.len()).filter(|&l| taken(&bits, l) > 0.0).collect();
        short.sort_by(|&a, &b| taken(&bits, b).total_cmp(&taken(&bits, a)));
        for layer in short {
            bits[layer] += 1; // at most the learned width, rounded up
            bits[layer] -= u32::from(!fits(&bits));
        }
        self.layers.iter().zip(bits).map(|((layer, _), bits)| (layer.name.as_str(), bits)).collect()
    }

    /// [`rounded`](Self::rounded), as a plan takes them.
    pub fn layer_bits(&self) -> LayerBits {
        LayerBits::of(self.rounded().into_iter().map(|(layer, bits)| (layer, bits, None)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer((name, weights, bits): (&str, usize, u32)) -> (LayerSize, u32) {
        (LayerSize { name: name.to_owned(), weights, scales: 1 }, bits)
    }

    #[test]
    fn rounding_keeps_to_the_target() {
        let mut widths =
            LearnedWidths::new([("a", 8000, 8), ("b", 8000, 8), ("c", 800, 1)].map(layer).into(), 0, 0.1);
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
        assert_eq!(within(2.3, 3.4, bytes(2, 4)), [2, 4, 1]); // what is left suffices for one, and `b` has lost more
        assert_eq!(within(2.3, 3.0, bytes(4, 4)), [3, 3, 1]); // nobody gets more than its width rounded up
        // On the way from far above, what it has is the measure: 6.3, and not the target.
        assert_eq!(within(2.6, 3.7, bytes(1, 1)), [2, 4, 1]);
    }
}
