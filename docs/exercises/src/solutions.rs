//! One solution for each exercise. Others are as good.

use crate::Answer;

/// Of [`chapter_0`](crate::chapter_0): `dy/dx = y (1 - y)`.
pub fn sigmoid_gradient(y: f32, dy: f32) -> Answer<f32> {
    Ok(dy * y * (1.0 - y))
}

/// Of [`chapter_1`](crate::chapter_1).
pub fn code(x: f32, s: f32, z: i32, bits: u32, signed: bool) -> Answer<i32> {
    let levels = 1 << bits;
    let qmin = if signed { -levels / 2 } else { 0 };
    let rounded = (f64::from(x) / f64::from(s)).round_ties_even();
    Ok((rounded - f64::from(z)).clamp(f64::from(qmin), f64::from(qmin + levels - 1)) as i32)
}

/// Of [`chapter_2`](crate::chapter_2).
pub fn best_scale_for_codes(x: &[f64], k: &[f64]) -> Answer<f64> {
    let sum = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    Ok(sum(x, k) / sum(k, k))
}

/// Of [`chapter_2`](crate::chapter_2). The error falls in every turn, and there are finitely many codes, so it ends.
pub fn descend(x: &[f64], start: f64, [qmin, qmax]: [f64; 2]) -> Answer<f64> {
    let mut s = start;
    loop {
        let k: Vec<f64> = x.iter().map(|x| (x / s).round_ties_even().clamp(qmin, qmax)).collect();
        let next = best_scale_for_codes(x, &k)?;
        if (next - s).abs() <= 1e-12 * s {
            return Ok(next);
        }
        s = next;
    }
}

/// Of [`chapter_3`](crate::chapter_3): the edges are the outermost levels.
pub fn clipped_gradient(x: f32, dx_hat: f32, s: f32, z: i32, [qmin, qmax]: [i32; 2]) -> Answer<f32> {
    let inside = x >= s * (qmin + z) as f32 && x <= s * (qmax + z) as f32;
    Ok(if inside { dx_hat } else { 0.0 })
}

/// Of [`chapter_4`](crate::chapter_4).
pub fn accumulator_bits(largest_x: u64, w_int: &[i8], b_int: i64) -> Answer<u32> {
    let weights: u64 = w_int.iter().map(|w| u64::from(w.unsigned_abs())).sum();
    let bound = largest_x * weights + b_int.unsigned_abs();
    Ok(u64::BITS - bound.leading_zeros() + 1)
}

/// Of [`chapter_5`](crate::chapter_5).
pub fn maximum_after(batches: &[f32], decay: f32) -> Answer<f32> {
    let later = batches[1..].iter();
    Ok(later.fold(batches[0], |max, batch| decay * max + (1.0 - decay) * batch))
}

/// Of [`chapter_6`](crate::chapter_6): no layer has to ask another.
pub fn widths_at_price(layers: &[Vec<[f64; 2]>], lambda: f64) -> Answer<Vec<usize>> {
    let price = |[bytes, drop]: [f64; 2]| bytes + lambda * drop;
    let best = |layer: &Vec<[f64; 2]>| {
        let cheapest = (0..layer.len()).min_by(|&a, &b| price(layer[a]).total_cmp(&price(layer[b])));
        cheapest.expect("a layer has a width")
    };
    Ok(layers.iter().map(best).collect())
}

/// Of [`chapter_7`](crate::chapter_7).
pub fn corrected([mean, var]: [f64; 2], f: [f64; 2], q: [f64; 2]) -> Answer<[f64; 2]> {
    let ratio = if f[1] > 0.0 && q[1] > 0.0 { q[1] / f[1] } else { 1.0 };
    Ok([mean + q[0] - f[0], var * ratio])
}

/// Of [`chapter_8`](crate::chapter_8).
pub fn is_exact(largest_x: u64, w_int: &[i8]) -> Answer<bool> {
    let weights: u64 = w_int.iter().map(|w| u64::from(w.unsigned_abs())).sum();
    Ok(largest_x * weights <= 1 << 24)
}

/// Of [`chapter_9`](crate::chapter_9).
pub fn step_gradient(x: f32, s: f32, [qmin, qmax]: [i32; 2]) -> Answer<f32> {
    let t = x / s;
    Ok(if t <= qmin as f32 {
        qmin as f32
    } else if t >= qmax as f32 {
        qmax as f32
    } else {
        t.round_ties_even() - t
    })
}
