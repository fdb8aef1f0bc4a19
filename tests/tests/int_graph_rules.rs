//! Every rule that an integer-only network keeps, at its edge: what is just allowed is allowed, and what is just beyond is
//! refused by the rule that it breaks. (A change that is allowed may break the next rule: then that one speaks.)

use quant::IntTensor;
use quant::int_graph::{IntGraph, IntNode, Op, Value, ValueId};
use quant::requantize::Requantize;

/// A network before it is checked.
#[derive(Clone)]
struct Net {
    values: Vec<Value>,
    nodes: Vec<Op>,
}

fn value(dims: [usize; 3], bits: u32) -> Value {
    Value { dims, bits, zero_point: 0, scale: 1.0 }
}

fn weights<const N: usize>(dims: [usize; N], w: i8) -> IntTensor<i8> {
    IntTensor::from_vec(dims, vec![w; dims.iter().product()]).unwrap()
}

/// Half of each sum, as codes up to `hi`.
fn half(channels: usize, hi: i32) -> Requantize {
    let (multiplier, bias) = (vec![1 << 30; channels], vec![1 << 31; channels]);
    Requantize { left: 1, shift: 0, multiplier, bias, residual: None, lo: 0, hi }
}

fn conv(x: ValueId, w: IntTensor<i8>, residual: Option<ValueId>, y: ValueId, hi: i32) -> Op {
    let q = half(w.dims()[0], hi);
    let q = Requantize { residual: residual.map(|_| (0, 1 << 30)), ..q };
    let padding = (w.dims()[1] - 1) / 2;
    Op::Conv2d { x, w, w_bits: 4, stride: 1, padding, residual, outputs: vec![(y, q)] }
}

/// Every kind of node once, and a convolution with a residual.
fn net() -> Net {
    let values = vec![
        value([4, 4, 2], 8),
        value([4, 4, 3], 4),
        value([4, 4, 3], 8),
        value([2, 2, 5], 8),
        value([1, 1, 5], 8),
    ];
    let nodes = vec![
        Op::Lookup { y: 0, table: vec![[7; 256]; 2] },
        conv(0, weights([3, 3, 3, 2], -8), None, 1, 15),
        conv(1, weights([3, 1, 1, 3], 7), Some(1), 2, 255),
        Op::SubsamplePad { x: 2, y: 3, stride: 2, lo: 1 },
        Op::GlobalAvgPool { x: 3, outputs: vec![(4, half(5, 255))] },
        linear(4, weights([2, 5], 1)),
    ];
    Net { values, nodes }
}

fn linear(x: ValueId, w: IntTensor<i8>) -> Op {
    let classes = w.dims()[0];
    Op::Linear { x, w, w_bits: 4, b_int: vec![0; classes], logit_scale: vec![1.0; classes] }
}

/// An image of one colour, as many channels as `x` has, the convolution `w` of them, the mean, one class.
fn narrow(x: Value, w: IntTensor<i8>, y: Value) -> Net {
    let image = value([x.dims[0], x.dims[1], 1], 8);
    let pooled = value([1, 1, y.dims[2]], 8);
    let of_one = weights([x.dims[2], 1, 1, 1], 1);
    let mut nodes = vec![
        Op::Lookup { y: 0, table: vec![[0; 256]] },
        conv(0, of_one, None, 1, x.largest()),
        conv(1, w, None, 2, y.largest()),
        Op::GlobalAvgPool { x: 2, outputs: vec![(3, half(y.dims[2], 255))] },
        linear(3, weights([1, y.dims[2]], 1)),
    ];
    // No padding, and a multiplier that every sum may have.
    for node in &mut nodes {
        if let Op::Conv2d { w_bits, padding, .. } = node {
            (*w_bits, *padding) = (8, 0);
        }
        if let Op::Conv2d { outputs, .. } | Op::GlobalAvgPool { outputs, .. } = node {
            let q = &mut outputs[0].1;
            q.left = 0;
            q.multiplier.fill(1 << 16);
        }
    }
    Net { values: vec![image, x, y, pooled], nodes }
}

impl Net {
    fn check(self) -> Result<(), String> {
        let node = |(i, op): (usize, Op)| IntNode { name: format!("node{i}"), op };
        IntGraph::new(self.values, self.nodes.into_iter().enumerate().map(node).collect())
            .map(|_| ())
            .map_err(|e| e.to_string())
    }
}

const SOUND: &str = "";

/// The network after a change: [`SOUND`], or refused for a reason.
#[track_caller]
fn expect(mut net: Net, change: impl FnOnce(&mut Net), reason: &str) {
    change(&mut net);
    match (net.check(), reason) {
        (Ok(()), SOUND) => {}
        (Err(e), reason) if reason != SOUND && e.contains(reason) && !e.contains('\n') => {}
        (result, reason) => panic!("expected {reason:?}, got {result:?}"),
    }
}

/// A field of a node, to be changed.
macro_rules! field {
    ($net:ident, $node:literal, $kind:ident.$field:ident) => {
        match &mut $net.nodes[$node] {
            Op::$kind { $field, .. } => $field,
            _ => unreachable!(),
        }
    };
}

#[test]
fn the_networks_of_this_file_are_sound() {
    expect(net(), |_| {}, SOUND);
    expect(narrow(value([4, 4, 1], 8), weights([1, 1, 1, 1], 1), value([4, 4, 1], 8)), |_| {}, SOUND);
}

#[test]
fn the_order_of_the_nodes() {
    let ends = "the first node must be the lookup, the last the linear layer";
    let second = |net: &mut Net| {
        net.values.push(value([4, 4, 1], 8));
        net.nodes.insert(1, Op::Lookup { y: 5, table: vec![[0; 256]] });
    };
    expect(net(), second, ends);
    expect(net(), |net| _ = net.nodes.remove(0), ends);
    expect(net(), |net| _ = net.nodes.pop(), ends);
    expect(net(), |net| net.nodes.insert(1, linear(4, weights([2, 5], 1))), ends);
    expect(net(), |net| net.nodes.push(linear(4, weights([2, 5], 1))), ends);
    expect(net(), |net| *net = Net { values: vec![], nodes: vec![] }, "there are no nodes");
    expect(net(), |net| net.values.push(value([1; 3], 8)), "a value is never written");
    expect(net(), |net| net.nodes.swap(2, 3), "reads value 2, which nothing has computed yet");
    expect(net(), |net| *field!(net, 1, Conv2d.x) = 5, "reads value 5, which nothing has computed yet");
    expect(net(), |net| field!(net, 1, Conv2d.outputs)[0].0 = 5, "writes value 5, which does not exist");
    expect(
        net(),
        |net| field!(net, 1, Conv2d.outputs)[0].0 = 0,
        "writes value 0, which does not exist or is",
    );
}

#[test]
fn the_values() {
    // A value that nobody writes is refused later than one that cannot be.
    let with = |v: Value, reason| expect(net(), |net| net.values.push(v), reason);
    let written = "a value is never written";
    let extents = "positive extents and 1 to 16 bits";
    for (dims, reason) in [
        ([1, 1, (1 << 16) - 1], written),
        ([1, 1, 1 << 16], extents),
        ([0, 1, 1], extents),
        ([1, 0, 1], extents),
        ([1, 1, 0], extents),
        ([1 << 14, (1 << 14) - 1, 1], written),
        ([1 << 14, 1 << 14, 1], extents),
    ] {
        with(value(dims, 8), reason);
    }
    for (bits, reason) in [(0, extents), (1, written), (16, written), (17, extents)] {
        with(value([1; 3], bits), reason);
    }
    let scale = "a scale that is positive and finite, |z| <= 2^21";
    for (z, reason) in
        [(1 << 21, written), (-1 << 21, written), ((1 << 21) + 1, scale), ((-1 << 21) - 1, scale)]
    {
        with(Value { zero_point: z, ..value([1; 3], 8) }, reason);
    }
    for (s, reason) in [
        (f32::MIN_POSITIVE, written),
        (f32::MAX, written),
        (0.0, scale),
        (-1.0, scale),
        (f32::NAN, scale),
        (f32::INFINITY, scale),
    ] {
        with(Value { scale: s, ..value([1; 3], 8) }, reason);
    }
}

#[test]
fn the_lookup() {
    let reason = "a table of codes for each channel";
    expect(net(), |net| field!(net, 0, Lookup.table)[1][9] = 255, SOUND);
    expect(net(), |net| _ = field!(net, 0, Lookup.table).pop(), reason);
    expect(net(), |net| net.values[0].bits = 9, reason);
    expect(net(), |net| net.values[0].bits = 3, SOUND);
    expect(net(), |net| net.values[0].bits = 2, reason); // 7 has three
}

#[test]
fn the_window_of_a_convolution() {
    let channels = "as many channels as the weights take, and a stride";
    let window = "a window that fits, real zero among the codes";
    let shape = "an output of the result's shape";
    expect(net(), |net| *field!(net, 1, Conv2d.w) = weights([3, 18], 1), "weights [O, KH, KW, C]");
    expect(net(), |net| *field!(net, 1, Conv2d.w) = weights([3, 3, 3, 1], 1), channels);
    for (stride, reason) in [(0, channels), (1, SOUND), ((1 << 16) - 1, shape), (1 << 16, channels)] {
        expect(net(), |net| *field!(net, 1, Conv2d.stride) = stride, reason);
    }
    // 4 x 4 x 2 with 5790 around it are 11584^2 * 2 codes, just below 2^28.
    let large = "an image that fits into memory with its padding";
    let wide = (1 << 16) - 1;
    for (padding, reason) in
        [(0, shape), (1, SOUND), (5790, shape), (5791, large), (wide, large), (1 << 16, channels)]
    {
        expect(net(), |net| *field!(net, 1, Conv2d.padding) = padding, reason);
    }
    for ((h, w), reason) in [((6, 6), shape), ((7, 6), window), ((6, 7), window)] {
        expect(net(), |net| *field!(net, 1, Conv2d.w) = weights([3, h, w, 2], 1), reason);
    }
    // Padding is real zero, whose code is -z.
    for (z, reason) in [(1, window), (0, SOUND), (-255, SOUND), (-256, window)] {
        expect(net(), |net| net.values[0].zero_point = z, reason);
    }
    let apart = |net: &mut Net| {
        net.values[1].zero_point = 1; // no padding around this one
        *field!(net, 2, Conv2d.residual) = None;
        field!(net, 2, Conv2d.outputs)[0].1.residual = None;
    };
    expect(net(), apart, SOUND);
}

#[test]
fn the_weights() {
    let bits = "weights of at most 8 bits";
    let grid = "weights on their grid";
    for (w_bits, w, reason) in [
        (4, -8, SOUND),
        (4, 7, SOUND),
        (4, 8, grid),
        (4, -9, grid),
        (8, -128, SOUND),
        (9, 0, bits),
        (0, 0, SOUND),
        (0, 1, grid),
    ] {
        let change = |net: &mut Net| {
            *field!(net, 1, Conv2d.w_bits) = w_bits;
            *field!(net, 1, Conv2d.w) = weights([3, 3, 3, 2], w);
        };
        expect(net(), change, reason);
        let change = |net: &mut Net| {
            *field!(net, 5, Linear.w_bits) = w_bits;
            *field!(net, 5, Linear.w) = weights([2, 5], w);
        };
        expect(net(), change, reason);
    }
}

/// 255 times the sum of the weights' sizes, or the largest code times it if that is more, is below `2^31`.
#[test]
fn the_sums_of_a_convolution() {
    let reason = "sums within 32 bits";
    // 65,793 times 128 times 255 is just below it.
    for (dims, reason) in [([1, 1, 3, 21931], SOUND), ([1, 1, 2, 32897], reason)] {
        for bits in [8, 1] {
            let x = value([1, dims[2], dims[3]], bits);
            expect(narrow(x, weights(dims, -128), value([1, 1, 1], 8)), |_| {}, reason);
        }
    }
    // The largest |x + z|, at either end of the codes; codes of 16 bits are summed byte by byte, without z.
    let shifted = |z: i32, bits, count, reason| {
        let x = Value { zero_point: z, ..value([1, 1, count], bits) };
        expect(narrow(x, weights([1, 1, 1, count], 1), value([1, 1, 1], 8)), |_| {}, reason);
    };
    for (count, reason) in [(2047, SOUND), (2048, reason)] {
        shifted(-1 << 20, 8, count, reason);
        shifted((1 << 20) - 255, 8, count, reason);
    }
    // A kernel shifts the sum without z, 255 * 381 where |x + z| is at most 128.
    for (left, reason) in [(14, SOUND), (15, "within 32 what is shifted")] {
        let x = Value { zero_point: -128, ..value([1, 1, 3], 8) };
        let net = narrow(x, weights([1, 1, 1, 3], 127), value([1, 1, 1], 8));
        expect(net, |net| field!(net, 2, Conv2d.outputs)[0].1.left = left, reason);
    }
    shifted(-1 << 20, 9, 2048, SOUND);
    shifted(-1 << 20, 16, 2048, SOUND);
    let dims = [1, 1, 2, 32897];
    let x = value([1, 2, 32897], 16);
    expect(narrow(x, weights(dims, -128), value([1, 1, 1], 8)), |_| {}, reason);
}

#[test]
fn what_a_convolution_makes() {
    let per_channel = "one multiplier and bias per channel, codes on the grid";
    let of_residual = "a multiplier for the residual";
    let safe = "sums within 64 bits";
    type Change = fn(&mut Requantize);
    let changes: [(Change, &str); 14] = [
        (|q| _ = q.multiplier.pop(), per_channel),
        (|q| _ = q.bias.pop(), per_channel),
        (|q| q.lo = -1, per_channel),
        (|q| q.lo = q.hi, SOUND),
        (|q| q.lo = q.hi + 1, per_channel),
        (|q| q.hi = 256, per_channel),
        (|q| q.hi = 254, SOUND),
        (|q| q.residual = None, of_residual),
        // v < 2^63: 15 * 21 * 2 * 2^30 and 15 * 2^30 beside the bias, which is below what is left.
        (|q| q.bias[2] = i64::MAX - (15 * 21 * 2 + 15) * (1 << 30), SOUND),
        (|q| q.bias[2] = i64::MAX - (15 * 21 * 2 + 15) * (1 << 30) + 1, safe),
        (|q| q.bias[2] = -(i64::MAX - (15 * 21 * 2 + 15) * (1 << 30)), SOUND),
        (|q| q.bias[2] = i64::MIN + (15 * 21 * 2 + 15) * (1 << 30), safe),
        (|q| q.shift = 32, safe),
        (|q| q.left = 32, safe),
    ];
    for (change, reason) in changes {
        expect(net(), |net| change(&mut field!(net, 2, Conv2d.outputs)[0].1), reason);
    }
    expect(net(), |net| field!(net, 2, Conv2d.outputs).clear(), "an output");
    expect(net(), |net| net.values[2].dims = [4, 4, 4], "an output of the result's shape");
    expect(net(), |net| *field!(net, 2, Conv2d.residual) = Some(0), "a residual of the result's shape");
    expect(net(), |net| *field!(net, 2, Conv2d.residual) = None, of_residual);
    // The residual's codes count: with 8 bits the same bias is too much.
    let wider = |net: &mut Net| {
        field!(net, 2, Conv2d.outputs)[0].1.bias[0] = i64::MAX - (15 * 21 * 2 + 15) * (1 << 30);
        field!(net, 1, Conv2d.outputs)[0].1.residual = None;
        net.values[1].bits = 8;
    };
    expect(net(), wider, safe);
}

#[test]
fn a_shortcut_without_weights() {
    let reason = "the shape and grid of its input";
    type Change = fn(&mut Net);
    let changes: [(Change, &str); 11] = [
        (|net| *field!(net, 3, SubsamplePad.stride) = 0, reason),
        (|net| *field!(net, 3, SubsamplePad.stride) = 3, SOUND), // ceil(4 / 3)
        (|net| *field!(net, 3, SubsamplePad.stride) = 1, reason),
        (|net| *field!(net, 3, SubsamplePad.lo) = 2, SOUND),
        (|net| *field!(net, 3, SubsamplePad.lo) = 3, reason),
        (|net| *field!(net, 3, SubsamplePad.lo) = usize::MAX, reason),
        (|net| net.values[3].dims = [2, 1, 5], reason),
        (|net| net.values[3].dims = [1, 2, 5], reason),
        (|net| net.values[3].bits = 9, reason),
        (|net| net.values[3].zero_point = -1, reason),
        (|net| [2, 3].map(|v| net.values[v].zero_point = 1).into_iter().collect(), reason), // no real zero
    ];
    for (change, reason) in changes {
        expect(net(), change, reason);
    }
}

#[test]
fn the_mean_over_all_pixels() {
    let sum = "a sum within 32 bits, and an output";
    // 2^15 codes of 16 bits.
    for (dims, reason) in [([256, 128, 1], SOUND), ([10923, 3, 1], sum), ([1 << 15, 1, 1], SOUND)] {
        expect(narrow(value(dims, 8), weights([1, 1, 1, 1], 1), value(dims, 16)), |_| {}, reason);
    }
    type Change = fn(&mut Requantize);
    let changes: [(Change, &str); 4] = [
        (|q| q.residual = Some((0, 1)), "no residual"),
        (|q| q.bias[4] = i64::MAX - 4 * 255 * 2 * (1 << 30), SOUND),
        (|q| q.bias[4] = i64::MAX - 4 * 255 * 2 * (1 << 30) + 1, "sums within 64 bits"),
        (|q| q.hi = 256, "codes on the grid"),
    ];
    for (change, reason) in changes {
        expect(net(), |net| change(&mut field!(net, 4, GlobalAvgPool.outputs)[0].1), reason);
    }
    expect(net(), |net| field!(net, 4, GlobalAvgPool.outputs).clear(), sum);
    for dims in [[2, 1, 5], [1, 2, 5], [1, 1, 4]] {
        expect(net(), |net| net.values[4].dims = dims, "an output of the result's shape");
    }
}

#[test]
fn the_logits() {
    let bias = "a bias for each class";
    let scales = "scales that are positive and finite";
    let sums = "logits within 32 bits";
    expect(net(), |net| *field!(net, 5, Linear.w) = weights([2, 1, 5], 1), "weights [O, I]");
    expect(net(), |net| *field!(net, 5, Linear.w) = weights([2, 4], 1), bias);
    expect(net(), |net| *field!(net, 5, Linear.w) = weights([1, 5], 1), bias);
    expect(net(), |net| field!(net, 5, Linear.b_int).push(0), bias);
    expect(net(), |net| field!(net, 5, Linear.logit_scale).push(1.0), bias);
    for s in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        expect(net(), |net| field!(net, 5, Linear.logit_scale)[1] = s, scales);
    }
    // 5 weights of 1 on codes of 255.
    for (b, reason) in [(i32::MAX - 1275, SOUND), (i32::MAX - 1274, sums), (-i32::MAX + 1275, SOUND)] {
        expect(net(), |net| field!(net, 5, Linear.b_int)[1] = b, reason);
    }
    expect(net(), |net| field!(net, 5, Linear.b_int)[1] = -i32::MAX + 1274, sums);
    expect(net(), |net| field!(net, 5, Linear.b_int)[0] = i32::MIN, sums);
}
