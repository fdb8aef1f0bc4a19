//! One suite for every line of the table: each sum of each kernel against [`sweep_ref`], bit for bit.

mod case;
#[cfg(unix)]
#[allow(unsafe_code)]
mod guarded;
mod shapes;
mod wrong;

use super::pack::Panels;
use super::*;
pub(super) use case::Collect;
use case::{Case, Side, Sweep, Values, Verdict};
use engine::rng::{Purpose, Rng};

/// Every convolution of ResNet-20 and its classifier, with 8 and 16 bits; 500 random layers; rows long enough to be
/// blocked.
pub(super) fn suite(kernel: &MicroKernel, run: Sweep<'_>) -> Verdict {
    let (mut rng, mut scratch) = (Rng::at(4, Purpose::Test, 0, 0), Scratch::default());
    let conv = |side, c, o, k: usize, stride| Case {
        image: [side + 2 * (k / 2), side + 2 * (k / 2), c],
        w: [o, k, k],
        stride,
        planes: 1,
        values: Values::Random,
    };
    let resnet = [
        conv(32, 3, 16, 3, 1),
        conv(32, 16, 16, 3, 1),
        conv(32, 16, 32, 3, 2),
        conv(32, 16, 32, 1, 2),
        conv(16, 32, 32, 3, 1),
        conv(16, 32, 64, 3, 2),
        conv(16, 32, 64, 1, 2),
        conv(8, 64, 64, 3, 1),
        conv(1, 64, 10, 1, 1),
    ];
    for case in resnet {
        for values in [Values::Random, Values::Extreme, Values::Largest] {
            Case { values, ..case }.check(kernel, run, &mut scratch, &mut rng)?;
        }
        Case { planes: 2, ..case }.check(kernel, run, &mut scratch, &mut rng)?;
    }
    // Rows that are no multiple of any tile, and each number of channels that the sliding tiles know, in one panel and two.
    for (image, w) in [
        ([5, 19, 8], [20, 3, 3]),
        ([4, 35, 4], [48, 3, 3]),
        ([4, 37, 16], [33, 3, 2]),
        ([4, 20, 32], [16, 3, 3]),
        ([4, 21, 64], [48, 3, 3]),
    ] {
        Case { image, w, ..resnet[0] }.check(kernel, run, &mut scratch, &mut rng)?;
    }
    // Runs longer than 16 bits hold, for each size of weights.
    for m in (1..=8).filter(|m| *m <= kernel.max_weight) {
        let case = Case { image: [1, 7, 1024], w: [16, 1, 1], values: Values::Level(m), ..resnet[0] };
        case.check(kernel, run, &mut scratch, &mut rng)?;
    }
    for i in 0..500 {
        Case::random(&mut rng).check_at(Side::BOTH[i % 2], kernel, run, &mut scratch, &mut rng)?;
    }
    // 40 rows of 16 KiB: several blocks of positions.
    let deep = Case { image: [40, 1, 16_384], w: [35, 1, 1], ..conv(1, 1, 1, 1, 1) };
    deep.check(kernel, run, &mut scratch, &mut rng)
}

/// The kernels of the table that this CPU has; what it lacks is named on stderr.
pub(super) fn available_kernels() -> impl Iterator<Item = &'static MicroKernel> {
    KERNELS.iter().filter(|kernel| {
        if !kernel.available() {
            eprintln!("SKIPPED: this CPU does not have {}", kernel.name);
        }
        kernel.available()
    })
}

#[test]
fn every_kernel_is_exact() {
    for kernel in available_kernels() {
        let start = std::time::Instant::now();
        suite(kernel, &|layer, scratch, sums| kernel.sweep(layer, scratch, sums)).unwrap();
        // `tests/cross.sh` reads these lines.
        eprintln!("integer kernel {}: exact, {:.1} s", kernel.name, start.elapsed().as_secs_f64());
    }
    eprintln!("integer kernel chosen: {}", active().name);
}

#[test]
fn every_instruction_set_has_a_kernel_for_all_weights() {
    for kernel in KERNELS {
        let all = KERNELS.iter().filter(|k| k.isa == kernel.isa && k.max_weight >= 128);
        assert_eq!(all.count(), 1, "{}", kernel.isa);
        assert!(kernel.tile[0] <= 2 * MAX_MR && kernel.tile[1] % NR == 0);
    }
}

#[test]
fn the_range_of_the_weights_decides() {
    assert!(KERNELS.iter().all(|k| of_isa(k.isa, 128).max_weight >= 128 && of_isa(k.isa, 128).isa == k.isa));
    #[cfg(target_arch = "x86_64")]
    {
        assert_eq!(of_isa("avx2", 8).name, "avx2_w4");
        assert_eq!(of_isa("avx2", 9).name, "avx2_w7");
        assert_eq!(of_isa("avx2", 64).name, "avx2_w7");
        assert_eq!(of_isa("avx2", 65).name, "avx2");
        assert_eq!(of_isa("avx512vnni", 1).name, "avx512vnni");
    }
}

#[test]
#[should_panic(expected = "beyond the plane")]
fn a_layer_that_leaves_its_plane_is_refused() {
    let panels = Panels::new(of_isa("scalar", 128).layout, 1, 1, 8, |_, _, _| 1);
    let planes: [&[u8]; 1] = [&[0; 7]];
    let layer = Layer::product(&planes, 1, 2, &panels);
    of_isa("scalar", 128).sweep(&layer, &mut Scratch::default(), &mut Collect::new(&layer));
}
