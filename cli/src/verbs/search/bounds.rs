//! What a search keeps to: a floor under the accuracy, or a limit of the size.

use quant::mixed::{Goal, Limits, Point};

use super::{Costs, SearchArgs};
use crate::run::exit::Failure;
use crate::run::forecast::counted;
use crate::show::front::Bound;

impl SearchArgs {
    /// What the finished network is to be.
    pub(super) fn goal(&self) -> Goal {
        match self.at_most {
            None => Goal::Smallest { floor: self.floor },
            Some(size) => Goal::MostAccurate { limit: self.minimize.within(size) },
        }
    }

    /// The same as plots draw it.
    pub(super) fn bound(&self) -> Bound {
        self.at_most.map_or(Bound::Floor(self.floor), Bound::AtMost)
    }

    /// A size that the search has counted, in the unit that people read.
    pub(super) fn shown(&self, size: usize) -> f64 {
        self.minimize.shown(self.minimize.whole(size))
    }

    /// What bounds the search. A floor of its own is refused where no correction learns.
    pub(super) fn limits(&self, seed: u64) -> Limits {
        let goal = match self.goal() {
            Goal::Smallest { floor } => Goal::Smallest { floor: self.search_floor.unwrap_or(floor) },
            goal => goal,
        };
        Limits { goal, min_bits: self.min_bits, max_bits: self.max_bits, budget: self.evaluations, seed }
    }

    /// The failure of a search that found nothing in `measured` candidates; `uniform` has bits, sizes, accuracies. Where
    /// corrections make another network of a candidate, `finished` are those that were made.
    pub(super) fn found_nothing(
        &self,
        uniform: &[(u32, usize, f64)],
        measured: usize,
        finished: &[Point],
    ) -> Failure {
        let raise =
            if measured < self.evaluations { "try another --searcher" } else { "raise --evaluations" };
        Failure::Run(match self.at_most {
            None => {
                if let Some(best) = finished.iter().map(|point| point.accuracy).max_by(f64::total_cmp) {
                    return Failure::Run(format!(
                        "no network reaches {}%: of {}, corrected, the best has {best:.2}%; lower --floor",
                        self.floor,
                        counted(finished.len(), "candidate"),
                    ));
                }
                let most = uniform.last().map_or(0.0, |(_, _, accuracy)| *accuracy);
                if let Some((bits, ..)) = uniform.iter().find(|(_, _, accuracy)| *accuracy >= self.floor) {
                    return Failure::Run(format!(
                        "no network that reaches {}% was found in {}, where {bits} bits everywhere do; {raise}",
                        self.floor,
                        counted(measured, "candidate")
                    ));
                }
                format!(
                    "no network reaches {}%: with {} bits everywhere it is {most:.2}%; lower --floor",
                    self.floor, self.max_bits
                )
            }
            Some(limit) => {
                let (bits, least) = uniform.first().map_or((self.min_bits, 0), |(b, size, _)| (*b, *size));
                let (objective, unit) = (self.minimize, self.minimize.unit());
                let least = objective.shown(objective.whole(least));
                match self.min_bits {
                    0 => format!(
                        "no network of at most {limit} {unit} was found, where with {bits} bits everywhere it has {least:.1}; \
                         raise --at-most or --evaluations"
                    ),
                    // The smallest of all would have kept to the limit: the search never came to it.
                    _ if least <= limit => format!(
                        "no network of at most {limit} {unit} was found in {}; {raise}{}",
                        counted(measured, "candidate"),
                        // These two begin by measuring what each layer costs, unless that is guessed.
                        match (self.searcher.as_str(), self.costs) {
                            ("greedy" | "dynamic", Costs::Measured) =>
                                ", or guess what each layer costs with --costs output",
                            _ => "",
                        }
                    ),
                    _ => format!(
                        "no network has at most {limit} {unit}: with {bits} bits everywhere it has {least:.1}; raise --at-most"
                    ),
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: SearchArgs,
    }

    /// What is said where uniform widths of 1 and 3 bits have 32.2 and 97.7 KiB, 10 and 91%.
    fn said(words: &[&str]) -> String {
        let args = Line::try_parse_from([&["search"], words].concat()).unwrap().args;
        args.found_nothing(&[(1, 33_000, 10.0), (3, 100_000, 91.0)], args.evaluations, &[]).to_string()
    }

    #[test]
    fn a_budget_too_small_is_told_apart_from_a_bound_too_tight() {
        assert!(said(&["--floor", "92"]).ends_with("lower --floor"));
        assert!(said(&["--floor", "90"]).ends_with("where 3 bits everywhere do; raise --evaluations"));
        assert!(said(&["--at-most", "30"]).ends_with("raise --at-most"));
        assert!(said(&["--at-most", "40", "--searcher", "uniform"]).ends_with("raise --evaluations"));
        assert!(said(&["--at-most", "40", "--searcher", "greedy"]).ends_with("with --costs output"));
        let guessed = ["--at-most", "40", "--searcher", "greedy", "--costs", "fisher"];
        assert!(said(&guessed).ends_with("raise --evaluations"));
    }

    #[test]
    fn what_was_measured_is_said_and_more_of_it_only_where_there_was_not_enough() {
        let args = Line::try_parse_from(["search", "--floor", "90"]).unwrap().args;
        let uniform = [(3, 100_000, 91.0)];
        let said = args.found_nothing(&uniform, 1, &[]).to_string();
        assert!(
            said.contains("found in 1 candidate, where 3") && said.ends_with("try another --searcher"),
            "{said}"
        );
        let finished = [86.0, 89.5].map(|accuracy| Point { bits: vec![2], size: 9, accuracy });
        let said = args.found_nothing(&uniform, 500, &finished).to_string();
        assert!(said.contains("of 2 candidates, corrected, the best has 89.50%"), "{said}");
    }
}
