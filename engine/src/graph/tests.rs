use super::*;
use crate::ops::gradient_check::wave;
use crate::{Float, Tape, Var, ops};

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
    fn weight(&mut self, tape: &mut Tape, node: &Node, w: Var) -> Result<Var> {
        self.seen.push(node.name.clone());
        if node.name == "conv2" { ops::add(tape, w, w) } else { Ok(w) }
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
