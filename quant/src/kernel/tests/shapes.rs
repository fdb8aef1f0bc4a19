//! Matrix products of every shape near the sizes of registers, tiles and panels, `M` positions by `N` channels by `K` codes.

use super::*;

/// 1 to 33, and what lies beside powers of two.
fn extents() -> Vec<usize> {
    (1..=33).chain([63, 64, 65, 127, 128, 129, 255, 256, 257, 1023]).collect()
}

/// The product of this shape, any values or only the extreme ones.
fn check(kernel: &MicroKernel, [m, n, k]: [usize; 3], scratch: &mut Scratch, rng: &mut Rng) -> Verdict {
    let values = [Values::Random, Values::Extreme, Values::Largest][(m + n + k) % 3];
    let case = Case { image: [1, m, k], w: [n, 1, 1], stride: 1, planes: 1, values };
    case.check(kernel, &|layer, scratch, sums| kernel.sweep(layer, scratch, sums), scratch, rng)
}

#[test]
fn shapes_near_the_tiles_sampled() {
    let extents = extents();
    for kernel in available_kernels() {
        let (mut rng, mut scratch) = (Rng::at(6, Purpose::Test, 0, 0), Scratch::default());
        for i in 0..400 {
            // One extent in its turn, the others at random, so that each comes in each place.
            let mut shape = [0; 3].map(|_| extents[rng.below(extents.len())]);
            shape[i % 3] = extents[i / 3 % extents.len()];
            if shape.iter().product::<usize>() < 4 << 20 {
                check(kernel, shape, &mut scratch, &mut rng).unwrap();
            }
        }
    }
}

/// `cargo test --release -p quant --lib shapes -- --ignored --nocapture`
#[test]
#[ignore = "79,507 shapes on every kernel take a while"]
fn every_shape_near_the_tiles() {
    let extents = extents();
    for kernel in available_kernels() {
        let (mut rng, mut scratch, start) =
            (Rng::at(7, Purpose::Test, 0, 0), Scratch::default(), std::time::Instant::now());
        let mut shapes = 0;
        for &m in &extents {
            for (&n, &k) in extents.iter().flat_map(|n| extents.iter().map(move |k| (n, k))) {
                check(kernel, [m, n, k], &mut scratch, &mut rng).unwrap();
                shapes += 1;
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        eprintln!("integer kernel {}: {shapes} shapes exact, {seconds:.0} s", kernel.name);
    }
}
