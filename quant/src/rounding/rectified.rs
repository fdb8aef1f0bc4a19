//! The variable of learned rounding: a number between down and up, and what drives it to one of the two.
//!
//! AdaRound (Nagel et al., "Up or down? Adaptive rounding for post-training quantization", ICML 2020) writes a weight's code
//! as `floor(w / s) + h(v)` with the *rectified sigmoid* (7e), its formula 23,
//!
//! ```text
//! h(v) = clip( sigmoid(v) (zeta - gamma) + gamma, 0, 1)        zeta = 1.1, gamma = -0.1
//! ```
//!
//! which reaches 0 and 1 for finite `v` with a slope that has not vanished there. The regulariser (7f), its formula 24,
//!
//! ```text
//! r(v) = 1 - |2 h(v) - 1|^beta
//! ```
//!
//! is 0 where `h` is 0 or 1 and 1 at a half. With a large `beta` it is flat in the middle and lets the loss decide; as
//! `beta` falls to 2 it pushes every `h` to its nearer end.

/// The sigmoid is stretched to this upper end.
pub const ZETA: f32 = 1.1;
/// The sigmoid is stretched to this lower end.
pub const GAMMA: f32 = -0.1;
/// The regulariser's exponent when it sets in, and at the end.
pub const BETA: [f32; 2] = [20.0, 2.0];

fn sigmoid(v: f32) -> f32 {
    1.0 / (1.0 + (-v).exp())
}

/// `h(v)`, between 0 (down) and 1 (up).
pub fn rectified_sigmoid(v: f32) -> f32 {
    (sigmoid(v) * (ZETA - GAMMA) + GAMMA).clamp(0.0, 1.0)
}

/// `dh/dv`; 0 where `h` is clipped.
pub fn rectified_sigmoid_slope(v: f32) -> f32 {
    let p = sigmoid(v);
    let h = p * (ZETA - GAMMA) + GAMMA;
    if (0.0..=1.0).contains(&h) { p * (1.0 - p) * (ZETA - GAMMA) } else { 0.0 }
}

/// The `v` of `h(v) = h`, for `h` in `[0, 1]`: where a weight starts, with `h` the fraction of `w / s`.
pub fn inverse_rectified_sigmoid(h: f32) -> f32 {
    let p = (h.clamp(0.0, 1.0) - GAMMA) / (ZETA - GAMMA);
    (p / (1.0 - p)).ln()
}

/// `f(v) = 1 - |2 h(v) - 1|^beta`.
pub fn regularizer(v: f32, beta: f32) -> f32 {
    1.0 - (2.0 * rectified_sigmoid(v) - 1.0).abs().powf(beta)
}

/// `df/dv = -2 beta |2 h - 1|^(beta - 1) sign(2 h - 1) dh/dv`.
pub fn regularizer_slope(v: f32, beta: f32) -> f32 {
    let d = 2.0 * rectified_sigmoid(v) - 1.0;
    -2.0 * beta * d.abs().powf(beta - 1.0) * d.signum() * rectified_sigmoid_slope(v)
}

/// The exponent when the share `done` of the annealing is over: half a cosine from 20 to 2.
pub fn annealed_beta(done: f32) -> f32 {
    let [start, end] = BETA;
    end + 0.5 * (start - end) * (1.0 + (done.clamp(0.0, 1.0) * std::f32::consts::PI).cos())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `(f(v + e) - f(v - e)) / 2e` in double precision.
    fn slope(f: impl Fn(f64) -> f64, v: f32) -> f64 {
        let e = 1e-5;
        (f(f64::from(v) + e) - f(f64::from(v) - e)) / (2.0 * e)
    }

    fn h(v: f64) -> f64 {
        (1.2 / (1.0 + (-v).exp()) - 0.1).clamp(0.0, 1.0)
    }

    #[test]
    fn slopes_are_those_of_the_formulas() {
        for i in -39..40 {
            let v = i as f32 * 0.1 + 0.05;
            assert!((f64::from(rectified_sigmoid(v)) - h(f64::from(v))).abs() < 1e-6);
            assert!((f64::from(rectified_sigmoid_slope(v)) - slope(h, v)).abs() < 1e-5, "h at {v}");
            for beta in [2.0f32, 3.5, 20.0] {
                let f = |v: f64| 1.0 - (2.0 * h(v) - 1.0).abs().powf(f64::from(beta));
                let (got, want) = (f64::from(regularizer_slope(v, beta)), slope(f, v));
                assert!(
                    (got - want).abs() < 1e-4 * (1.0 + want.abs()),
                    "f at {v}, beta {beta}: {got} {want}"
                );
                assert!((f64::from(regularizer(v, beta)) - f(f64::from(v))).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn a_fraction_comes_back() {
        for i in 0..=100 {
            let fraction = i as f32 / 100.0;
            assert!((rectified_sigmoid(inverse_rectified_sigmoid(fraction)) - fraction).abs() < 1e-6);
        }
    }

    #[test]
    fn the_exponent_falls_from_20_to_2() {
        let betas: Vec<f32> = (0..=10).map(|i| annealed_beta(i as f32 / 10.0)).collect();
        assert!((betas[0] - 20.0).abs() < 1e-5 && (betas[10] - 2.0).abs() < 1e-5);
        assert!(betas.windows(2).all(|pair| pair[1] < pair[0]));
    }
}
