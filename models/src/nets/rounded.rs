//! A quantized network whose other numbers are shorter too.

use engine::Role;

use crate::{Error, QuantizedNetwork, Result};

impl QuantizedNetwork {
    /// The same codes of layers of up to 8 bits, and every other number (scales, weights of more bits, ranges, norms, biases,
    /// layers in floats) with `kept` bits of its mantissa: the nearest such number, of two the even one. With 7 bits they are `bf16`; 10 are those of `f16`, but with all the exponents
    /// of `f32`, so that a small variance does not become 0.
    ///
    /// This is another network: evaluate it, not the one it was made of.
    ///
    /// # Errors
    /// If a weight cannot be quantized, or a number becomes infinite.
    pub fn rounded(&self, kept: u32) -> Result<Self> {
        let mut rounded = self.clone();
        let quantization = &mut rounded.quantization;
        for (layer, widths) in self.quantization.plan.layers() {
            let Some(widths) = widths else { continue };
            let w = self.network.params.get(&format!("{layer}.weight"))?;
            let q = self.quantization.weight_params(layer, w, widths.w)?;
            if widths.w <= 8 {
                // The codes stay: s' w_int instead of s w_int.
                let w_int = quant::linear_quantize::<i8>(w, &q)?;
                let s: Vec<f32> = q.scales().iter().map(|&s| nearest(s, kept)).collect();
                let row = w.len() / s.len();
                let restored = rounded.network.params.get_mut(&format!("{layer}.weight"))?.data_mut();
                for (i, (to, &code)) in restored.iter_mut().zip(w_int.data()).enumerate() {
                    *to = s[i / row] * f32::from(code);
                }
                quantization.weight_scales.insert(layer.clone(), s);
            }
        }
        for range in quantization.ranges.0.values_mut() {
            (range.min, range.max) = (nearest(range.min, kept), nearest(range.max, kept));
        }
        let coded = |name: &str| {
            let layer = name.strip_suffix(".weight").and_then(|layer| self.quantization.plan.get(layer));
            layer.is_some_and(|widths| widths.w <= 8)
        };
        for param in rounded.network.params.iter_mut().filter(|p| p.role != Role::Weight || !coded(&p.name)) {
            param.value.data_mut().iter_mut().for_each(|v| *v = nearest(*v, kept));
            if let Some((_, value)) = param.value.first_non_finite() {
                return Err(Error::Value(format!("`{}`: a number becomes {value}", param.name)));
            }
        }
        Ok(rounded)
    }
}

/// The number with `kept` bits of mantissa nearest to `x`, of two the one whose last bit is 0.
fn nearest(x: f32, kept: u32) -> f32 {
    let zeros = 23 - kept.min(23);
    let bits = x.to_bits();
    let half = (1u32 << zeros) >> 1;
    let odd = if zeros == 0 { 0 } else { bits >> zeros & 1 };
    // Below half goes down, above goes up; at half only an odd one does. A carry into the exponent is right.
    let up = if zeros == 0 { bits } else { bits.wrapping_add(half - 1 + odd) };
    f32::from_bits(up >> zeros << zeros)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn seven_bits_are_bf16_and_ties_go_to_the_even_number() {
        for (x, kept, expected) in [
            (1.0 + 1.0 / 256.0, 7, 1.0),               // half way, 1 is even
            (1.0 + 3.0 / 256.0, 7, 1.0 + 4.0 / 256.0), // half way, the lower is odd
            (1.0 + 1.1 / 256.0, 7, 1.0 + 2.0 / 256.0),
            (-1.999, 3, -2.0),
            (0.3, 23, 0.3),
            (0.0, 0, 0.0),
            (1.4, 0, 1.0),
            (1.6, 0, 2.0),
        ] {
            assert_eq!(nearest(x, kept), expected, "{x} to {kept} bits");
        }
        assert_eq!(nearest(f32::MAX, 7), f32::INFINITY);
    }
}
