//! The front of a search while it runs.

use quant::mixed::{Goal, Point, front};

use crate::show::objective::Objective;

/// What has been found so far.
pub(super) struct Live {
    goal: Goal,
    objective: Objective,
    front: Vec<Point>,
}

/// Points of the front that fit into a line, about the answer.
const SHOWN: usize = 5;

impl Live {
    /// Before anything is measured.
    pub(super) fn new(goal: Goal, objective: Objective) -> Self {
        Self { goal, objective, front: Vec::new() }
    }

    /// Takes in a point; what there is to say of the front, if it has moved.
    pub(super) fn take(&mut self, point: Point) -> Option<String> {
        self.front.push(point.clone());
        self.front = front(&self.front);
        self.front.contains(&point).then(|| self.line())
    }

    /// The answer so far, and the front about it.
    fn line(&self) -> String {
        let size = |point: &Point| self.objective.shown(self.objective.whole(point.size));
        let short = |point: &Point| format!("{:.1} {:.2}", size(point), point.accuracy);
        let best = self.goal.best(&self.front);
        let at = best.and_then(|best| self.front.iter().position(|point| point == best));
        let from = at.unwrap_or(0).saturating_sub(SHOWN / 2).min(self.front.len().saturating_sub(SHOWN));
        let about: Vec<String> = self.front.iter().skip(from).take(SHOWN).map(short).collect();
        let answer = best.map_or(String::new(), |best| {
            format!("{:.1} {} at {:.2}%; ", size(best), self.objective.unit(), best.accuracy)
        });
        format!("{answer}front {}", about.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_follows_the_front_and_holds_what_is_about_the_answer() {
        let mut live = Live::new(Goal::Smallest { floor: 85.0 }, Objective::Bytes);
        let bytes = |kib: usize, accuracy| Point { bits: vec![kib as u32], size: 1024 * kib, accuracy };
        assert_eq!(live.take(bytes(20, 70.0)).unwrap(), "front 20.0 70.00");
        assert_eq!(live.take(bytes(40, 90.0)).unwrap(), "40.0 KiB at 90.00%; front 20.0 70.00, 40.0 90.00");
        assert_eq!(live.take(bytes(50, 80.0)), None, "beaten");
        assert_eq!(
            live.take(bytes(30, 86.0)).unwrap(),
            "30.0 KiB at 86.00%; front 20.0 70.00, 30.0 86.00, 40.0 90.00"
        );
        for (kib, accuracy) in [(10, 30.0), (5, 20.0), (50, 91.0)] {
            live.take(bytes(kib, accuracy)).unwrap();
        }
        let line = live.take(bytes(60, 92.0)).unwrap();
        assert_eq!(
            line,
            "30.0 KiB at 86.00%; front 10.0 30.00, 20.0 70.00, 30.0 86.00, 40.0 90.00, 50.0 91.00"
        );
    }
}
