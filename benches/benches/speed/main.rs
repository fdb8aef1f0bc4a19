//! How fast every kernel and the whole networks are, and how near to the machine's peak, measured in the same run:
//! `cargo bench`, or `cargo bench -p benches -- REGEX` for the benches whose names match.
//!
//! Criterion runs and compares; what it timed in this run is one table at the end. `cargo bench -- --test` and
//! `cargo test -p benches --benches` run everything once and measure nothing.

mod conv;
mod gemm_f32;
mod gemm_int8;
mod infer;
mod ladder;
mod train_step;

use std::hint::black_box;
use std::time::{Duration, Instant};

use benches::table::{Peak, Row, Work, table};
use criterion::{Criterion, Throughput};
use rayon::{ThreadPool, ThreadPoolBuilder};

/// Timed samples of a bench; the table has their median.
const SAMPLES: usize = 10;

/// What a bench is.
struct Bench {
    /// Its name begins with this.
    group: &'static str,
    /// What computes.
    kernel: String,
    /// What is computed.
    shape: String,
    /// One call's.
    work: Work,
    /// What the speed is a share of.
    peak: Peak,
    /// One thread, or as many as rayon has.
    one_thread: bool,
}

/// Criterion, and what it timed in this run.
struct Speeds {
    criterion: Criterion,
    one_thread: ThreadPool,
    /// Peaks, measured when they are needed first and once more at the end: the larger counts.
    peaks: Vec<(Peak, usize, f64)>,
    /// Whether calls are timed, rather than made once.
    timed: bool,
    ran: usize,
    rows: Vec<(Row, Peak)>,
}

impl Speeds {
    fn new() -> Self {
        let argument = |name: &str| std::env::args().any(|argument| argument == name);
        let criterion = Criterion::default()
            .without_plots()
            .sample_size(SAMPLES)
            .nresamples(2000)
            .warm_up_time(Duration::from_millis(150))
            .measurement_time(Duration::from_millis(400))
            .configure_from_args();
        Self {
            criterion,
            one_thread: ThreadPoolBuilder::new().num_threads(1).build().expect("one thread"),
            peaks: Vec::new(),
            timed: argument("--bench") && !argument("--test"), // as criterion decides it
            ran: 0,
            rows: Vec::new(),
        }
    }

    /// Times calls of `f`, if the command line wants this bench.
    fn measure<T>(&mut self, bench: Bench, mut f: impl FnMut() -> T + Send) {
        let Bench { group, kernel, shape, work, peak, one_thread } = bench;
        let mut seconds = Vec::new();
        let pool = one_thread.then_some(&self.one_thread);
        let mut time = |calls: u64| {
            let start = Instant::now();
            (0..calls).for_each(|_| drop(black_box(f())));
            start.elapsed()
        };
        let mut criterion_group = self.criterion.benchmark_group(group);
        criterion_group.throughput(Throughput::Elements(work.elements()));
        criterion_group.bench_function(format!("{kernel}/{shape}"), |bencher| {
            bencher.iter_custom(|calls| {
                let elapsed = match pool {
                    Some(pool) => pool.install(|| time(calls)),
                    None => time(calls),
                };
                seconds.push(elapsed.as_secs_f64() / calls as f64);
                elapsed
            });
        });
        criterion_group.finish();
        if seconds.is_empty() {
            return; // not wanted
        }
        self.ran += 1;
        if self.timed {
            // What came before the samples warmed up.
            let samples = &mut seconds.split_off(seconds.len().saturating_sub(SAMPLES))[..];
            samples.sort_by(f64::total_cmp);
            let threads = if one_thread { 1 } else { rayon::current_num_threads() };
            if !self.peaks.iter().any(|(known, n, _)| (*known, *n) == (peak, threads)) {
                self.peaks.push((peak, threads, peak.measure(threads)));
            }
            let seconds = samples[samples.len() / 2];
            self.rows.push((Row { group, kernel, shape, threads, work, seconds, peak: 0.0 }, peak));
        }
    }

    /// What was timed, with the peaks.
    fn finish(self) -> Vec<Row> {
        let peaks: Vec<_> =
            self.peaks.iter().map(|(peak, n, ops)| (peak, n, ops.max(peak.measure(*n)))).collect();
        let mut rows = Vec::new();
        for (mut row, peak) in self.rows {
            let mine = peaks.iter().find(|(known, n, _)| (**known, **n) == (peak, row.threads));
            row.peak = mine.expect("measured with the row").2;
            rows.push(row);
        }
        rows
    }
}

fn main() {
    let mut speeds = Speeds::new();
    gemm_f32::bench(&mut speeds);
    gemm_int8::bench(&mut speeds);
    ladder::bench(&mut speeds);
    conv::bench(&mut speeds);
    infer::bench(&mut speeds);
    train_step::bench(&mut speeds);
    speeds.criterion.final_summary();
    if !speeds.rows.is_empty() {
        println!("\nA multiply-add is two operations; Winograd's are counted as direct convolution's.\n");
        let rows = speeds.finish();
        println!("{}", table(&rows));
        ladder::print(&rows);
    } else if speeds.ran > 0 {
        println!("\n{} benches ran once each; nothing was measured", speeds.ran);
    }
}
