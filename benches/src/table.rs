//! The table that `cargo bench` ends with: what was measured in this run and nothing else.

use std::time::Duration;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use engine::kernel::{Isa, peak_flops};
use quant::kernel::{KERNELS, peak_ops};
use rayon::prelude::*;

/// Operations of a multiply-add, everywhere: one multiplication and one addition.
pub const MULTIPLY_ADD: usize = 2;

/// What one call of a bench does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Work {
    /// So many operations; its speed is in operations per second.
    Operations(usize),
    /// So many images, each of so many operations; its speed is in images per second.
    Images {
        /// Images of a call.
        images: usize,
        /// Operations of an image.
        operations: usize,
    },
}

impl Work {
    /// What criterion counts: operations, or images.
    pub fn elements(self) -> u64 {
        match self {
            Self::Operations(n) | Self::Images { images: n, .. } => n as u64,
        }
    }

    fn operations(self) -> f64 {
        match self {
            Self::Operations(n) => n as f64,
            Self::Images { images, operations } => images as f64 * operations as f64,
        }
    }

    fn speed(self, seconds: f64) -> String {
        match self {
            Self::Operations(n) => format!("{:.1} GOP/s", n as f64 / seconds / 1e9),
            Self::Images { images, .. } => format!("{:.0} images/s", images as f64 / seconds),
        }
    }
}

/// Whose attainable peak a speed is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peak {
    /// Fused multiply-adds of floats.
    Float(Isa),
    /// Multiply-adds of the integer micro-kernel of this name.
    Integer(&'static str),
}

impl Peak {
    /// Operations per second of so many threads at once: cores that share power or caches slow each other down.
    ///
    /// # Panics
    /// If there is no such kernel, or this CPU lacks it.
    pub fn measure(self, threads: usize) -> f64 {
        const AT_LEAST: Duration = Duration::from_millis(100);
        let one = |_| match self {
            Self::Float(isa) => peak_flops(isa, AT_LEAST),
            Self::Integer(name) => {
                let kernel = KERNELS.iter().find(|kernel| kernel.name == name).expect("a kernel's name");
                peak_ops(kernel, AT_LEAST)
            }
        };
        (0..threads).into_par_iter().with_max_len(1).map(one).sum()
    }
}

/// What was measured of one bench.
#[derive(Clone, Debug)]
pub struct Row {
    /// The group of benches.
    pub group: &'static str,
    /// What computed.
    pub kernel: String,
    /// What was computed.
    pub shape: String,
    /// By how many threads.
    pub threads: usize,
    /// Of one call.
    pub work: Work,
    /// Of one call, the median.
    pub seconds: f64,
    /// Operations per second at best.
    pub peak: f64,
}

/// The table, in Markdown.
pub fn table(rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["bench", "kernel", "shape", "threads", "speed", "% of peak"]);
    for row in rows {
        let share = 100.0 * row.work.operations() / row.seconds / row.peak;
        let (group, threads) = (row.group.to_owned(), row.threads.to_string());
        let (kernel, shape) = (row.kernel.clone(), row.shape.clone());
        table.add_row([group, kernel, shape, threads, row.work.speed(row.seconds), format!("{share:.0}")]);
    }
    for column in table.column_iter_mut().skip(3) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(work: Work, seconds: f64) -> Row {
        let (kernel, shape) = ("k".to_owned(), "s".to_owned());
        Row { group: "g", kernel, shape, threads: 2, work, seconds, peak: 4e9 }
    }

    #[test]
    fn a_row_has_the_speed_and_its_share_of_the_peak() {
        let product = row(Work::Operations(MULTIPLY_ADD * 1_000_000_000), 1.0);
        let network = row(Work::Images { images: 100, operations: MULTIPLY_ADD * 5_000_000 }, 0.5);
        let text = table(&[product, network]);
        let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
        let rows: Vec<_> = text.lines().map(cells).collect();
        assert_eq!(rows.len(), 4, "a head, a rule and two rows: {text}");
        assert_eq!(rows[2][1..7], ["g", "k", "s", "2", "2.0 GOP/s", "50"]);
        assert_eq!(rows[3][1..7], ["g", "k", "s", "2", "200 images/s", "50"]);
    }
}
