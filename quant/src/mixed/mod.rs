//! Variable precision: how few bytes a network needs before it falls below an accuracy.
//!
//! A search sees a network as a list of weight counts and a function from bits per layer to accuracy; what that
//! function does is the caller's. The lab's own is the [`Evaluator`]: weights rounded, batch norms corrected, counted
//! on held-out images. What is to be small is the caller's too: bytes, or [bit operations](LayerSize::of_operations).
//!
//! Every [`Searcher`] gets the same: [`Limits`] with one budget of measurements and one seed, and the [`Trials`] to
//! spend it on. Nothing is measured twice, and whatever was measured counts for its front.
//!
//! 1. [`trials`]: the budget, and everything measured; [`goal`]: the bound to keep to; [`mod@front`]: what no other beats in both size and accuracy.
//! 2. [`uniform`], [`random`]: the baselines.
//! 3. [`mod@sensitivity`]: what each layer costs alone; [`greedy`]: allocation at a price, descent, exchange.
//! 4. [`dynamic`]: the exact allocation, if costs added up.
//! 5. [`nsga2`] and [`annealing`]: two searches that assume nothing about the function.
//! 6. [`proxy`]: cheap stand-ins for what a layer costs, among them the Fisher information; [`rank`]: how well they order candidates.
//! 7. [`evaluator`]: the function, computed from the first layer that changed.

pub mod annealing;
pub mod dynamic;
pub mod evaluator;
mod fisher;
pub mod front;
pub mod goal;
pub mod greedy;
pub mod nsga2;
pub mod proxy;
pub mod random;
pub mod rank;
pub mod sensitivity;
mod stage;
pub mod trials;
pub mod uniform;

pub use evaluator::{Evaluator, Images, Rounding};
pub use front::{Point, front};
pub use goal::Goal;
pub use trials::{Limits, Outcome, Trials, search, search_ahead};

/// The accuracy of bits that no network can have, as 0 for a layer that nothing goes around: below that of every network.
pub const NO_NETWORK: f64 = f64::NEG_INFINITY;

/// A layer as the search sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerSize {
    /// Its name.
    pub name: String,
    /// Number of weights.
    pub weights: usize,
    /// Number of scales stored: 1 per tensor, or one per output channel.
    pub scales: usize,
}

impl LayerSize {
    /// The layer, counted so that [`size_bytes`] gives the *bit operations* of an image, in units of 1,024:
    ///
    /// ```text
    /// operations  =  sum over layers of  multiplications_l a b_l                                (6l)
    /// ```
    ///
    /// A product of `a` and `b` bits is `a b` products of single bits. Source: Baskin et al., "UNIQ: Uniform noise
    /// injection for non-uniform quantization of neural networks" (ACM TOCS 37, 2021), without the width of the sums.
    ///
    /// ```
    /// use quant::mixed::{LayerSize, size_bytes};
    /// // A 3x3 convolution of 3 to 16 channels at 32 x 32 places, weights of 2 bits, inputs of 16.
    /// let conv1 = LayerSize::of_operations("conv1".into(), 432 * 1024, 16);
    /// assert_eq!(size_bytes(&[conv1], &[2]), 432 * 2 * 16);
    /// ```
    pub fn of_operations(name: String, multiplications: usize, a: u32) -> Self {
        Self { name, weights: multiplications * a as usize / 128, scales: 0 }
    }
}

/// Bytes of the weights (6a): `ceil(n b / 8)` packed, and 4 for each `f32` scale. A layer without bits has neither.
///
/// ```
/// use quant::mixed::{LayerSize, size_bytes};
/// let layers = [LayerSize { name: "a".into(), weights: 9, scales: 1 }];
/// assert_eq!(size_bytes(&layers, &[3]), 4 + 4); // 27 bits need 4 bytes
/// assert_eq!(size_bytes(&layers, &[0]), 0);
/// ```
// book: size_bytes
pub fn size_bytes(layers: &[LayerSize], bits: &[u32]) -> usize {
    let held = layers.iter().zip(bits).filter(|(_, b)| **b > 0);
    held.map(|(l, &b)| (l.weights * b as usize).div_ceil(8) + 4 * l.scales).sum()
}
// book end

/// A way to spend a budget of measurements.
// book: Searcher
pub trait Searcher: Sync {
    /// What it is called on the command line.
    fn name(&self) -> &'static str;

    /// One sentence about it.
    fn summary(&self) -> &'static str;

    /// Whether it plans with what each layer costs, measured or brought.
    fn plans(&self) -> bool {
        false
    }

    /// Measures candidates until it is done. `None` is an end too: the budget is used up, or a measurement failed.
    fn run(&self, trials: &mut Trials<'_>) -> Option<()>;
}
// book end

/// Every searcher, the baselines first.
pub static SEARCHERS: [&dyn Searcher; 6] = [
    &uniform::Uniform,
    &random::Random,
    &greedy::Greedy,
    &dynamic::Dynamic,
    &nsga2::Nsga2,
    &annealing::Annealing,
];

/// The searcher of this name.
pub fn searcher(name: &str) -> Option<&'static dyn Searcher> {
    SEARCHERS.iter().find(|searcher| searcher.name() == name).copied()
}
