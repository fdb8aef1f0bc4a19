//! The machine's attainable peak: as many fused multiply-adds per second as one core retires when nothing waits
//! for memory. Benchmarks measure it in the same run and quote their share of it.

use std::hint::black_box;
use std::time::{Duration, Instant};

use super::{Isa, Kernel, Vector};

/// FLOP per second of one core with `isa`: the best of several runs of at least `Duration` each, a fused
/// multiply-add counted as two.
pub fn peak_flops(isa: Isa, at_least: Duration) -> f64 {
    let mut best = 0.0f64;
    for _ in 0..3 {
        let (mut steps, start) = (0usize, Instant::now());
        while start.elapsed() < at_least {
            black_box(isa.run(Chains { steps: 10_000 }));
            steps += 10_000;
        }
        let flops = 2.0 * (steps * CHAINS * isa.lanes()) as f64 / start.elapsed().as_secs_f64();
        best = best.max(flops);
    }
    best
}

/// Independent chains of additions: enough to hide the latency of one (4 cycles, up to 2 issued in each), few
/// enough to stay in 16 registers.
const CHAINS: usize = 12;

struct Chains {
    steps: usize,
}

impl Kernel for Chains {
    type Output = f32;

    #[inline(always)]
    unsafe fn run<V: Vector>(self) -> f32 {
        let mut lanes = [0.0f32; 64];
        // SAFETY: no memory but `lanes`, which is longer than any vector; the caller vouches for the rest.
        unsafe {
            let (a, b) = (V::splat(black_box(0.999)), V::splat(black_box(1e-3)));
            let mut acc = [V::splat(1.0); CHAINS];
            for _ in 0..self.steps {
                for chain in &mut acc {
                    *chain = chain.fma(a, b);
                }
            }
            let mut sum = V::zero();
            for chain in acc {
                sum = sum.add(chain);
            }
            sum.store(lanes.as_mut_ptr());
        }
        lanes[0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_does_something() {
        for isa in Isa::available() {
            assert!(peak_flops(isa, Duration::from_millis(1)) > 1e6, "{}", isa.name());
        }
    }
}
