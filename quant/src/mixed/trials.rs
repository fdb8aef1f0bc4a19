//! One budget of measurements, and everything that was measured with it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use engine::rng::{Purpose, Rng};

use super::{Goal, LayerSize, NO_NETWORK, Point, Searcher, front, size_bytes};

/// A searcher that comes back to what it knows already is ended after this many questions for each measurement.
const PATIENCE: usize = 100;

/// What bounds a search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// What the search is for.
    pub goal: Goal,
    /// Fewest bits of a layer.
    pub min_bits: u32,
    /// Most bits of a layer, at most 8.
    pub max_bits: u32,
    /// Number of measurements in all.
    pub budget: usize,
    /// Of everything random.
    pub seed: u64,
}

/// Result of [`search`].
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The answer: of what keeps to the bound, the smallest or the most accurate.
    pub best: Option<Point>,
    /// What no other measured candidate beats in both size and accuracy, by size.
    pub front: Vec<Point>,
    /// Every network measured, in the order of its bits.
    pub points: Vec<Point>,
    /// The smallest size that could hold the floor if the measured drops of single layers added up, where the searcher
    /// has computed it: see [`dynamic`](super::dynamic).
    pub bound: Option<usize>,
    /// Whether the budget ended while the searcher measured what each layer costs: it has not searched.
    pub costs_cut_short: bool,
}

/// Searches the bits of each layer for what [`Limits::goal`] says.
///
/// `measure` must give the same accuracy for the same bits; it is never asked twice. [`NO_NETWORK`] says that there is
/// none with these bits: they are never an answer, and no point. `costs[layer][b - min_bits]`, if given, is a cheap
/// stand-in for what a layer at `b` bits costs: a searcher that wants such a table takes it instead of spending
/// measurements on one.
///
/// # Errors
/// Whatever `measure` fails with.
///
/// # Panics
/// Unless there are layers, `min_bits <= max_bits <= 8`, and `costs`, if given, has as many rows as layers and as many numbers in
/// each as widths; or if a measurement is NaN.
pub fn search<E>(
    searcher: &dyn Searcher,
    layers: &[LayerSize],
    limits: Limits,
    costs: Option<&[Vec<f64>]>,
    measure: impl FnMut(&[u32]) -> Result<f64, E>,
) -> Result<Outcome, E> {
    search_ahead(searcher, layers, limits, costs, |_| Ok(()), measure)
}

/// [`search`], with word beforehand of what will be asked: `announce` is given candidates that the searcher is about to
/// ask for whatever their accuracies are, so that others can measure them at the same time. What it does with them is its
/// own affair; it changes nothing about the search.
///
/// # Errors
/// Whatever `announce` or `measure` fails with.
///
/// # Panics
/// As [`search`].
pub fn search_ahead<E>(
    searcher: &dyn Searcher,
    layers: &[LayerSize],
    limits: Limits,
    costs: Option<&[Vec<f64>]>,
    mut announce: impl FnMut(&[Vec<u32>]) -> Result<(), E>,
    mut measure: impl FnMut(&[u32]) -> Result<f64, E>,
) -> Result<Outcome, E> {
    assert!(limits.min_bits <= limits.max_bits && limits.max_bits <= 8, "bits must be at most 8");
    assert!(!layers.is_empty(), "no layers whose bits could be searched");
    let widths = (limits.max_bits - limits.min_bits + 1) as usize;
    let complete =
        |costs: &[Vec<f64>]| costs.len() == layers.len() && costs.iter().all(|row| row.len() == widths);
    assert!(costs.is_none_or(complete), "a cost for each of {widths} widths of {} layers", layers.len());
    let failure = RefCell::new(None);
    let mut ask = |bits: &[u32]| measure(bits).map_err(|error| *failure.borrow_mut() = Some(error)).ok();
    let mut tell = |all: &[Vec<u32>]| announce(all).map_err(|error| *failure.borrow_mut() = Some(error)).ok();
    let mut trials = Trials {
        layers,
        limits,
        costs,
        measure: &mut ask,
        announce: &mut tell,
        measured: BTreeMap::new(),
        networks: 0,
        asked: 0,
        bound: None,
        costs_cut_short: false,
    };
    searcher.run(&mut trials);
    let (points, bound, costs_cut_short) = (trials.points(), trials.bound, trials.costs_cut_short);
    if let Some(error) = failure.into_inner() {
        return Err(error);
    }
    let front = front(&points);
    Ok(Outcome { best: limits.goal.best(&front).cloned(), front, points, bound, costs_cut_short })
}

/// What a searcher is given.
pub struct Trials<'a> {
    /// The network.
    pub layers: &'a [LayerSize],
    /// What bounds the search.
    pub limits: Limits,
    /// `costs[layer][b - min_bits]`, a stand-in for the drop of a layer alone.
    pub costs: Option<&'a [Vec<f64>]>,
    /// For [`Outcome::bound`].
    pub bound: Option<usize>,
    /// For [`Outcome::costs_cut_short`].
    pub costs_cut_short: bool,
    measure: &'a mut dyn FnMut(&[u32]) -> Option<f64>,
    announce: &'a mut dyn FnMut(&[Vec<u32>]) -> Option<()>,
    measured: BTreeMap<Vec<u32>, f64>,
    /// Those of them that are networks.
    networks: usize,
    asked: usize,
}

impl Trials<'_> {
    /// The accuracy of `bits`, measured now or known. `None` if the budget is used up or the measurement failed: then
    /// the search is over.
    pub fn accuracy(&mut self, bits: &[u32]) -> Option<f64> {
        self.asked += 1;
        let patient = self.asked <= PATIENCE.saturating_mul(self.limits.budget);
        if let Some(&known) = self.measured.get(bits) {
            return patient.then_some(known);
        }
        if self.left() == 0 || !patient {
            return None;
        }
        let accuracy = (self.measure)(bits)?;
        assert!(!accuracy.is_nan(), "the accuracy of {bits:?} is NaN");
        self.networks += usize::from(accuracy > NO_NETWORK);
        self.measured.insert(bits.to_vec(), accuracy);
        Some(accuracy)
    }

    /// Says which candidates will be asked for next, whatever they turn out to be: those of them that are not known yet, as
    /// many as the budget allows. `None` as in [`accuracy`](Self::accuracy).
    pub fn announce(&mut self, candidates: impl IntoIterator<Item = Vec<u32>>) -> Option<()> {
        let mut seen = BTreeSet::new();
        let new = candidates.into_iter().filter(|bits| !self.measured.contains_key(bits));
        let new: Vec<Vec<u32>> = new.filter(|bits| seen.insert(bits.clone())).take(self.left()).collect();
        (self.announce)(&new)
    }

    /// Announces every uniform width.
    pub fn announce_uniform(&mut self) -> Option<()> {
        let all: Vec<_> = (self.limits.min_bits..=self.limits.max_bits).map(|b| self.uniform(b)).collect();
        self.announce(all)
    }

    /// The same as a point.
    pub fn point(&mut self, bits: &[u32]) -> Option<Point> {
        let accuracy = self.accuracy(bits)?;
        Some(Point { bits: bits.to_vec(), size: self.size(bits), accuracy })
    }

    /// Whether `bits` keep to the bound.
    pub fn holds(&mut self, bits: &[u32]) -> Option<bool> {
        let accuracy = self.accuracy(bits)?;
        Some(self.limits.goal.admits(self.size(bits), accuracy))
    }

    /// Measurements left; to see that there is [no network](NO_NETWORK) takes none.
    pub fn left(&self) -> usize {
        self.limits.budget.saturating_sub(self.networks)
    }

    /// Every layer at `bits`.
    pub fn uniform(&self, bits: u32) -> Vec<u32> {
        vec![bits; self.layers.len()]
    }

    /// [`size_bytes`] of the network, in whatever its layers are counted in.
    pub fn size(&self, bits: &[u32]) -> usize {
        size_bytes(self.layers, bits)
    }

    /// The same of one layer.
    pub fn layer_size(&self, layer: usize, bits: u32) -> usize {
        size_bytes(&self.layers[layer..=layer], &[bits])
    }

    /// Random numbers of this search, number `stream`.
    pub fn rng(&self, stream: usize) -> Rng {
        Rng::at(self.limits.seed, Purpose::Search, 0, stream)
    }

    /// Every network measured, in the order of its bits.
    pub fn points(&self) -> Vec<Point> {
        let point = |(bits, &accuracy): (&Vec<u32>, &f64)| Point {
            size: self.size(bits),
            bits: bits.clone(),
            accuracy,
        };
        self.measured.iter().filter(|(_, accuracy)| **accuracy > NO_NETWORK).map(point).collect()
    }

    /// The uniform width at the bound, for searchers that begin there: the smallest at the floor, found by bisection as if
    /// accuracy grew with bits, and the largest if none is seen to hold; or the largest within the limit, and the smallest
    /// if none is.
    pub fn uniform_at_the_bound(&mut self) -> Option<Vec<u32>> {
        self.announce_uniform()?; // the bisection needs but a few, and who compares needs all
        let (mut low, mut high) = (self.limits.min_bits, self.limits.max_bits);
        if let Goal::MostAccurate { limit } = self.limits.goal {
            let fits = |&b: &u32| self.size(&self.uniform(b)) <= limit;
            return Some(self.uniform((low..=high).rev().find(fits).unwrap_or(low)));
        }
        while low < high {
            let middle = (low + high) / 2;
            if self.holds(&self.uniform(middle))? { high = middle } else { low = middle + 1 }
        }
        Some(self.uniform(high))
    }
}
