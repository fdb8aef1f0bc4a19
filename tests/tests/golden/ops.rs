//! Every operation's value and gradients against PyTorch's.

use engine::fast::{self, Algorithm};
use engine::ops::{self, BatchNormMode, BatchStats};
use engine::{Result, Tape, Tensor, Var};

use crate::fixture::{Golden, assert_close};

/// Checks the gradients of `inputs` (`<op>.d<input>`) for the incoming `<op>.dy`.
fn check_gradients(golden: &Golden, op: &str, mut tape: Tape, y: Var, inputs: &[(&str, Var)]) {
    tape.backward(y, golden.tensor(&format!("{op}.dy"))).unwrap();
    for (name, var) in inputs {
        let got = tape.grad(*var).unwrap_or_else(|| panic!("{op}: no gradient of {name}"));
        assert_close(&format!("{op}.d{name}"), got, &golden.tensor(&format!("{op}.d{name}")), 1e-5);
    }
}

#[test]
fn conv2d() {
    let golden = Golden::open("ops");
    let mut cases: Vec<String> =
        golden.keys().iter().filter_map(|k| k.strip_suffix(".stride_padding").map(String::from)).collect();
    cases.sort();
    assert!(!cases.is_empty());
    for op in cases {
        for fast in [false, true] {
            let mut tape = Tape::new();
            let [x, w, b] = ["x", "w", "b"].map(|k| tape.leaf(golden.tensor(&format!("{op}.{k}")), true));
            let geometry = golden.i32(&format!("{op}.stride_padding"));
            let [stride, padding] = [geometry[0] as usize, geometry[1] as usize];
            let y = if fast {
                fast::conv2d(&mut tape, Algorithm::default(), x, w, Some(b), [stride, padding]).unwrap()
            } else {
                ops::conv2d(&mut tape, x, w, Some(b), stride, padding).unwrap()
            };
            assert_close(&op, tape.value(y), &golden.tensor(&format!("{op}.y")), 1e-5);
            check_gradients(&golden, &op, tape, y, &[("x", x), ("w", w), ("b", b)]);
        }
    }
}

#[test]
fn linear() {
    let golden = Golden::open("ops");
    let mut tape = Tape::new();
    let [x, w, b] = ["x", "w", "b"].map(|k| tape.leaf(golden.tensor(&format!("linear.{k}")), true));
    let y = ops::linear(&mut tape, x, w, b).unwrap();
    assert_close("linear", tape.value(y), &golden.tensor("linear.y"), 1e-5);
    check_gradients(&golden, "linear", tape, y, &[("x", x), ("w", w), ("b", b)]);
}

#[test]
fn global_avg_pool() {
    let golden = Golden::open("ops");
    let mut tape = Tape::new();
    let x = tape.leaf(golden.tensor("global_avg_pool.x"), true);
    let y = ops::global_avg_pool(&mut tape, x).unwrap();
    assert_close("global_avg_pool", tape.value(y), &golden.tensor("global_avg_pool.y"), 1e-6);
    check_gradients(&golden, "global_avg_pool", tape, y, &[("x", x)]);
}

#[test]
fn batch_norm() {
    for norm in [ops::batch_norm, fast::batch_norm] {
        check_batch_norm(norm);
    }
}

type BatchNorm = fn(&mut Tape, Var, Var, Var, BatchNormMode<'_>) -> Result<(Var, Option<BatchStats>)>;

fn check_batch_norm(norm: BatchNorm) {
    let golden = Golden::open("ops");
    let get = |k: &str| golden.tensor(&format!("batch_norm.{k}"));
    let mut tape = Tape::new();
    let [x, gamma, beta] = ["x", "gamma", "beta"].map(|k| tape.leaf(get(k), true));
    let (y, stats) = norm(&mut tape, x, gamma, beta, BatchNormMode::Train { eps: 1e-5 }).unwrap();
    assert_close("batch_norm.y", tape.value(y), &get("y"), 1e-5);
    // From running averages 0 and 1: momentum 0.1, unbiased variance.
    let stats = stats.unwrap();
    let c = stats.mean.len();
    let unbias = stats.count as f32 / (stats.count - 1) as f32;
    let mean = Tensor::from_fn([c], |i| 0.1 * stats.mean[i]);
    let var = Tensor::from_fn([c], |i| 0.9 + 0.1 * stats.var[i] * unbias);
    assert_close("batch_norm.running_mean", &mean, &get("running_mean"), 1e-5);
    assert_close("batch_norm.running_var", &var, &get("running_var"), 1e-5);
    let eval = BatchNormMode::Eval { mean: mean.data(), var: var.data(), eps: 1e-5 };
    let (y_eval, _) = norm(&mut tape, x, gamma, beta, eval).unwrap();
    assert_close("batch_norm.y_eval", tape.value(y_eval), &get("y_eval"), 1e-5);
    check_gradients(&golden, "batch_norm", tape, y, &[("x", x), ("gamma", gamma), ("beta", beta)]);
}

#[test]
fn cross_entropy() {
    let golden = Golden::open("ops");
    let labels: Vec<usize> = golden.i32("cross_entropy.labels").iter().map(|&l| l as usize).collect();
    let loss = |smoothing: f32| {
        let mut tape = Tape::new();
        let x = tape.leaf(golden.tensor("cross_entropy.x"), true);
        let loss = ops::cross_entropy(&mut tape, x, &labels, smoothing).unwrap();
        let value = tape.value(loss).data()[0];
        tape.backward(loss, Tensor::scalar(1.0)).unwrap();
        (value, tape.take_grad(x).unwrap())
    };
    let ((plain, dx), (smoothed, dx_smoothed)) = (loss(0.0), loss(0.1));
    let expect = |key: &str| golden.f32(&format!("cross_entropy.{key}"))[0];
    assert!((plain - expect("loss")).abs() <= 1e-6 * expect("loss"), "{plain}");
    let want = expect("loss_smoothed_0.1");
    assert!((smoothed - want).abs() <= 1e-6 * want, "{smoothed} instead of {want}");
    // The fixture's gradient belongs to one of the two losses.
    let want = golden.tensor("cross_entropy.dx");
    let distance =
        |dx: &Tensor| dx.data().iter().zip(want.data()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(
        distance(&dx).min(distance(&dx_smoothed)) <= 1e-6,
        "{} {}",
        distance(&dx),
        distance(&dx_smoothed)
    );
}
