//! Which correction must come before which, and which changes nothing beside another.

use super::{Sequence, Step};
use crate::Granularity;

/// A correction that must come before others, the others, and why.
type Rule = (fn(Step) -> bool, fn(Step) -> bool, &'static str);

const RULES: [Rule; 7] = [
    (Step::is_float, |late| !late.is_float(), "which looks at the rounding of what it changes"),
    (Step::corrects_norms, Step::learns_norms, "which learns the batch norms itself"),
    (|step| step == Step::BiasAnalytic, measures_means, "which takes back the same shifts, as measured"),
    (
        |step| step == Step::Equalize,
        |late| late == Step::Balance,
        "which fixes the scales of what it changes",
    ),
    // A signed grid is not symmetric: what is turned over has another best scale.
    (|step| step == Step::Flip, |late| late == Step::Balance, "which fixes the scales of what it turns over"),
    (
        |step| step == Step::AdaRound,
        |late| late == Step::BatchNorm,
        "which measures the rounding that it changes",
    ),
    (
        |step| step == Step::AdaRound,
        Step::learns_norms,
        "which learns batch norms for the rounding that it changes",
    ),
];

fn measures_means(step: Step) -> bool {
    matches!(step, Step::Bias | Step::BatchNorm)
}

/// Why `step` must not come behind those `before`; none if it may.
pub(super) fn refusal(before: &[Step], step: Step) -> Option<String> {
    let name = step.name();
    if step == Step::BiasAnalytic && before.contains(&step) {
        return Some(format!("`{name}` stands there twice, and would take a shift back twice"));
    }
    let broken = |(first, late, why): &Rule| {
        let late = before.iter().filter(|_| first(step)).find(|b| late(**b))?;
        Some(format!("`{name}` must come before `{}`, {why}", late.name()))
    };
    RULES.iter().find_map(broken)
}

impl Sequence {
    /// What can be left out of the sequence without changing the network that comes of it, and why.
    pub fn idle(&self, granularity: Granularity) -> Vec<String> {
        let mut idle = Vec::new();
        if self.0.contains(&Step::Balance) && granularity == Granularity::PerChannel {
            idle.push("`balance` changes nothing where every channel has a scale of its own".to_owned());
        }
        let analytic = self.0.iter().skip_while(|step| **step != Step::BiasAnalytic);
        // Weights that are learned in between see the means that it has moved.
        let measured =
            analytic.take_while(|step| step.method().is_none()).find(|step| measures_means(**step));
        if let Some(name) = measured.map(|step| step.name()) {
            idle.push(format!("`bias_analytic` is taken back by `{name}`, which measures the same shifts"));
        }
        idle
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_nothing_is_known() {
        let idle = |text: &str, of| text.parse::<Sequence>().unwrap().idle(of);
        assert!(idle("equalize,balance,bias_analytic,adaround", Granularity::PerTensor).is_empty());
        assert!(
            idle("balance,batch_norm", Granularity::PerChannel)[0].starts_with("`balance` changes nothing")
        );
        assert!(idle("bias_analytic,adaround,batch_norm", Granularity::PerTensor).is_empty());
        for measured in ["bias", "batch_norm"] {
            let found = idle(&format!("bias_analytic,{measured}"), Granularity::PerTensor);
            assert!(
                found[0].contains(&format!("taken back by `{measured}`")) && found.len() == 1,
                "{found:?}"
            );
        }
    }

    #[test]
    fn orders_that_destroy_are_refused() {
        let message = |text: &str| text.parse::<Sequence>().unwrap_err().to_string();
        for (text, first, late) in [
            ("adaround,equalize", "equalize", "adaround"),
            ("adaquant,batch_norm", "batch_norm", "adaquant"),
            ("bias,bias_analytic", "bias_analytic", "bias"),
            ("batch_norm,bias_analytic", "bias_analytic", "batch_norm"),
            ("balance,equalize", "equalize", "balance"),
            ("balance,flip,batch_norm", "flip", "balance"),
            ("batch_norm,adaround", "adaround", "batch_norm"),
            ("adaquant,adaround", "adaround", "adaquant"),
        ] {
            let says = format!("`{first}` must come before `{late}`, which ");
            assert!(message(text).contains(&says), "{}", message(text));
        }
        assert!(message("bias_analytic,bias_analytic").contains("`bias_analytic` stands there twice"));
    }
}
