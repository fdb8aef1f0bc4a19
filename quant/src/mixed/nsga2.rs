//! Evolution of a front: NSGA-II.
//!
//! A population of candidates is sorted into *ranks*: rank 0 is what nobody beats, rank 1 what only rank 0 beats, and so
//! on. Within a rank those with more room around them on the front go first: their *crowding distance* is, for
//! neighbours in the order of each objective,
//!
//! ```text
//! distance_i  =  sum over objectives m of   ( f_m(i+1) - f_m(i-1) ) / ( max f_m - min f_m )      (6e)
//! ```
//!
//! and infinite at the ends. Two parents, each the better of two drawn, give a child that takes each layer's bits from one
//! or the other; then each layer moves by a bit with probability `1 / layers`. The best half of parents and children
//! together is the next population.
//!
//! Accuracies far below the floor are of no use: a candidate more than [`MARGIN`] points below is worse than all others,
//! the more the further below it is (the paper's constrained domination). Under a limit of the size the same holds of
//! candidates more than [`EXCESS`] larger than it.
//!
//! Source: Deb, Pratap, Agarwal, Meyarivan, "A fast and elitist multiobjective genetic algorithm: NSGA-II" (IEEE
//! Transactions on Evolutionary Computation 6, 2002).

use engine::rng::Rng;

use super::random::of_size;
use super::{Goal, NO_NETWORK, Point, Searcher, Trials};

/// Candidates of a generation.
const POPULATION: usize = 24;
/// How far below the floor a candidate still counts.
pub const MARGIN: f64 = 5.0;
/// How far above a limit of the size, as a share of it.
pub const EXCESS: f64 = 0.1;

/// NSGA-II on size and accuracy.
pub struct Nsga2;

impl Searcher for Nsga2 {
    fn name(&self) -> &'static str {
        "nsga2"
    }

    fn summary(&self) -> &'static str {
        "evolution of a front of size and accuracy (NSGA-II)"
    }

    fn run(&self, trials: &mut Trials<'_>) -> Option<()> {
        let mut rng = trials.rng(0);
        let mut population = Vec::new();
        let generation = first(trials, &mut rng)?;
        trials.announce(generation.clone())?;
        for bits in generation {
            population.push(trials.point(&bits)?);
        }
        population = survivors(population, trials.limits.goal);
        loop {
            let children: Vec<Vec<u32>> =
                (0..POPULATION).map(|_| child(&population, trials, &mut rng)).collect();
            trials.announce(children.clone())?;
            for bits in children {
                let child = trials.point(&bits)?;
                if population.iter().all(|p| p.bits != bits) {
                    population.push(child);
                }
            }
            population = survivors(population, trials.limits.goal);
        }
    }
}

/// The first generation: uniform widths, and random ones between the size at the bound and half of it.
fn first(trials: &mut Trials<'_>, rng: &mut Rng) -> Option<Vec<Vec<u32>>> {
    let start = trials.uniform_at_the_bound()?;
    let size = match trials.limits.goal {
        Goal::Smallest { .. } => trials.size(&start),
        Goal::MostAccurate { limit } => limit,
    } as f64;
    let widths = trials.limits.min_bits..=trials.limits.max_bits;
    let mut all: Vec<Vec<u32>> = widths.map(|b| trials.uniform(b)).collect();
    while all.len() < POPULATION {
        let share = 0.5 + 0.5 * rng.uniform_f64();
        all.push(of_size(trials, rng, size * share));
    }
    Some(all)
}

/// A child of two parents; `population` is sorted, the best first.
fn child(population: &[Point], trials: &Trials<'_>, rng: &mut Rng) -> Vec<u32> {
    let mut parent = || &population[rng.below(population.len()).min(rng.below(population.len()))].bits;
    let (a, b) = (parent(), parent());
    let (min, max) = (trials.limits.min_bits, trials.limits.max_bits);
    let mut bits: Vec<u32> = a.iter().zip(b).map(|(&a, &b)| if rng.chance(0.5) { a } else { b }).collect();
    let rate = 1.0 / bits.len() as f32;
    for b in &mut bits {
        if rng.chance(rate) {
            *b = if rng.chance(0.5) { (*b + 1).min(max) } else { b.saturating_sub(1).max(min) };
        }
    }
    bits
}

/// How far below what still counts; where there is no network, infinitely far.
fn violation(point: &Point, goal: Goal) -> f64 {
    if point.accuracy <= NO_NETWORK {
        return f64::INFINITY;
    }
    let beyond = match goal {
        Goal::Smallest { floor } => floor - MARGIN - point.accuracy,
        Goal::MostAccurate { limit } => point.size as f64 / limit as f64 - 1.0 - EXCESS,
    };
    beyond.max(0.0)
}

/// Whether `a` beats `b` where what is far beyond the bound is beaten by all else.
fn beats(a: &Point, b: &Point, goal: Goal) -> bool {
    let (of_a, of_b) = (violation(a, goal), violation(b, goal));
    if of_a == 0.0 && of_b == 0.0 { a.beats(b) } else { of_a < of_b }
}

/// The best of `population`, the best first: by rank, then by crowding distance.
fn survivors(mut population: Vec<Point>, goal: Goal) -> Vec<Point> {
    let mut kept: Vec<Point> = Vec::new();
    while kept.len() < POPULATION && !population.is_empty() {
        let unbeaten: Vec<bool> =
            population.iter().map(|p| !population.iter().any(|other| beats(other, p, goal))).collect();
        let mut flags = unbeaten.iter();
        let (rank, rest): (Vec<Point>, Vec<Point>) =
            population.into_iter().partition(|_| *flags.next().expect("a flag for each"));
        population = rest;
        let mut by_room: Vec<(f64, Point)> = crowding(&rank).into_iter().zip(rank).collect();
        by_room.sort_by(|a, b| b.0.total_cmp(&a.0));
        kept.extend(by_room.into_iter().map(|(_, point)| point));
    }
    kept.truncate(POPULATION);
    kept
}

/// The crowding distances (6e) of one rank.
fn crowding(rank: &[Point]) -> Vec<f64> {
    let mut distance = vec![0.0; rank.len()];
    let objectives: [fn(&Point) -> f64; 2] = [|p| p.size as f64, |p| p.accuracy];
    for f in objectives {
        let mut order: Vec<usize> = (0..rank.len()).collect();
        order.sort_by(|&a, &b| f(&rank[a]).total_cmp(&f(&rank[b])));
        let (Some(&low), Some(&high)) = (order.first(), order.last()) else { continue };
        distance[low] = f64::INFINITY;
        distance[high] = f64::INFINITY;
        let range = (f(&rank[high]) - f(&rank[low])).max(f64::MIN_POSITIVE);
        for three in order.windows(3) {
            distance[three[1]] += (f(&rank[three[2]]) - f(&rank[three[0]])) / range;
        }
    }
    distance
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(size: usize, accuracy: f64) -> Point {
        Point { bits: vec![size as u32], size, accuracy }
    }

    #[test]
    fn crowding_distances_by_hand() {
        let rank = [point(10, 60.0), point(30, 90.0), point(20, 80.0), point(12, 65.0)];
        let distance = crowding(&rank);
        assert!(distance[0].is_infinite() && distance[1].is_infinite());
        // 20 bytes lie between 12 and 30 of 20, 80% between 65 and 90 of 30.
        assert!((distance[2] - (18.0 / 20.0 + 25.0 / 30.0)).abs() < 1e-12);
        assert!((distance[3] - (10.0 / 20.0 + 20.0 / 30.0)).abs() < 1e-12);
    }

    #[test]
    fn ranks_come_before_room_and_what_is_far_below_the_floor_comes_last() {
        let population =
            vec![point(9, 20.0), point(10, 30.0), point(50, 84.0), point(40, 86.0), point(60, 90.0)];
        let order: Vec<usize> =
            survivors(population, Goal::Smallest { floor: 85.0 }).iter().map(|p| p.size).collect();
        // 40 and 60 are the front, 50 is beaten by 40; 10 and 9 miss 80 by 50 and 60 points.
        assert_eq!(order[2..], [50, 10, 9]);
        assert!(order[..2].contains(&40) && order[..2].contains(&60));

        // However small, what is no network comes behind all that are.
        let population =
            vec![point(1, NO_NETWORK), point(60, 99.0), point(56, 98.0), point(30, 90.0), point(40, 80.0)];
        let order: Vec<usize> =
            survivors(population, Goal::MostAccurate { limit: 50 }).iter().map(|p| p.size).collect();
        assert_eq!(order, [30, 40, 56, 60, 1]); // 55 is the most that counts
    }
}
