//! One suite for every line of the table: each sum of each kernel against [`sweep_ref`], bit for bit.
//!
//! A suite that cannot fail proves nothing, so it is tried on wrong kernels too: [`wrong_kernels_are_found`] runs it
//! over models of the mistakes that are near at hand, among them `vpmaddubsw` with weights of 8 bits.

use super::pack::Panels;
use super::*;
use engine::rng::{Purpose, Rng};

/// All sums of a sweep, as [`sweep_ref`] orders them.
pub(super) struct Collect {
    pub sums: Vec<i32>,
    /// Whether each position and channel came.
    seen: Vec<bool>,
    planes: usize,
    channels: usize,
    cols: usize,
}

impl Collect {
    pub(super) fn new(layer: &Layer<'_>) -> Self {
        let channels = layer.panels.count() * NR;
        let seen = vec![false; layer.rows * layer.cols * channels];
        Self {
            sums: vec![0; seen.len() * layer.planes.len()],
            seen,
            planes: layer.planes.len(),
            channels,
            cols: layer.cols,
        }
    }
}

impl Epilogue for Collect {
    #[inline(always)]
    fn tile<L: Lanes>(&mut self, tiles: &[&Tile], at: At) {
        assert_eq!(tiles.len(), self.planes);
        assert_eq!((at.y, at.x), (at.position / self.cols, at.position % self.cols));
        for m in 0..at.rows {
            let to = (at.position + m) * self.channels + at.channel;
            for (plane, tile) in tiles.iter().enumerate() {
                let sums = &mut self.sums[plane * self.seen.len() + to..][..NR];
                assert!(!self.seen[to] || *sums == tile[m], "a position comes again with other sums");
                sums.copy_from_slice(&tile[m]);
            }
            self.seen[to..to + NR].fill(true);
        }
    }
}

/// The first case that is wrong, if one is.
pub(super) type Verdict = std::result::Result<(), String>;

/// How the suite runs the kernel under test.
pub(super) type Sweep<'a> = &'a dyn Fn(&Layer<'_>, &mut Scratch, &mut Collect);

/// The extents of a convolution.
#[derive(Clone, Copy, Debug)]
struct Case {
    /// Rows and columns of the padded image, and its channels.
    image: [usize; 3],
    /// Output channels, height and width of the window.
    w: [usize; 3],
    stride: usize,
    planes: usize,
    values: Values,
}

/// Which codes and weights.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Values {
    /// Any.
    Random,
    /// The smallest and largest only, in any order.
    Extreme,
    /// The largest code by the most negative weight everywhere: 255 x -128.
    Largest,
    /// The same with weights of `-m`: kernels may go by the largest weight there is.
    Level(i32),
}

impl Case {
    fn random(rng: &mut Rng) -> Self {
        let (kh, kw) = (1 + rng.below(5), 1 + rng.below(5));
        Self {
            image: [kh + rng.below(12), kw + rng.below(12), 1 + rng.below(24)],
            w: [1 + rng.below(70), kh, kw],
            stride: 1 + rng.below(3),
            planes: 1 + rng.below(2),
            values: if rng.below(4) == 0 { Values::Extreme } else { Values::Random },
        }
    }

    /// Whether every sum comes and is right.
    fn check(self, kernel: &MicroKernel, run: Sweep<'_>, scratch: &mut Scratch, rng: &mut Rng) -> Verdict {
        let ([h, w, c], [o, kh, kw]) = (self.image, self.w);
        let cp = c.next_multiple_of(K_GROUP);
        let most = kernel.max_weight;
        let mut weight = || match (self.values, rng.below(4 * most as usize)) {
            (Values::Random, r) => r as i32 / 2 - most,
            (Values::Extreme, r) => [-most, most - 1, 0][r % 3],
            (Values::Largest, _) => -most,
            (Values::Level(m), _) => -m,
        };
        let mut panel = vec![0i8; o * kh * kw * cp];
        for (i, to) in panel.iter_mut().enumerate() {
            *to = if i % cp < c { weight().clamp(-most, most.min(127)) as i8 } else { 0 };
        }
        let panels = Panels::new(kernel.layout, o, kh, kw * cp, |o, y, k| panel[(o * kh + y) * kw * cp + k]);
        // The channels that pad an image may hold anything: their weights are zero.
        let mut code = |_| match (self.values, rng.below(256) as u8) {
            (Values::Random, r) => r,
            (Values::Extreme, r) => [0, 255][usize::from(r % 2)],
            (Values::Largest | Values::Level(_), _) => 255,
        };
        let codes: Vec<Vec<u8>> =
            (0..self.planes).map(|_| (0..h * w * cp).map(&mut code).collect()).collect();
        let planes: Vec<&[u8]> = codes.iter().map(|p| &p[..]).collect();
        let layer = Layer {
            planes: &planes,
            rows: (h - kh) / self.stride + 1,
            cols: (w - kw) / self.stride + 1,
            row_step: self.stride * w * cp,
            col_step: self.stride * cp,
            segments: kh,
            segment_stride: w * cp,
            groups: kw * cp / K_GROUP,
            panels: &panels,
        };
        let mut got = Collect::new(&layer);
        run(&layer, scratch, &mut got);
        if got.seen.contains(&false) {
            return Err(format!("{}: {self:?}: a position never came", kernel.name));
        }
        let want = sweep_ref(&layer);
        match got.sums.iter().zip(&want).position(|(&got, &want)| i64::from(got) != want) {
            Some(i) => Err(format!("{}: {self:?}: {} instead of {}", kernel.name, got.sums[i], want[i])),
            None => Ok(()),
        }
    }
}

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
    for _ in 0..500 {
        Case::random(&mut rng).check(kernel, run, &mut scratch, &mut rng)?;
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

/// A kernel as the formula reads, save that a group of four products is summed by `group`, which is told where it
/// stands: plane, segment, group in the segment.
fn model(layer: &Layer<'_>, sums: &mut Collect, group: impl Fn([usize; 3], [u8; 4], [i8; 4]) -> i32) {
    let channels = layer.panels.count() * NR;
    for (i, sum) in sums.sums.iter_mut().enumerate() {
        let (plane, position, channel) = (i / sums.seen.len(), i % sums.seen.len() / channels, i % channels);
        let start = position / layer.cols * layer.row_step + position % layer.cols * layer.col_step;
        for at in 0..layer.segments * layer.groups {
            let (segment, g) = (at / layer.groups, at % layer.groups);
            let x = &layer.planes[plane][start + segment * layer.segment_stride + g * K_GROUP..];
            let w = std::array::from_fn(|k| layer.panels.weight(channel, at * K_GROUP + k));
            *sum = sum.wrapping_add(group([plane, segment, g], x[..K_GROUP].try_into().unwrap(), w));
        }
    }
    sums.seen.fill(true);
}

/// `vpmaddubsw`, then `vpmaddwd` with ones: pairs of products saturate in 16 bits.
fn maddubs(x: [u8; 4], w: [i8; 4]) -> i32 {
    let product = |k| i32::from(x[k]) * i32::from(w[k]);
    let pair = |k| (product(k) + product(k + 1)).clamp(i16::MIN.into(), i16::MAX.into());
    pair(0) + pair(2)
}

/// `smull`, then `smlal` into the same 16 bits, of codes made signed: pairs wrap. And the correction.
fn smlal(x: [u8; 4], w: [i8; 4]) -> i32 {
    let product = |k| (i16::from(x[k]) - 128) * i16::from(w[k]);
    let pair = |k| i32::from(product(k).wrapping_add(product(k + 1)));
    pair(0) + pair(2) + 128 * w.iter().map(|&w| i32::from(w)).sum::<i32>()
}

fn exact(x: [u8; 4], w: [i8; 4]) -> i32 {
    (0..4).map(|k| i32::from(x[k]) * i32::from(w[k])).sum()
}

#[test]
fn wrong_kernels_are_found() {
    let scalar = of_isa("scalar", 128);
    let of = |name, max_weight| MicroKernel { name, max_weight, ..*scalar };
    let (wide, narrow) = (of("model of 8 bits", 128), of("model of 7 bits", 64));

    // The model itself is right, and so is `vpmaddubsw` where the table uses it.
    suite(&wide, &|layer, _, sums| model(layer, sums, |_, x, w| exact(x, w))).unwrap();
    suite(&narrow, &|layer, _, sums| model(layer, sums, |_, x, w| maddubs(x, w))).unwrap();

    type Wrong<'a> = (&'a str, &'a dyn Fn(&Layer<'_>, [usize; 3], [u8; 4], [i8; 4]) -> i32);
    let wrong: [Wrong<'_>; 5] = [
        ("saturates pairs", &|_, _, x, w| maddubs(x, w)),
        ("wraps pairs", &|_, _, x, w| smlal(x, w)),
        ("forgets the last group of a run", &|layer, [_, _, g], x, w| {
            if layer.groups > 1 && g == layer.groups - 1 { 0 } else { exact(x, w) }
        }),
        ("takes codes for signed", &|_, _, x, w| {
            (0..4).map(|k| i32::from(x[k] as i8) * i32::from(w[k])).sum()
        }),
        ("forgets the second plane", &|_, [plane, ..], x, w| if plane == 1 { 0 } else { exact(x, w) }),
    ];
    for (what, group) in wrong {
        let found = suite(&wide, &|layer, _, sums| model(layer, sums, |at, x, w| group(layer, at, x, w)));
        let found = found.expect_err(what);
        eprintln!("a kernel that {what} is found: {found}");
    }
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
