//! Integer-only networks of every shape: the engine against the reference, on every instruction set, code by code.

use std::sync::atomic::Ordering;

use engine::ops::extent;
use engine::rng::Rng;
use quant::int_graph::reference::{self, Trace};
use quant::int_graph::{IntEngine, IntGraph, IntNode, Op, Value};
use quant::integer::bound::accumulator_bound;
use quant::kernel;
use quant::requantize::{Bounds, RealMap, Requantize};
use quant::{Grid, IntTensor};

use super::choices::Choices;
use super::one_line;
use super::readers::framed;

/// Multiply-adds of a network that is computed: the reference takes its time.
const MOST: usize = 100_000;
/// Numbers of channels: below, at and above the tiles' sides.
const CHANNELS: [usize; 14] = [1, 2, 3, 4, 5, 8, 15, 16, 17, 31, 32, 33, 64, 65];

/// A model file: what is read is computed as the reference computes it, and written as it was.
pub(super) fn model_file(bytes: &[u8]) {
    if let Some((graph, about)) = one_line(IntGraph::from_bytes(&framed(bytes))) {
        let again = IntGraph::from_bytes(&graph.to_bytes(&about)).expect("what was written can be read");
        assert_eq!(again, (graph.clone(), about));
        let mut rng = Choices(bytes).rng();
        agree(&graph, &mut rng);
    }
}

/// A network that the bytes choose.
pub(super) fn graph(bytes: &[u8]) {
    let mut choices = Choices(bytes);
    let Some((values, nodes)) = Builder::default().build(&mut choices) else { return };
    // A number may break a rule; then it must be the validation that says so.
    let Some(graph) = one_line(IntGraph::new(values, nodes)) else { return };
    comes_back(&graph);
    agree(&graph, &mut choices.rng());
}

/// What is written is what is read.
pub(super) fn comes_back(graph: &IntGraph) {
    let file = graph.to_bytes(&Default::default());
    assert_eq!(IntGraph::from_bytes(&file).expect("what was written can be read").0, *graph);
}

/// Every code of every value is the reference's, on every instruction set of this machine.
pub(super) fn agree(graph: &IntGraph, rng: &mut Rng) {
    let codes: usize = graph.values().iter().map(Value::len).sum();
    if graph.multiply_adds().iter().sum::<usize>() > MOST || codes > MOST {
        return;
    }
    let extremes = rng.below(2) == 0;
    let byte = |rng: &mut Rng| if extremes { 255 * (rng.next_u32() & 1) as u8 } else { rng.next_u32() as u8 };
    let image: Vec<u8> = (0..graph.image().iter().product()).map(|_| byte(rng)).collect();
    let expected = reference::run(graph, &image);
    super::COMPUTED.fetch_add(1, Ordering::Relaxed);
    let usable = kernel::KERNELS.iter().filter(|k| k.max_weight >= 128 && k.available());
    for isa in usable.map(|kernel| kernel.isa) {
        let engine = IntEngine::for_isa(graph.clone(), isa).expect("a checked network can be packed");
        same(&engine, &image, &expected);
    }
}

fn same(engine: &IntEngine, image: &[u8], expected: &Trace) {
    let (mut workspace, mut logits) = (engine.workspace(), vec![0; expected.logits.len()]);
    // Twice: the second image finds what the first one left.
    for _ in 0..2 {
        engine.classify_with(&mut workspace, image, &mut logits, |value, codes| {
            assert_eq!(codes(), expected.codes[value], "{} value {value}", engine.isa());
        });
        assert_eq!(logits, expected.logits, "{}", engine.isa());
    }
}

/// A network as it grows.
#[derive(Default)]
struct Builder {
    values: Vec<Value>,
    nodes: Vec<IntNode>,
}

impl Builder {
    fn build(mut self, choices: &mut Choices<'_>) -> Option<(Vec<Value>, Vec<IntNode>)> {
        let dims = [1 + choices.below(9), 1 + choices.below(9), choices.of(&[1, 2, 3, 3, 3, 4, 5, 16])];
        let y = self.value(choices, dims, 8);
        let (mut rng, largest) = (choices.rng(), self.values[y].largest() as usize);
        let table = (0..dims[2]).map(|_| std::array::from_fn(|_| rng.below(largest + 1) as u8)).collect();
        self.push(Op::Lookup { y, table });
        for _ in 0..choices.below(6) {
            match choices.below(5) {
                0 => self.subsample(choices),
                _ => self.convolution(choices)?,
            }
        }
        let x = self.read(choices);
        let [h, w, c] = self.values[x].dims;
        let acc = (h * w) as i64 * i64::from(self.values[x].largest());
        let bounds = Bounds::new(vec![acc; c], 0);
        let outputs = self.outputs(choices, [1, 1, c], &bounds, false)?;
        let x_linear = outputs[choices.below(outputs.len())].0;
        self.push(Op::GlobalAvgPool { x, outputs });
        let (o, w_bits) = (choices.of(&CHANNELS), choices.below(9) as u32);
        let w = weights(choices, &[o, c], w_bits)?;
        let b_int = (0..o).map(|_| choices.within(-70_000, 70_000)).collect();
        self.push(Op::Linear { x: x_linear, w, w_bits, b_int, logit_scale: vec![0.5; o] });
        Some((self.values, self.nodes))
    }

    fn push(&mut self, op: Op) {
        self.nodes.push(IntNode { name: format!("{}{}", op.kind(), self.nodes.len()), op });
    }

    /// A value with at most so many bits.
    fn value(&mut self, choices: &mut Choices<'_>, dims: [usize; 3], most: usize) -> usize {
        let bits = 1 + choices.below(most) as u32;
        let largest = (1 << bits) - 1;
        let zero_point = match choices.below(4) {
            0 => 0,
            1 => -(1 << (bits - 1)),
            2 => -choices.within(0, largest),
            _ => choices.within(-2 * largest, 2 * largest),
        };
        self.values.push(Value { dims, bits, zero_point, scale: 0.25 });
        self.values.len() - 1
    }

    /// A value that has been made.
    fn read(&self, choices: &mut Choices<'_>) -> usize {
        // Mostly the last, so that networks are deep.
        let back = if choices.rarely(3) { choices.below(self.values.len()) } else { 0 };
        self.values.len() - 1 - back
    }

    fn subsample(&mut self, choices: &mut Choices<'_>) {
        let x = self.read(choices);
        let (from, stride, lo) = (self.values[x].clone(), 1 + choices.below(3), choices.below(5));
        let [h, w, c] = from.dims;
        let dims = [h.div_ceil(stride), w.div_ceil(stride), lo + c + choices.below(5)];
        self.values.push(Value { dims, ..from });
        self.push(Op::SubsamplePad { x, y: self.values.len() - 1, stride, lo });
    }

    fn convolution(&mut self, choices: &mut Choices<'_>) -> Option<()> {
        let x = self.read(choices);
        let from = self.values[x].clone();
        let [h, w, c] = from.dims;
        let (kh, kw) = choices.of(&[(3, 3), (3, 3), (1, 1), (2, 2), (1, 3), (3, 1), (5, 5)]);
        let (o, stride, padding) = (choices.of(&CHANNELS), choices.of(&[1, 1, 2, 3]), choices.of(&[1, 0, 2]));
        let side = |side, k| extent(side, k, stride, padding);
        let dims = [side(h, kh)?, side(w, kw)?, o];
        let w_bits = choices.below(9) as u32;
        let w = weights(choices, &[o, kh, kw, c], w_bits)?;
        let largest = i64::from((from.largest() + from.zero_point).abs().max(from.zero_point.abs()));
        let sums = w.data().chunks(kh * kw * c).map(|w| w.iter().map(|w| i64::from(*w).abs()).sum());
        let largest = largest.max(i64::from(from.largest()));
        let acc = sums.map(|sum| accumulator_bound(largest, sum, 0)).collect();
        let same: Vec<usize> = (0..self.values.len()).filter(|&v| self.values[v].dims == dims).collect();
        let wanted = !same.is_empty() && choices.below(2) == 1;
        let residual = wanted.then(|| same[choices.below(same.len())]);
        let largest = residual.map_or(0, |r| i64::from(self.values[r].largest()));
        let bounds = Bounds::new(acc, largest);
        let outputs = self.outputs(choices, dims, &bounds, residual.is_some())?;
        self.push(Op::Conv2d { x, w, w_bits, stride, padding, residual, outputs });
        Some(())
    }

    /// One output or two, each with the numbers of eq 7.
    fn outputs(
        &mut self,
        choices: &mut Choices<'_>,
        dims: [usize; 3],
        bounds: &Bounds,
        residual: bool,
    ) -> Option<Vec<(usize, Requantize)>> {
        let count = 1 + usize::from(choices.rarely(3));
        let one = |builder: &mut Self| {
            let y = builder.value(choices, dims, 16);
            let largest = builder.values[y].largest();
            let lo = if choices.rarely(2) { choices.within(0, largest) } else { 0 };
            let hi = if choices.rarely(4) { choices.within(lo, largest) } else { largest };
            let q = if choices.rarely(3) {
                any_numbers(choices, bounds, residual, (lo, hi))
            } else {
                let spread = f64::from(largest) / bounds.acc.iter().copied().max().unwrap_or(0).max(1) as f64;
                let mut rng = choices.rng();
                let m = spread * choices.magnitude(-3, 6);
                let map = RealMap {
                    per_acc: bounds.acc.iter().map(|_| m * f64::from(0.1 + rng.uniform())).collect(),
                    per_residual: residual.then(|| choices.magnitude(-8, 3)),
                    offset: bounds.acc.iter().map(|_| f64::from(largest) * f64::from(rng.normal())).collect(),
                };
                one_line(Requantize::new(&map, bounds, lo, hi))?
            };
            Some((y, q))
        };
        let mut one = one;
        (0..count).map(|_| one(self)).collect()
    }
}

/// Shifts, multipliers and biases that no real map would give; the validation may refuse them.
fn any_numbers(
    choices: &mut Choices<'_>,
    bounds: &Bounds,
    residual: bool,
    (lo, hi): (i32, i32),
) -> Requantize {
    let (left, shift) = (choices.of(&[0, 0, 0, 1, 7, 20, 31]), choices.of(&[0, 1, 5, 16, 30, 31]));
    let (narrow, low) = (choices.below(32) as u32, choices.below(64) as u32);
    let mut rng = choices.rng();
    let mut word = || u64::from(rng.next_u32()) << 32 | u64::from(rng.next_u32());
    let multiplier = bounds.acc.iter().map(|_| word() as i32 >> narrow).collect();
    let bias = bounds.acc.iter().map(|_| word() as i64 >> low).collect();
    let k_r = choices.of(&[0, 1, 8, 15, 22, 30]);
    let residual = residual.then(|| (k_r, word() as i32 >> choices.below(32)));
    Requantize { left, shift, multiplier, bias, residual, lo, hi }
}

/// Weights on their grid: any, the extremes only, or mostly zero.
fn weights(choices: &mut Choices<'_>, dims: &[usize], bits: u32) -> Option<IntTensor<i8>> {
    let grid = Grid::of_weights(bits).ok()?;
    let (low, levels, how) = (grid.qmin, grid.levels(), choices.below(4));
    let mut rng = choices.rng();
    let code = |_| {
        let any = low + rng.below(levels) as i32;
        let code = match how {
            0 | 1 => any,
            2 => [low, low + levels as i32 - 1][rng.below(2)],
            _ => {
                if rng.below(8) == 0 {
                    any
                } else {
                    0
                }
            }
        };
        code as i8
    };
    let len = dims.iter().product::<usize>();
    if len > MOST {
        return None;
    }
    IntTensor::from_vec(dims, (0..len).map(code).collect()).ok()
}
