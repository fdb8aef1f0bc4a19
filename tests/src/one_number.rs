//! The page `docs/one-number.md`: one pixel and one weight of the bundled network, with their values at every stop.
//!
//! The test `one_number` writes the page (`BLESS=1`) or compares it. Float sums differ in their last bits from one
//! instruction set to the next, and with them the scales of activations: hence [`same`].

use std::error::Error;
use std::fmt::Write;

use engine::Tensor;
use models::data::cifar10::{CLASS_NAMES, Cifar10, SIDE, interleave};
use models::data::loader::Loader;
use models::formats::open::load_network;
use models::{Network, QuantizedNetwork};
use quant::int_graph::bitpack::pack;
use quant::int_graph::{IntGraph, IntNode, Op, reference};
use quant::numbers::uniform::{quantize_value, restore_value};
use quant::requantize::Requantize;
use quant::{Policy, QParams, QuantConfig, Quantizer};

/// The pixel in row and column 16 of the first test image, its red.
const AT: usize = 16;
/// Images calibrated on.
const IMAGES: usize = 256;

type Page<T> = Result<T, Box<dyn Error>>;

/// A layer in integers and its floats.
struct Stop<'a> {
    node: &'a IntNode,
    w: &'a Tensor,
    q_x: QParams,
    q_w: QParams,
}

/// The page.
///
/// # Errors
/// If the bundled network or images cannot be read.
pub fn page() -> Page<String> {
    let float = load_network(models::assets::folder().join("ResNet20.safetensors"), None)?;
    let data = Cifar10::open(models::assets::cifar10_slice())?;
    let loader =
        Loader::evaluation(&data.train, 64, float.normalization).over((0..IMAGES).collect::<Vec<_>>());
    let config = QuantConfig { bits: "W4A4".parse()?, policy: Policy::Product, ..QuantConfig::default() };
    let quantized = QuantizedNetwork::calibrate(&float, &Quantizer::new(config), loader.epoch(0))?;
    let graph = quantized.lower()?;
    let image = interleave(data.test.image(0));
    let trace = reference::run(&graph, &image);

    let mut page = String::from(HEAD);
    let first = stop(&quantized, &graph, "conv1")?;
    let channel = pixel(&mut page, &float, &first, &image)?;
    let sum = convolution(&graph, &first, &trace.codes, channel)?;
    writeln!(page, "\n## 4. The pixel's sum\n\n{sum}")?;
    let second = stop(&quantized, &graph, "layer1.0.conv1")?;
    let filter = weight(&mut page, &second, channel, &graph, &trace.codes)?;
    let sum = convolution(&graph, &second, &trace.codes, filter)?;
    writeln!(page, "\n## 8. Its sum and the next code\n\n{sum}")?;
    logits(&mut page, &graph, &image, &trace)?;
    Ok(page)
}

const HEAD: &str = "# One number, from image to logit\n
<!-- made by `BLESS=1 cargo test -p tests --test one_number`: edit tests/src/one_number.rs instead -->\n
[One weight's way](one-weight.md) explains each step with small numbers made up for it. Here the same steps are walked with the
numbers of the bundled network and the first test image of the bundled slice: one pixel, one weight, and the value of each
at every stop. A test computes the page and compares it; the last digits of float sums differ from one instruction set to
another, and so may those of scales and multipliers here.\n
The network is quantized with 4 bits (policy `product`: 8 for the first and the last layer), calibrated on 256 training
images. Formulas are those of [the registry](equations.md).\n";

/// The layer `name` of both networks.
fn stop<'a>(quantized: &'a QuantizedNetwork, graph: &'a IntGraph, name: &str) -> Page<Stop<'a>> {
    let quantization = &quantized.quantization;
    let widths = quantization.plan.get(name).ok_or("a quantized layer")?;
    let w = quantized.network.params.get(&format!("{name}.weight"))?;
    let node = graph.nodes().iter().find(|node| node.name == name).ok_or("a lowered layer")?;
    let (q_x, q_w) =
        (quantization.ranges.params(name, widths.a)?, quantization.weight_params(name, w, widths.w)?);
    Ok(Stop { node, w, q_x, q_w })
}

/// Stops 1 to 3: the pixel becomes a real number, its scale is calibrated, it becomes a code. Returns the channel of the
/// first layer that the pixel's centre weight adds most to.
fn pixel(page: &mut String, float: &Network, first: &Stop<'_>, image: &[u8]) -> Page<usize> {
    let byte = image[(AT * SIDE + AT) * 3];
    let x = float.normalization.apply(0, byte);
    let ((s, z), grid) = (first.q_x.channel(0), first.q_x.grid());
    let (lo, hi) = first.q_x.clip_range(0);
    let x_int = quantize_value(x, s, z, grid)?;
    writeln!(
        page,
        "\n## 1. The pixel\n\nRed of the pixel in row {AT}, column {AT} is the byte {byte}. Normalised it is the real number \
         `x = {x:.5}`.\n\n## 2. Calibration: the pixel's scale\n\nOver the calibration images the network sees numbers on the grid \
         of {} levels from {lo:.4} to {hi:.4}: `s_x = {s:.6}`, `z_x = {z}`.\n\n## 3. Fake quantization and the code\n\n\
         Eq 1 gives `x_int = clip(round({x:.5} / {s:.6}) - ({z})) = {x_int}`, and eq 3 goes back to `x_hat = {:.5}`: that number \
         is what a simulation in floats computes with. The two differ by `{:+.5}`, at most half a step. In the integer network the \
         whole of this is one look into a table of 256 codes.",
        grid.levels(),
        restore_value(x_int, s, z),
        restore_value(x_int, s, z) - x
    )?;
    let Op::Conv2d { w, .. } = &first.node.op else { return Err("a convolution".into()) };
    let &[o, kh, kw, c] = w.dims() else { return Err("four dimensions".into()) };
    let centre = |o: usize| i32::from(w.data()[((o * kh + kh / 2) * kw + kw / 2) * c]);
    let channel = (0..o).max_by_key(|o| ((x_int + z) * centre(*o)).abs()).ok_or("a channel")?;
    writeln!(
        page,
        "\nOf the {o} filters of `conv1`, filter {channel} weighs this pixel most when it stands in the middle: \
         `w_int = {}`, so that the pixel adds `({x_int} + ({z})) * {} = {}` to that filter's sum at its place.",
        centre(channel),
        centre(channel),
        (x_int + z) * centre(channel)
    )?;
    Ok(channel)
}

/// The sum of `channel` at the pixel, and what requantization makes of it, in words.
fn convolution(graph: &IntGraph, stop: &Stop<'_>, codes: &[Vec<i32>], channel: usize) -> Page<String> {
    let Op::Conv2d { x, w, padding, residual, outputs, .. } = &stop.node.op else {
        return Err("a convolution".into());
    };
    let (&[_, kh, kw, c], [_, width, _]) = (w.dims(), graph.values()[*x].dims) else {
        return Err("dims".into());
    };
    let z = graph.values()[*x].zero_point;
    let mut acc = 0i64;
    for (ky, kx, kc) in (0..kh).flat_map(|y| (0..kw).flat_map(move |x| (0..c).map(move |c| (y, x, c)))) {
        let (iy, ix) = (AT + ky - padding, AT + kx - padding);
        let x = codes[*x][(iy * width + ix) * c + kc] + z;
        acc += i64::from(x) * i64::from(w.data()[((channel * kh + ky) * kw + kx) * c + kc]);
    }
    let o = w.dims()[0];
    let place = (AT * width + AT) * o + channel;
    let mut text = format!(
        "The window of {kh} x {kw} x {c} codes around the pixel, times filter {channel}'s {} weights, adds up to \
         `acc = {acc}`. Nothing is rounded on the way, so that every kernel, with whatever instruction set and in whatever \
         order, has this integer.",
        kh * kw * c
    );
    if let [(wide, _), (narrow, _)] = outputs[..] {
        let bits = |y: usize| graph.values()[y].bits;
        text += &format!(
            " Two readers want it, each on a grid of its own: the residual sum behind the block, on {} bits, and the next \
             convolution, on {}.",
            bits(wide),
            bits(narrow)
        );
    }
    let r = residual.map(|r| codes[r][place]);
    for (y, q) in outputs {
        let (value, code) = (&graph.values()[*y], codes[*y][place]);
        assert_eq!(
            q.apply_ref(channel, acc, r.map_or(0, i64::from)),
            code,
            "the page's sum is the network's"
        );
        text += &requantized(q, channel, acc, (value.bits, value.scale, value.zero_point), code);
    }
    Ok(text)
}

/// Eq 7 with its numbers.
fn requantized(
    q: &Requantize,
    channel: usize,
    acc: i64,
    (bits, scale, z): (u32, f32, i32),
    code: i32,
) -> String {
    let (m, b) = (q.multiplier[channel], q.bias[channel]);
    let shift = 32 + q.shift;
    let real = f64::from(m) / 2f64.powi(shift as i32 - q.left as i32);
    format!(
        "\n\nOn the grid of {bits} bits (`s_y = {scale:.6}`, `z_y = {z}`) one unit of `acc` is {real:.6} codes: scales and batch \
         norm in one number, stored as `m = {m}` with a shift by {shift}. With the bias of {:.3} codes, the half for rounding \
         included, eq 7 is\n\n```text\ny_int = clip(floor(({acc} * {}{m} + {b}) / 2^{shift}); {}, {}) = {code}\n```\n\n\
         which stands for the real number `{:.4}`.",
        b as f64 / 2f64.powi(shift as i32),
        if q.left > 0 { format!("2^{} * ", q.left) } else { String::new() },
        q.lo,
        q.hi,
        f64::from(restore_value(code, scale, z))
    )
}

/// Stops 5 to 7: a weight of the second layer, its scale, its code, its place in the file and in a kernel. Returns the
/// filter it is of, the one whose centre weighs `channel` most.
fn weight(
    page: &mut String,
    stop: &Stop<'_>,
    channel: usize,
    graph: &IntGraph,
    codes: &[Vec<i32>],
) -> Page<usize> {
    let Op::Conv2d { x, w, w_bits, .. } = &stop.node.op else { return Err("a convolution".into()) };
    let &[o, kh, kw, c] = w.dims() else { return Err("four dimensions".into()) };
    let centre = |filter: usize| ((filter * kh + kh / 2) * kw + kw / 2) * c + channel;
    let filter = (0..o).max_by_key(|o| w.data()[centre(*o)].unsigned_abs()).ok_or("a filter")?;
    let n = centre(filter);
    let [_, width, _] = graph.values()[*x].dims;
    let x_int = codes[*x][(AT * width + AT) * c + channel];
    let (real, (s, z)) = (stop.w.data()[n], stop.q_w.channel(0));
    let code = w.data()[n];
    assert_eq!(
        quantize_value(real, s, z, stop.q_w.grid())?,
        i32::from(code),
        "the page's weight is the network's"
    );
    let bytes = pack(w.data(), *w_bits);
    let at = n * *w_bits as usize;
    let group = n / 4 * 4;
    let z_x = stop.q_x.channel(0).1;
    writeln!(
        page,
        "\n## 5. The weight\n\nThe code on {} bits, {x_int}, is what `layer1.0.conv1` reads. Take the weight that filter {filter} \
         has for it, the largest of all {o} filters: the middle of the window, input channel {channel}, in floats \
         `w = {real:.5}`.\n\nIts scale comes from all {} weights of the layer by the rule \
         `sawb` (eq 5): `s_w = {s:.6}`. `w_int = clip(round({real:.5} / {s:.6})) = {code}` on the grid {} to {}; restored, `w_hat = \
         {:.5}`.\n\nIts product is `({x_int} + {z_x}) * {code} = {}`.\n\n## 6. Packing\n\nIn the file the codes stand behind \
         each other, {w_bits} bits each, as `w_int - qmin`, so that they are unsigned. Weight {n} begins at bit {} of byte {}, which \
         is `0b{:08b}`; `{code} - ({}) = {}` is `0b{:0width$b}`.\n\n## 7. The kernel\n\nA kernel takes four input channels at once: \
         the bytes of four activations and of four weights, whose products one instruction adds to one 32-bit sum. Ours is among \
         the weights `{:?}` of channels {} to {}. How such kernels are built is told in [kernels](kernels.md).",
        graph.values()[*x].bits,
        stop.w.len(),
        stop.q_w.grid().qmin,
        stop.q_w.grid().qmax,
        restore_value(i32::from(code), s, z),
        (x_int + z_x) * i32::from(code),
        at % 8,
        at / 8,
        bytes[at / 8],
        stop.q_w.grid().qmin,
        i32::from(code) - stop.q_w.grid().qmin,
        i32::from(code) - stop.q_w.grid().qmin,
        &w.data()[group..group + 4],
        group % c,
        group % c + 3,
        width = *w_bits as usize,
    )?;
    Ok(filter)
}

/// Stop 9: how far the pixel reaches, node by node, and the logits.
fn logits(page: &mut String, graph: &IntGraph, image: &[u8], trace: &reference::Trace) -> Page<()> {
    let mut other = image.to_vec();
    let byte = &mut other[(AT * SIDE + AT) * 3];
    *byte = byte.wrapping_add(128);
    let changed = reference::run(graph, &other);
    writeln!(
        page,
        "\n## 9. To the logits\n\nThe same steps repeat. How far does one pixel reach? With the byte {} in the place of {}, and \
         nothing else changed, so many codes are others behind each node:\n\n| node | codes | others |\n|---|---|---|",
        other[(AT * SIDE + AT) * 3],
        image[(AT * SIDE + AT) * 3]
    )?;
    for node in graph.nodes() {
        if let Some(y) = node.op.outputs().next() {
            let pairs = trace.codes[y].iter().zip(&changed.codes[y]);
            let others = pairs.filter(|(a, b)| a != b).count();
            writeln!(page, "| `{}` | {} | {others} |", node.name, trace.codes[y].len())?;
        }
    }
    let (real, after) = (graph.real_logits(&trace.logits), graph.real_logits(&changed.logits));
    writeln!(
        page,
        "\nThe last layer's sums are the logits, integers in steps of `s_x s_w`; the largest is the answer, and no float was \
         needed to find it.\n\n| class | logit | in real numbers | with the other byte |\n|---|---|---|---|"
    )?;
    for (class, name) in CLASS_NAMES.iter().enumerate() {
        writeln!(page, "| {name} | {} | {:.3} | {:.3} |", trace.logits[class], real[class], after[class])?;
    }
    let best = engine::ops::argmax(&trace.logits);
    writeln!(page, "\nThe answer is **{}**.", CLASS_NAMES[best])?;
    Ok(())
}

/// Whether two pages say the same: equal words, and numbers that differ by no more than a hundredth, or by 2 where they
/// are counts or codes.
pub fn same(a: &str, b: &str) -> Result<(), String> {
    let number = |c: char| c.is_ascii_digit() || c == '.' || c == '-' || c == '+';
    let words = |text: &str| -> Vec<String> {
        let spaced: String =
            text.chars().map(|c| if number(c) || c.is_alphabetic() || c == '_' { c } else { ' ' }).collect();
        spaced.split_whitespace().map(|word| word.trim_end_matches('.').to_owned()).collect()
    };
    let (a, b) = (words(a), words(b));
    if a.len() != b.len() {
        return Err(format!("{} words and numbers, {} expected", a.len(), b.len()));
    }
    let near = |x: f64, y: f64| {
        (x - y).abs() <= (1e-2 * x.abs().max(y.abs())).max(2.0 * f64::from(u8::from(x.fract() == 0.0)))
    };
    for (x, y) in a.iter().zip(&b) {
        let equal = match (x.parse::<f64>(), y.parse::<f64>()) {
            (Ok(x), Ok(y)) => near(x, y) || (x - y).abs() < 2e-3,
            _ => x == y,
        };
        if !equal {
            return Err(format!("`{x}` where the page has `{y}`"));
        }
    }
    Ok(())
}
