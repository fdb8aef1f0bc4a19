//! One layer of the suite: its operands, and the comparison of every sum with [`sweep_ref`].

use super::super::pack::Panels;
use super::super::*;
#[cfg(unix)]
use super::guarded::Guarded;
use engine::rng::Rng;

/// All sums of a sweep, as [`sweep_ref`] orders them.
pub(in super::super) struct Collect {
    pub sums: Vec<i32>,
    /// Whether each position and channel came.
    pub(super) seen: Vec<bool>,
    planes: usize,
    channels: usize,
    cols: usize,
}

impl Collect {
    pub(in super::super) fn new(layer: &Layer<'_>) -> Self {
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

/// Where the codes lie between two pages that nobody may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The first byte is the first behind the page before it.
    Start,
    /// The last byte is the last before the page behind it.
    End,
}

impl Side {
    /// Each of them.
    pub const BOTH: [Self; 2] = [Self::Start, Self::End];
}

/// The extents of a convolution.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    /// Rows and columns of the padded image, and its channels.
    pub image: [usize; 3],
    /// Output channels, height and width of the window.
    pub w: [usize; 3],
    pub stride: usize,
    pub planes: usize,
    pub values: Values,
}

/// Which codes and weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Values {
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
    pub fn random(rng: &mut Rng) -> Self {
        let (kh, kw) = (1 + rng.below(5), 1 + rng.below(5));
        Self {
            image: [kh + rng.below(12), kw + rng.below(12), 1 + rng.below(24)],
            w: [1 + rng.below(70), kh, kw],
            stride: 1 + rng.below(3),
            planes: 1 + rng.below(2),
            values: if rng.below(4) == 0 { Values::Extreme } else { Values::Random },
        }
    }

    /// Whether every sum comes and is right, where the codes begin behind a page that nobody may read, and where they end before one.
    pub fn check(
        self,
        kernel: &MicroKernel,
        run: Sweep<'_>,
        scratch: &mut Scratch,
        rng: &mut Rng,
    ) -> Verdict {
        Side::BOTH.into_iter().try_for_each(|side| self.check_at(side, kernel, run, scratch, rng))
    }

    /// The same, on one side of a closed page.
    pub fn check_at(
        self,
        side: Side,
        kernel: &MicroKernel,
        run: Sweep<'_>,
        scratch: &mut Scratch,
        rng: &mut Rng,
    ) -> Verdict {
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
        // No kernel may read beyond its planes: the pages before and behind them are closed.
        #[cfg(unix)]
        let codes: Vec<Guarded> = codes.iter().map(|plane| Guarded::new(plane, side)).collect();
        #[cfg(not(unix))]
        let _ = side; // there are no closed pages here
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
