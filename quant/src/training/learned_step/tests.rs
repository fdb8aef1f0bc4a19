use super::*;

fn values() -> (Tensor, Tensor) {
    let x = Tensor::from_fn([40, 50], |i| ((i as f32 * 0.37).sin() + (i as f32 * 0.011).cos()) * 1.3);
    let dy = Tensor::from_fn([40, 50], |i| (i as f32 * 0.73).cos());
    (x, dy)
}

fn gradients(s: f32, grid: Grid, ste: Ste, gradient: StepGradient) -> (Tensor, f32) {
    let (x, dy) = values();
    let [_, dx, ds] = pass(x, dy, Tensor::scalar(s), (grid, ste, gradient));
    (dx, ds.data()[0])
}

/// `x_hat`, `dx`, `ds`.
fn pass(x: Tensor, dy: Tensor, s: Tensor, how: (Grid, Ste, StepGradient)) -> [Tensor; 3] {
    let mut tape = Tape::new();
    let (x, s) = (tape.leaf(x, true), tape.leaf(s, true));
    let y = fake_quantize_learned_on(&mut tape, x, s, how.0, how.1, how.2).unwrap();
    tape.backward(y, dy).unwrap();
    [tape.value(y).clone(), tape.grad(x).unwrap().clone(), tape.grad(s).unwrap().clone()]
}

#[test]
fn every_channel_is_a_tensor_of_its_own() {
    let (x, dy) = values();
    let s = Tensor::from_fn([40], |c| 0.1 + 0.02 * c as f32);
    let row = |t: &Tensor, c: usize| Tensor::from_vec([50], t.data()[50 * c..][..50].to_vec()).unwrap();
    for gradient in [StepGradient::Lsq, StepGradient::Pact] {
        let how = (Grid::signed(2).unwrap(), Ste::Clipped, gradient);
        let [x_hat, dx, ds] = pass(x.clone(), dy.clone(), s.clone(), how);
        for c in 0..40 {
            let alone = pass(row(&x, c), row(&dy, c), Tensor::scalar(s.data()[c]), how);
            let here = [row(&x_hat, c), row(&dx, c), Tensor::scalar(ds.data()[c])];
            assert_eq!(here, alone, "channel {c}");
        }
    }
    let mut tape = Tape::new();
    let (x, few) = (tape.leaf(x, true), tape.leaf(Tensor::full([3], 0.5), true));
    let grid = Grid::signed(2).unwrap();
    let e = fake_quantize_learned_on(&mut tape, x, few, grid, Ste::Clipped, StepGradient::Lsq).unwrap_err();
    assert!(e.to_string().contains("3 scales"), "{e}");
}

#[test]
fn the_step_gets_the_gradient_of_the_formula() {
    let (x, dy) = values();
    for grid in [Grid::signed(2).unwrap(), Grid::unsigned(2).unwrap(), Grid::signed(4).unwrap()] {
        for gradient in [StepGradient::Lsq, StepGradient::Pact] {
            let s = 0.31;
            // (9c) once more, in wide numbers: what a value adds to its step's gradient.
            let term = |x: f32, dy: f32| {
                let (t, lo, hi) = (f64::from(x) / f64::from(s), f64::from(grid.qmin), f64::from(grid.qmax));
                let inside = if gradient == StepGradient::Lsq { t.round() - t } else { 0.0 };
                let slope = match t {
                    t if t <= lo => lo,
                    t if t >= hi => hi,
                    _ => inside,
                };
                f64::from(dy) * slope
            };
            let of = |x: f32, dy: f32| f64::from(dy) * f64::from(gradient.of(x, s, grid));
            let (_, ds) = gradients(s, grid, Ste::Clipped, gradient);
            let terms = || x.data().iter().zip(dy.data());
            for expected in
                [terms().map(|(&x, &dy)| term(x, dy)).sum::<f64>(), terms().map(|(&x, &dy)| of(x, dy)).sum()]
            {
                assert!((f64::from(ds) - expected).abs() < 1e-3 * (1.0 + expected.abs()), "{ds} {expected}");
            }
        }
    }
}

/// A value that lies on the grid's end as exactly as floats can say counts as clipped, in sums as alone.
#[test]
fn the_ends_of_the_grid_count_as_beyond_it() {
    let mut edges = 0;
    for (i, signed) in (1..2000).zip([true, false].into_iter().cycle()) {
        let (s, grid) = (0.001 * i as f32, Grid::new(2 + i % 7, signed).unwrap());
        let x = s * grid.qmax as f32;
        if x / s == grid.qmax as f32 {
            edges += 1;
            let sum = step_gradient(&[x], &[1.0], s, grid, StepGradient::Lsq);
            assert_eq!(sum as f32, StepGradient::Lsq.of(x, s, grid), "{x} {s}");
        }
    }
    assert!(edges > 1000, "{edges}");
}

#[test]
fn by_hand() {
    // The grid is 0, 1, 2, 3 times 0.5.
    let grid = Grid::unsigned(2).unwrap();
    let of = |x, gradient: StepGradient| gradient.of(x, 0.5, grid);
    assert_eq!(of(-0.2, StepGradient::Lsq), 0.0);
    assert!((of(0.6, StepGradient::Lsq) - (1.0 - 1.2)).abs() < 1e-6);
    assert_eq!(of(0.6, StepGradient::Pact), 0.0);
    assert_eq!(of(7.0, StepGradient::Pact), 3.0);
}

#[test]
fn values_get_the_straight_through_gradient_that_was_asked_for() {
    let (x, dy) = values();
    let grid = Grid::signed(2).unwrap();
    let (dx, _) = gradients(0.5, grid, Ste::Identity, StepGradient::Lsq);
    assert_eq!(dx.data(), dy.data());
    let (dx, _) = gradients(0.5, grid, Ste::Clipped, StepGradient::Lsq);
    for ((dx, &x), &dy) in dx.data().iter().zip(x.data()).zip(dy.data()) {
        assert_eq!(*dx, if (-1.0..=0.5).contains(&x) { dy } else { 0.0 });
    }
}

#[test]
fn following_the_gradient_lowers_the_error_of_rounding() {
    // L = |x - x_hat|^2 / 2, so dy = x_hat - x; LSQ's gradient is L's true derivative where no code changes.
    let (x, _) = values();
    let grid = Grid::signed(3).unwrap();
    let error = |s: f32| {
        let x_hat = fake_quantize(&x, &QParams::per_tensor(grid, s, 0).unwrap()).unwrap();
        x.data().iter().zip(x_hat.data()).map(|(x, h)| f64::from(x - h).powi(2)).sum::<f64>()
    };
    let mut s = 1.5f32;
    for _ in 0..200 {
        let mut tape = Tape::new();
        let (vx, vs) = (tape.leaf(x.clone(), false), tape.leaf(Tensor::scalar(s), true));
        let y = fake_quantize_learned_on(&mut tape, vx, vs, grid, Ste::Clipped, StepGradient::Lsq).unwrap();
        let dy = Tensor::from_fn(x.shape(), |i| tape.value(y).data()[i] - x.data()[i]);
        tape.backward(y, dy).unwrap();
        s -= 0.02 * gradient_scale(x.len(), grid) * tape.grad(vs).unwrap().data()[0];
    }
    let best = (1..400).map(|i| error(i as f32 * 0.005)).fold(f64::INFINITY, f64::min);
    assert!(error(s) < 1.02 * best, "step {s}: {} against {best}", error(s));
}

/// Vectors of every width give the bits of the same function without them.
#[test]
fn every_instruction_set_gives_the_same_gradients() {
    let (x, dy) = values();
    for (ste, gradient) in [(Ste::Clipped, StepGradient::Lsq), (Ste::Identity, StepGradient::Pact)] {
        let of = LearnedStep { grid: Grid::signed(2).unwrap(), ste, gradient };
        let with = |run: &dyn Fn(Backward<'_>) -> f64| {
            let mut dy = dy.clone();
            let ds = run(Backward { x: x.data(), dy: dy.data_mut(), s: 0.31, of: &of });
            (ds.to_bits(), dy)
        };
        let plain = with(&|backward| backward.run());
        for isa in Isa::available() {
            assert_eq!(with(&|backward| isa.run_plain(backward)), plain, "{isa:?} {gradient:?}");
        }
    }
}
