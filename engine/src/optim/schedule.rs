//! Learning-rate schedules: linear warm-up, then constant, steps, or half a cosine
//! (Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017, without the restarts): (9a).

/// The course of the learning rate after warm-up.
#[derive(Clone, Debug, PartialEq)]
pub enum Decay {
    /// `base`.
    Constant,
    /// `base * factor^(number of milestones reached)`; milestones in steps, ascending.
    Step {
        /// Steps at which the rate drops.
        milestones: Vec<usize>,
        /// Factor of each drop.
        factor: f32,
    },
    /// `end + (base - end) * (1 + cos(pi t)) / 2`, `t` from 0 after warm-up to 1 behind the last step.
    Cosine {
        /// Rate at the end.
        end: f32,
    },
}

/// A learning rate for every step.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// Peak rate.
    pub base: f32,
    /// Steps over which the rate climbs linearly from `base / warmup`.
    pub warmup: usize,
    /// Steps in all.
    pub total: usize,
    /// What follows warm-up.
    pub decay: Decay,
}

impl Schedule {
    /// The rate of step `step`, counted from 0.
    pub fn rate(&self, step: usize) -> f32 {
        if step < self.warmup {
            return self.base * (step + 1) as f32 / self.warmup as f32;
        }
        match &self.decay {
            Decay::Constant => self.base,
            Decay::Step { milestones, factor } => {
                let reached = milestones.iter().filter(|m| **m <= step).count();
                self.base * factor.powi(reached as i32)
            }
            Decay::Cosine { end } => {
                // book: cosine
                let span = self.total.saturating_sub(self.warmup).max(1);
                let t = ((step - self.warmup) as f64 / span as f64).min(1.0);
                let share = 0.5 * (1.0 + (std::f64::consts::PI * t).cos());
                end + (self.base - end) * share as f32
                // book end
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warm_up_then_half_a_cosine() {
        let s = Schedule { base: 0.4, warmup: 4, total: 104, decay: Decay::Cosine { end: 0.0 } };
        assert!((s.rate(0) - 0.1).abs() < 1e-7 && (s.rate(3) - 0.4).abs() < 1e-7);
        assert!((s.rate(4) - 0.4).abs() < 1e-7);
        assert!((s.rate(54) - 0.2).abs() < 1e-6);
        assert!(s.rate(103) < 2e-4 && s.rate(500) == 0.0);
    }

    #[test]
    fn steps_drop_at_milestones() {
        let decay = Decay::Step { milestones: vec![10, 20], factor: 0.1 };
        let s = Schedule { base: 1.0, warmup: 0, total: 30, decay };
        assert_eq!([s.rate(9), s.rate(10), s.rate(19)], [1.0, 0.1, 0.1]);
        assert!((s.rate(20) - 0.01).abs() < 1e-8);
    }
}
