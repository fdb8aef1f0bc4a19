//! A micro-kernel's attainable peak: as many multiply-adds per second as one core retires with its instructions when
//! nothing waits for memory. Benchmarks measure it in the same run and quote their share of it.
//!
//! On x86 the kernel's own multiplication runs on registers, in enough independent chains to hide its latency. The
//! other kernels are measured by a layer whose codes and weights fit the first-level cache: what they reach at best,
//! a little below what their instructions could.
#![allow(unsafe_code)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use super::pack::Panels;
use super::{At, Epilogue, K_GROUP, Lanes, Layer, MicroKernel, NR, Scratch, Tile};

/// Operations per second of one core with the instructions of `kernel`, a multiply-add counted as two: the best of
/// several runs of at least `at_least` each.
///
/// # Panics
/// If this CPU lacks the kernel.
pub fn peak_ops(kernel: &MicroKernel, at_least: Duration) -> f64 {
    assert!(kernel.available(), "{} is not available on this CPU", kernel.name);
    let sweep = Sweep::new(kernel);
    let step = || {
        #[cfg(target_arch = "x86_64")]
        if let Some(chains) = x86::chains(kernel.name) {
            // SAFETY: the kernel, which needs the same instructions, is available.
            return unsafe { chains(STEPS) };
        }
        sweep.run(kernel)
    };
    let mut best = 0.0f64;
    for _ in 0..3 {
        let (mut multiply_adds, start) = (0, Instant::now());
        while start.elapsed() < at_least {
            multiply_adds += step();
        }
        best = best.max(2.0 * multiply_adds as f64 / start.elapsed().as_secs_f64());
    }
    best
}

/// Rounds of all chains between two looks at the clock.
#[cfg(target_arch = "x86_64")]
const STEPS: usize = 10_000;

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::asm;
    use std::arch::x86_64::*;
    use std::hint::black_box;

    use crate::kernel::avx2::Madd;
    use crate::kernel::avx2_w4::Maddubs16;
    use crate::kernel::avx2_w7::Maddubs;
    use crate::kernel::avxvnni::Vex;
    use crate::kernel::ymm::MultiplyAdd;

    /// Independent sums.
    const CHAINS: usize = 12;

    /// Runs so many rounds, and counts the multiply-adds.
    pub(super) type Chains = unsafe fn(usize) -> usize;

    /// The loop of a kernel.
    pub(super) fn chains(kernel: &str) -> Option<Chains> {
        Some(match kernel {
            "avx512vnni" => avx512vnni as Chains,
            "avxvnni" => avxvnni,
            #[cfg(target_os = "linux")]
            "amx" => crate::kernel::amx::products,
            "avx2_w4" => avx2_w4,
            "avx2_w7" => avx2_w7,
            "avx2" => avx2,
            _ => return None,
        })
    }

    /// A loop of `steps` over chains of one multiplication, of which each takes `$codes` codes. The operand `x` passes
    /// through an empty `asm!`, so that the compiler takes it for new in each round.
    macro_rules! chains {
        ($name:ident, $features:literal, $register:ident, $zero:ident, $set1:ident, $codes:literal, $multiply_add:expr) => {
            #[target_feature(enable = $features)]
            unsafe fn $name(steps: usize) -> usize {
                let (mut x, w) = ($set1(black_box(3)), $set1(black_box(5)));
                let mut acc = [$zero(); CHAINS];
                for _ in 0..steps {
                    for acc in &mut acc {
                        // SAFETY: no instruction at all; then one that this function has.
                        unsafe {
                            asm!("/* {0} */", inout($register) x, options(nomem, nostack, preserves_flags));
                            *acc = $multiply_add(*acc, x, w);
                        }
                    }
                }
                black_box(&acc);
                steps * CHAINS * $codes
            }
        };
    }

    /// The same with a multiplication of 256-bit tiles.
    macro_rules! ymm_chains {
        ($name:ident, $features:literal, $codes:literal, $multiplication:ty) => {
            chains!(
                $name,
                $features,
                ymm_reg,
                _mm256_setzero_si256,
                _mm256_set1_epi32,
                $codes,
                <$multiplication>::multiply_add
            );
        };
    }

    chains!(
        avx512vnni,
        "avx512f,avx512vnni",
        zmm_reg,
        _mm512_setzero_si512,
        _mm512_set1_epi32,
        64,
        _mm512_dpbusd_epi32
    );
    ymm_chains!(avxvnni, "avx2,avxvnni", 32, Vex);
    ymm_chains!(avx2_w4, "avx2", 32, Maddubs16);
    ymm_chains!(avx2_w7, "avx2", 32, Maddubs);
    ymm_chains!(avx2, "avx2", 16, Madd);
}

/// A layer of 8 KiB of codes and 8 KiB of weights.
struct Sweep {
    codes: Vec<u8>,
    panels: Panels,
}

impl Sweep {
    const POSITIONS: usize = 32;
    const K: usize = 256;
    const CHANNELS: usize = 2 * NR;

    fn new(kernel: &MicroKernel) -> Self {
        let most = kernel.max_weight.min(63) as usize;
        let weight = |o: usize, _: usize, k: usize| ((o * 7 + k * 3) % (2 * most + 1)) as i8 - most as i8;
        Self {
            codes: (0..Self::POSITIONS * Self::K).map(|i| (i * 11) as u8).collect(),
            panels: Panels::new(kernel.layout, Self::CHANNELS, 1, Self::K, weight),
        }
    }

    /// Runs the layer a few times, and counts the multiply-adds.
    fn run(&self, kernel: &MicroKernel) -> usize {
        const ROUNDS: usize = 20;
        let planes: [&[u8]; 1] = [&self.codes];
        let layer = Layer::product(&planes, Self::POSITIONS, Self::K / K_GROUP, &self.panels);
        let (mut scratch, mut one) = (Scratch::default(), One(0));
        for _ in 0..ROUNDS {
            kernel.sweep(&layer, &mut scratch, &mut one);
        }
        black_box(one.0);
        ROUNDS * Self::POSITIONS * Self::K * Self::CHANNELS
    }
}

/// Keeps one sum of each tile.
struct One(i32);

impl Epilogue for One {
    #[inline(always)]
    fn tile<L: Lanes>(&mut self, tiles: &[&Tile], _: At) {
        self.0 = self.0.wrapping_add(tiles[0][0][0]);
    }
}

#[cfg(test)]
mod tests {
    use super::super::KERNELS;
    use super::*;

    #[test]
    fn a_core_does_something_and_no_layer_is_faster_than_its_peak() {
        for kernel in KERNELS.iter().filter(|kernel| kernel.available()) {
            let sweep = Sweep::new(kernel);
            let measure = || {
                let peak = peak_ops(kernel, Duration::from_millis(3));
                let start = Instant::now();
                let multiply_adds: usize = (0..10).map(|_| sweep.run(kernel)).sum();
                (2.0 * multiply_adds as f64 / start.elapsed().as_secs_f64(), peak)
            };
            // A busy machine may take the core away while the peak is measured, but not every time.
            let (reached, peak) =
                (0..20).map(|_| measure()).find(|(r, p)| *r < 1.5 * p).unwrap_or_else(measure);
            assert!(peak > 1e6 && reached < 1.5 * peak, "{}: {reached:.2e} of {peak:.2e}", kernel.name);
        }
    }
}
