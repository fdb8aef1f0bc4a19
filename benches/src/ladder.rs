//! The rungs of `docs/kernels.md`, on one convolution: the same integers by every micro-kernel, each with and without what
//! the chapter adds step by step.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use quant::kernel::pack::Panels;
use quant::kernel::plane::Plane;
use quant::kernel::requantize::{Output, PackedRequantize, Place, RequantizeEpilogue};
use quant::kernel::store::StoreSums;
use quant::kernel::{At, Epilogue, K_GROUP, Lanes, Layer, MicroKernel, Scratch, Tile, sweep_ref};
use quant::requantize::{Bounds, RealMap, Requantize};

use crate::table::Row;
use crate::{ConvLayer, codes};

/// The largest `|w|`: every kernel is exact for it, so all rungs compute the same numbers.
const MOST: i32 = 8;

/// What is done with the convolution, in the order of the chapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The windows are copied into a matrix first; the sums are stored.
    Im2col,
    /// The matrix of windows is there already.
    Columns,
    /// The image is read in place; the sums are stored.
    InPlace,
    /// The image is read in place; the sums are thrown away.
    Products,
    /// The image is read in place; the sums are requantized in registers, and codes are stored.
    Codes,
}

impl Step {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Im2col, Self::Columns, Self::InPlace, Self::Products, Self::Codes];

    /// The head of its column.
    pub fn name(self) -> &'static str {
        match self {
            Self::Im2col => "im2col copied, sums stored",
            Self::Columns => "im2col given, sums stored",
            Self::InPlace => "in place, sums stored",
            Self::Products => "in place, sums dropped",
            Self::Codes => "in place, codes stored",
        }
    }
}

/// A convolution of one image, and what it is requantized by.
pub struct Problem {
    layer: ConvLayer,
    /// The padded image.
    image: Plane,
    /// `[O][KH][KW * C]`.
    w: Vec<i8>,
    requantize: Requantize,
}

impl Problem {
    /// Random codes and weights for this layer.
    ///
    /// # Panics
    /// If its channels are no whole number of groups.
    pub fn new(layer: ConvLayer) -> Self {
        assert!(layer.c.is_multiple_of(K_GROUP), "whole groups of channels");
        let (side, k) = (layer.side + 2 * layer.padding(), layer.kernel * layer.kernel * layer.c);
        let mut image = Plane::new(side * side * layer.c, 0);
        image.iter_mut().zip(codes(side * side * layer.c, 0, 255)).for_each(|(to, code)| *to = code as u8);
        let w = codes(layer.o * k, -MOST, MOST).map(|w| w as i8).collect();
        // Sums of a random walk, spread over the codes.
        let per_acc = vec![1.0 / (10.0 * (k as f64).sqrt()); layer.o];
        let map = RealMap { per_acc, offset: vec![128.0; layer.o], per_residual: None };
        let bounds = Bounds::new(vec![255 * i64::from(MOST) * k as i64; layer.o], 0);
        let requantize = Requantize::new(&map, &bounds, 0, 255).expect("small sums");
        Self { layer, image, w, requantize }
    }

    fn out(&self) -> usize {
        self.layer.side / self.layer.stride
    }

    fn panels(&self, kernel: &MicroKernel) -> Panels {
        let (size, run) = (self.layer.kernel, self.layer.kernel * self.layer.c);
        Panels::new(kernel.layout, self.layer.o, size, run, |o, y, k| self.w[(o * size + y) * run + k])
    }

    /// The convolution in place.
    fn in_place<'a>(&self, planes: &'a [&'a [u8]], panels: &'a Panels) -> Layer<'a> {
        let ConvLayer { side, c, kernel, stride, .. } = self.layer;
        let row = (side + 2 * self.layer.padding()) * c;
        Layer {
            planes,
            rows: self.out(),
            cols: self.out(),
            row_step: stride * row,
            col_step: stride * c,
            segments: kernel,
            segment_stride: row,
            groups: kernel * c / K_GROUP,
            panels,
        }
    }

    /// Copies the window of every position into a row of `columns`.
    fn im2col(&self, columns: &mut [u8]) {
        let ConvLayer { side, c, kernel, stride, .. } = self.layer;
        let (row, run) = ((side + 2 * self.layer.padding()) * c, kernel * c);
        for (position, window) in columns.chunks_exact_mut(kernel * run).enumerate() {
            let start = position / self.out() * stride * row + position % self.out() * stride * c;
            for (ky, to) in window.chunks_exact_mut(run).enumerate() {
                to.copy_from_slice(&self.image[start + ky * row..][..run]);
            }
        }
    }

    /// The codes by the definition: every sum and every code as its formula reads.
    ///
    /// # Panics
    /// Never: `kernel` gives the layout of the weights only.
    pub fn codes_ref(&self, kernel: &MicroKernel) -> Vec<u8> {
        let (panels, planes) = (self.panels(kernel), [&self.image[..]]);
        let sums = sweep_ref(&self.in_place(&planes, &panels));
        let width = self.layer.o.next_multiple_of(quant::kernel::NR);
        let code = |(i, sum): (usize, i64)| {
            (i % width < self.layer.o).then(|| self.requantize.apply_ref(i % width, sum, 0) as u8)
        };
        sums.into_iter().enumerate().filter_map(code).collect()
    }

    /// What `kernel` needs to compute it.
    pub fn rung(&self, kernel: &'static MicroKernel) -> Rung<'_> {
        let positions = self.out() * self.out();
        let k = self.layer.kernel * self.layer.kernel * self.layer.c;
        let place = Place { start: 0, row: self.out() * self.layer.o, step: self.layer.o };
        let q = PackedRequantize::new(&self.requantize, &vec![0; self.layer.o]);
        // One segment: the runs of a window lie one behind the other in a row of the matrix, as they do in the panels.
        let mut columns = Plane::new(positions * k, 0);
        self.im2col(&mut columns);
        Rung {
            problem: self,
            kernel,
            panels: self.panels(kernel),
            columns,
            sums: vec![0; positions * self.layer.o],
            outputs: [Output { q, place }],
            codes: [vec![Plane::new(positions * self.layer.o, 0)]],
            scratch: Scratch::default(),
        }
    }
}

/// The convolution on one micro-kernel.
pub struct Rung<'a> {
    problem: &'a Problem,
    kernel: &'static MicroKernel,
    panels: Panels,
    columns: Plane,
    sums: Vec<i32>,
    outputs: [Output; 1],
    codes: [Vec<Plane>; 1],
    scratch: Scratch,
}

impl Rung<'_> {
    /// Computes it.
    ///
    /// # Panics
    /// If this CPU lacks the kernel.
    pub fn run(&mut self, step: Step) {
        if step == Step::Im2col {
            self.problem.im2col(&mut self.columns);
        }
        let (positions, channels) = (self.problem.out() * self.problem.out(), self.problem.layer.o);
        let groups = self.panels.lines_per_panel() / self.kernel.layout.lines_per_group();
        let planes: [&[u8]; 1] = match step {
            Step::Im2col | Step::Columns => [&self.columns],
            _ => [&self.problem.image],
        };
        let layer = match step {
            Step::Im2col | Step::Columns => Layer::product(&planes, positions, groups, &self.panels),
            _ => self.problem.in_place(&planes, &self.panels),
        };
        match step {
            Step::Products => self.kernel.sweep(&layer, &mut self.scratch, &mut Discard),
            Step::Codes => {
                let mut epilogue = RequantizeEpilogue {
                    outputs: &self.outputs,
                    planes: &mut self.codes,
                    residual: None,
                    cols: layer.cols,
                    channels,
                };
                self.kernel.sweep(&layer, &mut self.scratch, &mut epilogue);
            }
            _ => {
                let mut epilogue = StoreSums { y: &mut self.sums, channels };
                self.kernel.sweep(&layer, &mut self.scratch, &mut epilogue);
            }
        }
    }
}

/// Does nothing with the sums, but the kernel has to write them.
struct Discard;

impl Epilogue for Discard {
    #[inline(always)]
    fn tile<L: Lanes>(&mut self, tiles: &[&Tile], _: At) {
        std::hint::black_box(tiles);
    }
}

/// The ladder of one layer, in Markdown: microseconds for an image, a row for each of `rows`' kernels and a column for each
/// step; and how many times faster its codes are than those of the row above.
pub fn table(rows: &[&Row]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["kernel"].into_iter().chain(Step::ALL.map(Step::name)).chain(["gain"]));
    let mut kernels: Vec<&str> = rows.iter().map(|row| row.kernel.as_str()).collect();
    kernels.dedup();
    let mut above = None;
    for kernel in kernels {
        let seconds = |step: Step| {
            let mine = |row: &&&Row| row.kernel == kernel && row.shape.ends_with(step.name());
            rows.iter().find(mine).map(|row| row.seconds)
        };
        let cells = Step::ALL.map(|step| seconds(step).map_or(String::new(), |s| format!("{:.1}", s * 1e6)));
        let codes = seconds(Step::Codes);
        let gain = above
            .zip(codes)
            .map_or(String::new(), |(above, codes): (f64, f64)| format!("{:.1}", above / codes));
        above = codes.or(above);
        table.add_row([kernel.to_owned()].into_iter().chain(cells).chain([gain]));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LAYERS;
    use crate::table::Work;
    use quant::kernel::{KERNELS, of_isa};

    #[test]
    fn every_rung_computes_the_same_codes_and_sums() {
        let scalar = of_isa("scalar", 128);
        for layer in LAYERS.into_iter().filter(|layer| layer.c.is_multiple_of(K_GROUP)) {
            let problem = Problem::new(layer);
            let want = problem.codes_ref(scalar);
            assert!(want.iter().any(|&code| code != want[0]), "codes that say something");
            for kernel in KERNELS.iter().filter(|kernel| kernel.available()) {
                let mut rung = problem.rung(kernel);
                rung.run(Step::Codes);
                assert_eq!(rung.codes[0][0][..], want, "{}", kernel.name);
                rung.run(Step::InPlace);
                let sums = std::mem::take(&mut rung.sums);
                for step in [Step::Im2col, Step::Columns] {
                    rung.sums = vec![0; sums.len()];
                    rung.run(step);
                    assert_eq!(rung.sums, sums, "{} {step:?}", kernel.name);
                }
                rung.run(Step::Products);
            }
        }
    }

    #[test]
    fn a_rungs_gain_is_over_the_row_above() {
        let row = |kernel: &str, step: Step, seconds| Row {
            group: "ladder",
            kernel: kernel.to_owned(),
            shape: format!("s, {}", step.name()),
            threads: 1,
            work: Work::Operations(1),
            seconds,
            peak: 1.0,
        };
        let rows = [
            row("ref", Step::Codes, 6e-3),
            row("a", Step::InPlace, 1e-3),
            row("a", Step::Codes, 2e-3),
            row("b", Step::Codes, 1e-3),
        ];
        let text = table(&rows.iter().collect::<Vec<_>>());
        let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
        let lines: Vec<_> = text.lines().map(cells).collect();
        assert_eq!(lines[2][1..8], ["ref", "", "", "", "", "6000.0", ""]);
        assert_eq!(lines[3][1..8], ["a", "", "", "1000.0", "", "2000.0", "3.0"]);
        assert_eq!(lines[4][1..8], ["b", "", "", "", "", "1000.0", "2.0"]);
    }
}
