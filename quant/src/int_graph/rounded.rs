//! The integer-only network with shorter multipliers and biases.

use engine::Result;

use super::{IntGraph, Op};

impl IntGraph {
    /// The same network whose `m` and `b` of eq 7 keep `kept` bits behind their leading one (the nearest such number):
    /// another network, which gives other codes now and then, and takes fewer bytes in a
    /// [coded file](Self::coded).
    ///
    /// # Errors
    /// If a sum of the new network could overflow.
    pub fn rounded(&self, kept: u32) -> Result<Self> {
        let mut nodes = self.nodes.clone();
        for node in &mut nodes {
            let (Op::Conv2d { outputs, .. } | Op::GlobalAvgPool { outputs, .. }) = &mut node.op else {
                continue;
            };
            for (_, q) in outputs {
                q.multiplier.iter_mut().for_each(|m| {
                    let wide = nearest(i64::from(*m), kept);
                    *m = i32::try_from(wide).unwrap_or(*m); // the next number has a bit too many
                });
                q.bias.iter_mut().for_each(|b| *b = nearest(*b, kept));
            }
        }
        Self::new(self.values.clone(), nodes)
    }
}

/// The number nearest to `x` that has zeros from the `kept`-th bit behind its leading one on; of two, the one further from
/// zero.
fn nearest(x: i64, kept: u32) -> i64 {
    let size = x.unsigned_abs();
    let zeros = (64 - size.leading_zeros()).saturating_sub(kept + 1);
    if zeros == 0 {
        return x;
    }
    let rounded = (size >> (zeros - 1)).div_ceil(2) << zeros;
    i64::try_from(rounded).map_or(x, |size| if x < 0 { -size } else { size })
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn as_many_bits_as_asked_for_and_no_further_than_half_of_the_last() {
        for (x, kept, expected) in [
            (0b1011, 3, 0b1011),
            (0b1011, 2, 0b1100),
            (0b1001, 2, 0b1010),
            (0b1111, 1, 0b10000),
            (-0b1101, 1, -0b1100),
            (0, 0, 0),
            (1, 0, 1),
            (i64::MIN, 3, i64::MIN),
        ] {
            assert_eq!(nearest(x, kept), expected, "{x:b} to {kept}");
        }
    }
}
