use super::*;
use crate::ops::gradient_check::wave;
use crate::optim::Sgd;
use crate::{Tape, Var, ops};

/// input -> conv -> bn -> relu -> conv -> bn (+ input of the second conv) -> relu -> pool -> fc
fn small() -> Graph {
    let conv = |c| Layer::Conv2d { c, o: 4, kernel: 3, stride: 1, padding: 1 };
    let mut g = Graph::default();
    let x = g.add("input", Layer::Input, &[]);
    let c1 = g.add("conv1", conv(3), &[x]);
    let b1 = g.add("bn1", Layer::BatchNorm { c: 4 }, &[c1]);
    let r1 = g.add("relu1", Layer::Relu, &[b1]);
    let c2 = g.add("conv2", conv(4), &[r1]);
    let b2 = g.add("bn2", Layer::BatchNorm { c: 4 }, &[c2]);
    let sum = g.add("add", Layer::Add, &[b2, r1]);
    let r2 = g.add("relu2", Layer::Relu, &[sum]);
    let pool = g.add("pool", Layer::GlobalAvgPool, &[r2]);
    g.add("fc", Layer::Linear { i: 4, o: 10 }, &[pool]);
    g
}

#[test]
fn training_moves_the_running_averages_and_evaluation_does_not() {
    let g = small();
    let mut params = g.init(1).unwrap();
    let before = params.clone();
    g.infer(&params, wave([2, 5, 5, 3], 1), &mut Float).unwrap();
    assert_eq!(params, before);
    g.forward_train(&mut params, &mut Tape::new(), wave([2, 5, 5, 3], 1), &mut Float).unwrap();
    assert_ne!(params.get("bn1.running_mean").unwrap(), before.get("bn1.running_mean").unwrap());
    assert_ne!(params.get("bn2.running_var").unwrap(), before.get("bn2.running_var").unwrap());
    assert_eq!(params.get("conv1.weight").unwrap(), before.get("conv1.weight").unwrap());
}

#[test]
fn every_trainable_parameter_gets_a_gradient() {
    let g = small();
    let mut params = g.init(1).unwrap();
    let mut tape = Tape::new();
    let forward = g.forward_train(&mut params, &mut tape, wave([2, 5, 5, 3], 1), &mut Float).unwrap();
    let loss = ops::cross_entropy(&mut tape, forward.output, &[1, 2], 0.0).unwrap();
    tape.backward(loss, Tensor::scalar(1.0)).unwrap();
    for (param, var) in params.iter().zip(&forward.params) {
        let grad = var.and_then(|v| tape.grad(v));
        assert_eq!(grad.is_some(), param.role.trainable(), "{}", param.name);
    }
}

/// Doubles the weights of one layer and replaces the classifier.
struct Meddle {
    seen: Vec<String>,
}

impl Hook for Meddle {
    fn layer(&mut self, tape: &mut Tape, node: &Node, operands: Operands) -> Result<LayerQuant> {
        self.seen.push(node.name.clone());
        let mut layer = LayerQuant::from(operands);
        if node.name == "conv2" {
            layer.weight = ops::add(tape, layer.weight, layer.weight)?;
        }
        Ok(layer)
    }

    fn compute(&mut self, node: &Node, x: &Tensor, _: &Tensor, _: Option<&Tensor>) -> Result<Option<Tensor>> {
        Ok((node.name == "fc").then(|| Tensor::full([x.dims()[0], 10], 7.0)))
    }
}

#[test]
fn a_hook_sees_every_weighted_layer_and_may_replace_it() {
    let g = small();
    let params = g.init(1).unwrap();
    let mut hook = Meddle { seen: vec![] };
    let y = g.infer(&params, wave([2, 5, 5, 3], 1), &mut hook).unwrap();
    assert_eq!(hook.seen, ["conv1", "conv2"]);
    assert!(y.data().iter().all(|v| *v == 7.0));
}

#[test]
fn a_missing_parameter_is_named() {
    let g = small();
    let mut params = Params::default();
    for p in g.init(1).unwrap().iter().filter(|p| p.name != "bn2.bias") {
        params.push(p.name.clone(), p.role, p.value.clone()).unwrap();
    }
    let error = g.infer(&params, wave([1, 5, 5, 3], 1), &mut Float).unwrap_err().to_string();
    assert!(error.starts_with("parameter `bn2.bias` does not exist"), "{error}");
}

/// `|a - b| <= tolerance * max|b|`.
fn assert_close(what: &str, got: &Tensor, expected: &Tensor, tolerance: f32) {
    let bound = tolerance * expected.data().iter().fold(1e-3f32, |m, v| m.max(v.abs()));
    for (a, b) in got.data().iter().zip(expected.data()) {
        assert!((a - b).abs() <= bound, "{what}: {a} instead of {b}");
    }
}

/// Learns the input of `conv2` as `2 x`, mapped by the layer itself, and halves what enters the sum: everything a hook may
/// do to a layer.
struct Everything;

struct Twice;

impl ops::InputMap for Twice {
    fn forward(&self, x: &[f32], y: &mut [f32]) -> Result<()> {
        y.iter_mut().zip(x).for_each(|(y, x)| *y = 2.0 * x);
        Ok(())
    }

    fn backward(&self, _: &[f32], dy: &mut [f32]) {
        dy.iter_mut().for_each(|dy| *dy *= 2.0);
    }

    fn record(&self, tape: &mut Tape, x: Var) -> Result<Var> {
        ops::add(tape, x, x)
    }
}

impl Hook for Everything {
    fn layer(&mut self, _: &mut Tape, node: &Node, operands: Operands) -> Result<LayerQuant> {
        let mut layer = LayerQuant::from(operands);
        if node.name == "conv2" {
            layer.input = Input::Map(Box::new(Twice));
        }
        Ok(layer)
    }

    fn activation(&mut self, tape: &mut Tape, node: &Node, x: Incoming) -> Result<Var> {
        if node.name == "add" { ops::add(tape, x.var, x.var) } else { Ok(x.var) }
    }
}

/// Values, statistics and gradients of one training pass: `1e-5` of the largest.
#[test]
fn the_fast_interpreter_equals_the_plain_one() {
    let g = small();
    let params = g.init(1).unwrap();
    for hook in [&mut Float as &mut dyn Hook, &mut Everything] {
        let mut run = |fast: bool| {
            let (mut tape, mut params, x) = (Tape::new(), params.clone(), wave([3, 6, 5, 3], 1));
            let forward = if fast {
                g.forward_train(&mut params, &mut tape, x, hook).unwrap()
            } else {
                let forward = g.forward_plain(&params, &mut tape, x, Mode::Train, hook).unwrap();
                forward.update_averages(&g, &mut params).unwrap();
                forward
            };
            let logits = tape.value(forward.output).clone();
            tape.backward(forward.output, wave([3, 10], 2)).unwrap();
            let mut all: Vec<(String, Tensor)> = vec![("logits".into(), logits)];
            for (param, var) in params.iter().zip(&forward.params) {
                all.push((param.name.clone(), param.value.clone()));
                let gradient = var.and_then(|v| tape.take_grad(v));
                all.extend(gradient.map(|g| (format!("gradient of {}", param.name), g)));
            }
            all
        };
        for ((name, got), (_, expected)) in run(true).iter().zip(&run(false)) {
            assert_close(name, got, expected, 1e-5);
        }
    }
}

/// Doubles what enters every batch norm, and notes which.
#[derive(Default)]
struct Doubled(Vec<String>);

impl Hook for Doubled {
    fn normalize(&mut self, tape: &mut Tape, node: &Node, x: Incoming) -> Result<Var> {
        self.0.push(node.name.clone());
        ops::add(tape, x.var, x.var)
    }
}

/// With frozen statistics both interpreters ask at every batch norm, once: `1e-5` of the largest, values and gradients.
#[test]
fn both_interpreters_ask_what_enters_a_batch_norm() {
    let g = small();
    let params = g.init(1).unwrap();
    let run = |fast: bool, hook: &mut dyn Hook| {
        let (mut tape, x) = (Tape::new(), wave([3, 6, 5, 3], 1));
        let forward = match fast {
            true => g.forward_eval(&params, &mut tape, x, hook).unwrap(),
            false => g.forward_plain(&params, &mut tape, x, Mode::Eval, hook).unwrap(),
        };
        let logits = tape.value(forward.output).clone();
        tape.backward(forward.output, wave([3, 10], 2)).unwrap();
        let gradients = forward.params.iter().map(|v| v.and_then(|v| tape.take_grad(v)));
        std::iter::once(Some(logits)).chain(gradients).flatten().collect::<Vec<_>>()
    };
    let mut asked = [Doubled::default(), Doubled::default()];
    let [plain, fast] = [false, true].map(|fast| run(fast, &mut asked[usize::from(fast)]));
    for (i, (got, expected)) in fast.iter().zip(&plain).enumerate() {
        assert_close(&i.to_string(), got, expected, 1e-5);
    }
    assert_ne!(plain[0], run(false, &mut Float)[0]);
    asked.iter_mut().for_each(|hook| hook.0.sort());
    let norms = g.nodes().iter().filter(|n| matches!(n.layer, Layer::BatchNorm { .. }));
    let mut norms: Vec<String> = norms.map(|n| n.name.clone()).collect();
    norms.sort();
    assert_eq!(asked.map(|hook| hook.0), [norms.clone(), norms]);
}

#[test]
fn the_plain_interpreter_trains() {
    let g = small();
    let mut params = g.init(1).unwrap();
    let mut sgd = Sgd::new(0.9, false, 0.0, false);
    let mut losses = Vec::new();
    for _ in 0..20 {
        let mut tape = Tape::new();
        let x = wave([4, 5, 5, 3], 1);
        let forward = g.forward_plain(&params, &mut tape, x, Mode::Train, &mut Float).unwrap();
        let loss = ops::cross_entropy(&mut tape, forward.output, &[1, 2, 3, 4], 0.0).unwrap();
        losses.push(tape.value(loss).data()[0]);
        tape.backward(loss, Tensor::scalar(1.0)).unwrap();
        forward.update_averages(&g, &mut params).unwrap();
        let grads: Vec<_> = forward.params.iter().map(|v| v.and_then(|v| tape.grad(v))).collect();
        sgd.step(&mut params, &grads, 0.1).unwrap();
    }
    assert!(losses[19] < 0.5 * losses[0], "{losses:?}");
}

/// Learns a summand of every weight and of every input of `conv2`, with leaves of its own.
struct Learned(Vec<(&'static str, Var)>);

impl Hook for Learned {
    fn layer(&mut self, tape: &mut Tape, node: &Node, operands: Operands) -> Result<LayerQuant> {
        let mut layer = LayerQuant::from(operands);
        if node.name == "conv2" {
            for (what, var) in [("weight", operands.w), ("input", operands.x.var)] {
                self.0.push((what, tape.leaf(Tensor::zeros(tape.value(var).shape()), true)));
            }
            layer.weight = ops::add(tape, operands.w, self.0[0].1)?;
            layer.input = Input::Value(ops::add(tape, operands.x.var, self.0[1].1)?);
        }
        Ok(layer)
    }
}

#[test]
fn a_hook_may_learn_numbers_of_its_own() {
    let g = small();
    let mut params = g.init(1).unwrap();
    let (mut tape, mut hook) = (Tape::new(), Learned(vec![]));
    let forward = g.forward_train(&mut params, &mut tape, wave([2, 5, 5, 3], 1), &mut hook).unwrap();
    tape.backward(forward.output, wave([2, 10], 2)).unwrap();
    let w = forward.params[params.index("conv2.weight").unwrap()].unwrap();
    assert_eq!(tape.grad(hook.0[0].1), tape.grad(w), "what is added to a weight has the weight's gradient");
    assert!(tape.grad(hook.0[1].1).unwrap().data().iter().any(|v| *v != 0.0));
}
