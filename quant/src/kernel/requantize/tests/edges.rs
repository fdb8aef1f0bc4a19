//! Eq 7 where it could break: the smallest and the largest multipliers, shifts and biases, on sums that stride from one
//! end of 32 bits to the other. No convolution stands in front, so that every sum can be asked for.

use super::super::super::MAX_MR;
use super::super::super::lanes::*;
use super::*;

/// `m` of sixteen channels: the ends of 32 bits, powers of two and their neighbours.
const MULTIPLIERS: [i32; NR] = [
    0,
    1,
    -1,
    2,
    -3,
    (1 << 15) - 1,
    1 << 16,
    -(1 << 16) - 1,
    (1 << 30) - 1,
    1 << 30,
    (1 << 30) + 1,
    -(1 << 30),
    i32::MAX - 1,
    i32::MAX,
    -i32::MAX,
    -i32::MAX + 1,
];

/// What is the same in all sums of a test.
#[derive(Clone, Copy, Debug)]
struct Edge {
    shift: u32,
    left: u32,
    /// Planes of sums, of the residual, of the codes.
    planes: [usize; 3],
    /// Channels of the panel that exist: below sixteen, tiles go the general way.
    channels: usize,
}

impl Edge {
    fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for sums in 1..=2 {
            for residual in 0..=2 {
                for codes in 1..=2 {
                    for left in [0, 1, 7, if sums == 1 { 30 } else { 20 }] {
                        let planes = [sums, residual, codes];
                        let channels = |shift: u32| NR - shift as usize % 3;
                        all.extend((0..=31).map(|shift| Self {
                            shift,
                            left,
                            planes,
                            channels: channels(shift),
                        }));
                    }
                }
            }
        }
        all
    }

    /// The largest `|sum|` in a plane that eq 7 has room for.
    fn largest_sum(&self) -> i64 {
        let room = (1i64 << 31) >> self.left;
        let room = if self.left == 0 { room } else { room - 1 };
        if self.planes[0] == 2 { room >> 9 } else { room }
    }

    /// The numbers of eq 7: biases of half a code, and as far from zero as fits.
    fn requantize(&self) -> Requantize {
        let half = 1i64 << (31 + self.shift).min(61);
        let bias = |c: usize| [half, -half, 0, 1, -1, (1 << 61) - 1, -(1 << 61)][c % 7];
        let largest = (1 << (8 * self.planes[2])) - 1;
        let residual = match self.planes[1] {
            0 => None,
            planes => Some((30 - 8 * planes as u32, MULTIPLIERS[(self.shift as usize * 5 + 8) % NR])),
        };
        Requantize {
            left: self.left,
            shift: self.shift,
            multiplier: MULTIPLIERS[..self.channels].to_vec(),
            bias: (0..self.channels).map(bias).collect(),
            residual,
            lo: self.shift as i32 % 3,
            hi: largest - self.left as i32 % 2,
        }
    }

    fn check<L: Lanes>(self, name: &str) {
        let (q, most) = (self.requantize(), self.largest_sum());
        let acc = if self.planes[0] == 2 { most * 257 } else { most };
        let bounds = Bounds::new(vec![acc; self.channels], (1 << (8 * self.planes[1])) - 1);
        assert!(q.is_safe(&bounds), "{self:?} asks for more than eq 7 promises");

        // 7 tiles, 112 sums for each channel: a stride from end to end, and both ends exactly.
        for round in 0..7 {
            let stride = |i: usize| (-most + (2 * most * i as i64) / (7 * MAX_MR as i64 - 1)).min(most - 1);
            let sums: Vec<Tile> = (0..self.planes[0])
                .map(|plane| {
                    let mut tile = Tile::default();
                    for (row, sums) in tile.iter_mut().enumerate() {
                        let i = round * MAX_MR + (row + 5 * plane) % MAX_MR;
                        sums.iter_mut()
                            .for_each(|sum| *sum = stride(i).max(1 - most - (plane == 0) as i64) as i32);
                    }
                    tile
                })
                .collect();
            let place = Place { start: 3, row: 0, step: NR };
            let len = place.start + MAX_MR * NR;
            let residual: Vec<Plane> = (0..self.planes[1])
                .map(|plane| {
                    let mut bytes = Plane::new(len, 0);
                    bytes
                        .iter_mut()
                        .enumerate()
                        .for_each(|(i, b)| *b = (i * 37 + 255 * (plane + round)) as u8);
                    bytes
                })
                .collect();
            let outputs = [Output { q: PackedRequantize::new(&q, &vec![0; self.channels]), place }];
            let mut written = vec![(0..self.planes[2]).map(|_| Plane::new(len, 0xAA)).collect::<Vec<_>>()];
            let tiles: Vec<&Tile> = sums.iter().collect();
            let from = (!residual.is_empty()).then_some(Residual { planes: &residual, place });
            let (cols, channels) = (MAX_MR, self.channels);
            let at = At { position: 0, y: 0, x: 0, rows: MAX_MR, channel: 0 };
            RequantizeEpilogue { outputs: &outputs, planes: &mut written, residual: from, cols, channels }
                .tile::<L>(&tiles, at);

            let code = |planes: &[Plane], at: usize| {
                planes.iter().rev().fold(0, |code, plane| code << 8 | i64::from(plane[at]))
            };
            for (row, c) in (0..MAX_MR).flat_map(|row| (0..self.channels).map(move |c| (row, c))) {
                let at = place.at(0, row) + c;
                let acc = tiles.iter().rev().fold(0, |acc, tile| (acc << 8) + i64::from(tile[row][c]));
                let wanted = q.apply_ref(c, acc, code(&residual, at));
                let got = code(&written[0], at);
                let m = q.multiplier[c];
                assert_eq!(got, i64::from(wanted), "{name}: {self:?}, sum {acc}, m {m}, b {}", q.bias[c]);
            }
        }
    }
}

#[test]
fn the_edges_of_eq_7_on_every_instruction_set() {
    let mut names = Vec::new();
    let mut run = |name: &'static str, available: bool, check: fn(Edge)| {
        if available {
            Edge::all().into_iter().for_each(check);
            names.push(name);
        } else {
            eprintln!("SKIPPED: this CPU does not have {name}");
        }
    };
    run("scalar", true, |edge| edge.check::<ScalarLanes>("scalar"));
    #[cfg(target_arch = "x86_64")]
    {
        let avx512 = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw");
        run("avx2", is_x86_feature_detected!("avx2"), |edge| edge.check::<Avx2Lanes>("avx2"));
        run("avx512", avx512, |edge| edge.check::<Avx512Lanes>("avx512"));
    }
    #[cfg(target_arch = "aarch64")]
    run("neon", true, |edge| edge.check::<NeonLanes>("neon"));
    #[cfg(target_arch = "wasm32")]
    {
        #[cfg(target_feature = "simd128")]
        run("simd128", true, |edge| edge.check::<Simd128Lanes>("simd128"));
        #[cfg(not(target_feature = "simd128"))]
        eprintln!("SKIPPED: this module was compiled without simd128");
    }
    eprintln!("the edges of eq 7: {} shapes of 112 sums a channel on {names:?}", Edge::all().len());
}
