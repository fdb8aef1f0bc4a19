use super::*;
use crate::ops::gradient_check::wave;
use crate::{Float, Graph, Layer, Mode, Tape};

/// A block with both kinds of shortcut behind each other, 16 channels: every kind of step.
fn network() -> Graph {
    let conv = |c, o, kernel, stride, padding| Layer::Conv2d { c, o, kernel, stride, padding };
    let mut g = Graph::default();
    let mut layer = |name: &str, layer: Layer, inputs: &[usize]| g.add(name, layer, inputs);
    let x = layer("x", Layer::Input, &[]);
    let c = layer("c", conv(3, 16, 3, 1, 1), &[x]);
    let n = layer("n", Layer::BatchNorm { c: 16 }, &[c]);
    let r = layer("r", Layer::Relu, &[n]);
    let c = layer("c1", conv(16, 16, 3, 1, 1), &[r]);
    let n = layer("n1", Layer::BatchNorm { c: 16 }, &[c]);
    let s = layer("s1", Layer::Add, &[n, r]);
    let r = layer("r1", Layer::Relu, &[s]);
    let c = layer("c2", conv(16, 32, 3, 2, 1), &[r]);
    let n = layer("n2", Layer::BatchNorm { c: 32 }, &[c]);
    let p = layer("p2", Layer::SubsamplePad { stride: 2, lo: 8, hi: 8 }, &[r]);
    let s = layer("s2", Layer::Add, &[n, p]);
    let r = layer("r2", Layer::Relu, &[s]);
    let c = layer("c3", conv(32, 64, 1, 2, 0), &[r]);
    let n = layer("n3", Layer::BatchNorm { c: 64 }, &[c]);
    let p = layer("p", Layer::GlobalAvgPool, &[n]);
    layer("fc", Layer::Linear { i: 64, o: 10 }, &[p]);
    g
}

#[test]
fn a_graph_that_ends_in_a_convolution_is_refused_and_so_are_other_channels() {
    let mut g = Graph::default();
    let x = g.add("x", Layer::Input, &[]);
    g.add("c", Layer::Conv2d { c: 1, o: 16, kernel: 1, stride: 1, padding: 0 }, &[x]);
    let refused = |g: &Graph, image| {
        let compiled = Inference::compile(g, &g.init(1).unwrap(), image, Isa::active());
        compiled.err().expect("a refusal").to_string()
    };
    let message = refused(&g, [1, 2, 1]);
    assert!(message.contains("`c` is used without the batch norm behind it"), "{message}");
    let message = refused(&network(), [8, 12, 4]);
    assert_eq!(message, "graph: layer `c` takes an image of 3 channels and is given an image of 8x12x4");
}

/// A weight that is no number makes logits that are none, on every instruction set.
#[test]
fn nan_reaches_the_logits() {
    let g = network();
    for layer in ["c", "c1", "c2", "c3"] {
        let mut params = g.init(1).unwrap();
        let weight = params.iter_mut().find(|p| p.name == format!("{layer}.weight")).unwrap();
        weight.value.data_mut().fill(f32::NAN);
        for isa in Isa::available() {
            let compiled = Inference::compile(&g, &params, [8, 12, 3], isa).unwrap();
            let logits = compiled.run(&wave([2, 8, 12, 3], 1)).unwrap();
            assert!(logits.data().iter().all(|v| v.is_nan()), "{layer}, {}", isa.name());
        }
    }
}

/// `|a - b| <= 1e-5 * max|b|`, on every instruction set of this machine.
#[test]
fn equals_the_plain_interpreter() {
    let g = network();
    let mut params = g.init(1).unwrap();
    for (i, p) in params.iter_mut().enumerate().filter(|(_, p)| p.value.dims().len() == 1) {
        p.value = wave(p.value.shape(), i as u32).map(|v| 1.0 + 0.5 * v);
    }
    let (x, mut tape) = (wave([3, 8, 12, 3], 1), Tape::inference());
    let expected = g.forward_plain(&params, &mut tape, x.clone(), Mode::Eval, &mut Float).unwrap().output;
    let expected = tape.value(expected);
    let bound = 1e-5 * expected.data().iter().fold(0.0f32, |m, v| m.max(v.abs()));
    for isa in Isa::available() {
        let got = Inference::compile(&g, &params, [8, 12, 3], isa).unwrap().run(&x).unwrap();
        for (a, b) in got.data().iter().zip(expected.data()) {
            assert!((a - b).abs() <= bound, "{}: {a} instead of {b}", isa.name());
        }
    }
}

/// The image behind the first block, borders left out; one of a single pixel is an image too, and a pool's row is none.
#[test]
fn a_graph_may_end_with_an_image_or_a_pool() {
    for (nodes, [h, w], dims) in
        [(8, [8, 12], vec![3, 8, 12, 16]), (15, [2, 3], vec![3, 1, 1, 64]), (16, [8, 12], vec![3, 64])]
    {
        let (whole, mut g) = (network(), Graph::default());
        whole.nodes()[..nodes].iter().for_each(|node| {
            g.add(node.name.clone(), node.layer, &node.inputs);
        });
        let params = g.init(1).unwrap();
        let (x, mut tape) = (wave([3, h, w, 3], 1), Tape::inference());
        let expected = g.forward_plain(&params, &mut tape, x.clone(), Mode::Eval, &mut Float).unwrap().output;
        let got = Inference::compile(&g, &params, [h, w, 3], Isa::active()).unwrap().run(&x).unwrap();
        assert_eq!((got.dims(), tape.value(expected).dims()), (&dims[..], &dims[..]));
        for (a, b) in got.data().iter().zip(tape.value(expected).data()) {
            assert!((a - b).abs() <= 1e-4, "{a} instead of {b}");
        }
    }
}

/// No images give no logits.
#[test]
fn no_images_are_no_error() {
    let g = network();
    let compiled = Inference::compile(&g, &g.init(1).unwrap(), [8, 12, 3], Isa::active()).unwrap();
    assert_eq!(compiled.run(&Tensor::zeros([0, 8, 12, 3])).unwrap().dims(), [0, 10]);
}
