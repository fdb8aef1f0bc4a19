//! A suite that cannot fail proves nothing, so it is tried here on wrong kernels: on models of the mistakes that are near
//! at hand, among them `vpmaddubsw` with weights of 8 bits.

use super::super::*;
use super::{Collect, suite};

/// A kernel as the formula reads, save that a group of four products is summed by `group`, which is told where it
/// stands: plane, segment, group in the segment.
fn model(layer: &Layer<'_>, sums: &mut Collect, group: impl Fn([usize; 3], [u8; 4], [i8; 4]) -> i32) {
    let channels = layer.panels.count() * NR;
    for (i, sum) in sums.sums.iter_mut().enumerate() {
        let (plane, position, channel) = (i / sums.seen.len(), i % sums.seen.len() / channels, i % channels);
        let start = position / layer.cols * layer.row_step + position % layer.cols * layer.col_step;
        for at in 0..layer.segments * layer.groups {
            let (segment, g) = (at / layer.groups, at % layer.groups);
            let x = &layer.planes[plane][start + segment * layer.segment_stride + g * K_GROUP..];
            let w = std::array::from_fn(|k| layer.panels.weight(channel, at * K_GROUP + k));
            *sum = sum.wrapping_add(group([plane, segment, g], x[..K_GROUP].try_into().unwrap(), w));
        }
    }
    sums.seen.fill(true);
}

/// `vpmaddubsw`, then `vpmaddwd` with ones: pairs of products saturate in 16 bits.
fn maddubs(x: [u8; 4], w: [i8; 4]) -> i32 {
    let product = |k| i32::from(x[k]) * i32::from(w[k]);
    let pair = |k| (product(k) + product(k + 1)).clamp(i16::MIN.into(), i16::MAX.into());
    pair(0) + pair(2)
}

/// `smull`, then `smlal` into the same 16 bits, of codes made signed: pairs wrap. And the correction.
fn smlal(x: [u8; 4], w: [i8; 4]) -> i32 {
    let product = |k| (i16::from(x[k]) - 128) * i16::from(w[k]);
    let pair = |k| i32::from(product(k).wrapping_add(product(k + 1)));
    pair(0) + pair(2) + 128 * w.iter().map(|&w| i32::from(w)).sum::<i32>()
}

fn exact(x: [u8; 4], w: [i8; 4]) -> i32 {
    (0..4).map(|k| i32::from(x[k]) * i32::from(w[k])).sum()
}

#[test]
fn wrong_kernels_are_found() {
    let scalar = of_isa("scalar", 128);
    let of = |name, max_weight| MicroKernel { name, max_weight, ..*scalar };
    let (wide, narrow) = (of("model of 8 bits", 128), of("model of 7 bits", 64));

    // The model itself is right, and so is `vpmaddubsw` where the table uses it.
    suite(&wide, &|layer, _, sums| model(layer, sums, |_, x, w| exact(x, w))).unwrap();
    suite(&narrow, &|layer, _, sums| model(layer, sums, |_, x, w| maddubs(x, w))).unwrap();

    type Wrong<'a> = (&'a str, &'a dyn Fn(&Layer<'_>, [usize; 3], [u8; 4], [i8; 4]) -> i32);
    let wrong: [Wrong<'_>; 5] = [
        ("saturates pairs", &|_, _, x, w| maddubs(x, w)),
        ("wraps pairs", &|_, _, x, w| smlal(x, w)),
        ("forgets the last group of a run", &|layer, [_, _, g], x, w| {
            if layer.groups > 1 && g == layer.groups - 1 { 0 } else { exact(x, w) }
        }),
        ("takes codes for signed", &|_, _, x, w| {
            (0..4).map(|k| i32::from(x[k] as i8) * i32::from(w[k])).sum()
        }),
        ("forgets the second plane", &|_, [plane, ..], x, w| if plane == 1 { 0 } else { exact(x, w) }),
    ];
    for (what, group) in wrong {
        let found = suite(&wide, &|layer, _, sums| model(layer, sums, |at, x, w| group(layer, at, x, w)));
        let found = found.expect_err(what);
        eprintln!("a kernel that {what} is found: {found}");
    }
}
