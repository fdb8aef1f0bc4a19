//! The rungs of `docs/kernels.md`: two convolutions of ResNet-20 by the definition and by every micro-kernel, with and
//! without each step of the chapter. `cargo bench -p benches -- ladder` prints a table for each of the two.

use benches::LAYERS;
use benches::ladder::{Problem, Step, table};
use benches::table::{MULTIPLY_ADD, Peak, Row, Work};
use quant::kernel::{KERNELS, of_isa};

use crate::{Bench, Speeds};

/// What all names begin with.
const GROUP: &str = "ladder";
/// One panel of channels, and two.
const WHICH: [&str; 2] = ["stage1", "stage2"];

pub fn bench(speeds: &mut Speeds) {
    for layer in LAYERS.into_iter().filter(|layer| WHICH.contains(&layer.name)) {
        let (name, multiply_adds) = (layer.name, layer.multiply_adds());
        let bench = |kernel: &str, step: Step, peak| Bench {
            group: GROUP,
            kernel: kernel.to_owned(),
            shape: format!("{name}, {}", step.name()),
            work: Work::Operations(MULTIPLY_ADD * multiply_adds),
            peak: Peak::Integer(peak),
            one_thread: true,
        };
        let problem = Problem::new(layer);
        let scalar = of_isa("scalar", 128);
        speeds.measure(bench("sweep_ref", Step::Codes, scalar.name), || problem.codes_ref(scalar));
        // The table of kernels has the best first.
        for kernel in KERNELS.iter().rev().filter(|kernel| kernel.available()) {
            let mut rung = problem.rung(kernel);
            for step in Step::ALL {
                speeds.measure(bench(kernel.name, step, kernel.name), || rung.run(step));
            }
        }
    }
}

/// Prints the ladders, if they were measured.
pub fn print(rows: &[Row]) {
    for name in WHICH {
        let mine = |row: &&Row| row.group == GROUP && row.shape.starts_with(name);
        let rows: Vec<&Row> = rows.iter().filter(mine).collect();
        if !rows.is_empty() {
            println!("\n{name}, one image on one thread, microseconds:\n\n{}", table(&rows));
        }
    }
}
