//! The solutions pass the checks, and what nobody has solved does not.

use exercises::{Answer, Unsolved, checks, solutions};

macro_rules! solved {
    ($($function:ident),*) => {
        $(
            #[test]
            fn $function() {
                checks::$function(solutions::$function);
            }
        )*
    };
}

solved!(
    sigmoid_gradient,
    code,
    best_scale_for_codes,
    descend,
    clipped_gradient,
    accumulator_bits,
    maximum_after,
    widths_at_price,
    corrected,
    is_exact,
    step_gradient
);

/// Whether the check panics.
fn refused(check: impl FnOnce() + std::panic::UnwindSafe) -> bool {
    std::panic::catch_unwind(check).is_err()
}

#[test]
fn an_unsolved_exercise_fails_its_check() {
    assert!(refused(|| checks::is_exact(|_, _| Err(Unsolved))));
}

#[test]
fn likely_mistakes_fail_their_checks() {
    fn half_away_from_zero(x: f32, s: f32, z: i32, bits: u32, signed: bool) -> Answer<i32> {
        let t = x / s;
        if (t - t.trunc()).abs() == 0.5 {
            Ok(t.round() as i32 - z)
        } else {
            solutions::code(x, s, z, bits, signed)
        }
    }
    fn clipped_before_z(x: f32, s: f32, z: i32, bits: u32, signed: bool) -> Answer<i32> {
        Ok(solutions::code(x, s, 0, bits, signed)? - z)
    }
    assert!(refused(|| checks::code(half_away_from_zero)));
    assert!(refused(|| checks::code(clipped_before_z)));
    // Nothing done, and one turn only.
    assert!(refused(|| checks::descend(|_, start, _| Ok(start))));
    assert!(refused(|| checks::descend(|x, start, [lo, hi]| {
        let k: Vec<f64> = x.iter().map(|x| (x / start).round_ties_even().clamp(lo, hi)).collect();
        solutions::best_scale_for_codes(x, &k)
    })));
    // Edges half a step beyond the outermost levels.
    assert!(refused(|| checks::clipped_gradient(|x, dx, s, z, [lo, hi]| {
        Ok(if x >= s * ((lo + z) as f32 - 0.5) && x <= s * ((hi + z) as f32 + 0.5) { dx } else { 0.0 })
    })));
    // A sum of weights instead of their magnitudes.
    assert!(refused(|| checks::is_exact(|x, w| Ok(
        x as i64 * w.iter().map(|&w| i64::from(w)).sum::<i64>() <= 1 << 24
    ))));
    // The unsigned width.
    assert!(refused(|| checks::accumulator_bits(|x, w, b| Ok(solutions::accumulator_bits(x, w, b)? - 1))));
    assert!(refused(|| checks::step_gradient(|x, s, _| Ok((x / s).round() - x / s))));
    // Divided by a variance of zero.
    assert!(refused(|| checks::corrected(|[mean, var], f, q| Ok([mean + q[0] - f[0], var * q[1] / f[1]]))));
    assert!(refused(|| checks::corrected(|[mean, var], f, q| {
        let ratio = if q[1] > 0.0 { q[1] / f[1] } else { 1.0 };
        Ok([mean + q[0] - f[0], var * ratio])
    })));
}
