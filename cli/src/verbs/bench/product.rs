//! A matrix product, in floats or in integers.

use anyhow::Result;
use engine::gemm::{Matrix, gemm};
use engine::kernel::Isa;
use engine::rng::{Purpose, Rng};
use quant::integer::linear::integer_matmul;
use quant::kernel::plane::Plane;
use quant::{IntTensor, PackedWeights};
use serde_json::json;

use super::{BenchArgs, Numbers, integer, median_seconds, memory, normal, peak};
use crate::run::context::Context;
use crate::run::exit::Failure;
use crate::run::forecast::counted;

/// Measures and prints.
///
/// # Errors
/// If the shape is none, or memory cannot hold it.
pub(super) fn product(args: &BenchArgs, context: &Context) -> Result<()> {
    let shape: Option<Vec<usize>> = args.shape.split(',').map(|s| s.trim().parse().ok()).collect();
    let Some(&[m, n, k]) = shape.as_deref() else {
        return Err(Failure::Usage(format!("--shape `{}`: expected M,N,K", args.shape)).into());
    };
    if [m, n, k].contains(&0) {
        return Err(Failure::Usage(format!("--shape {m},{n},{k}: every extent must be positive")).into());
    }
    let bytes = |each: u128, rows: usize, cols: usize| each.saturating_mul(rows as u128 * cols as u128);
    let needed = match args.numbers {
        Numbers::F32 => [bytes(4, m, k), bytes(4, k, n), 0, bytes(4, m, n)],
        // The weights as they are, and packed in panels of up to 32 channels and 16 bits.
        Numbers::Int8 => {
            let channels = n.div_ceil(32).saturating_mul(32);
            [bytes(1, m, k), bytes(1, n, k), bytes(2, channels, k), bytes(4, m, n)]
        }
    };
    let needed = needed.into_iter().fold(0, u128::saturating_add);
    memory::check(&format!("--shape {m},{n},{k}"), needed)?;
    let (seconds, name, peak) = match args.numbers {
        Numbers::F32 => {
            let (a, b, mut c) = (normal([m, k]), normal([k, n]), vec![0.0; m * n]);
            let seconds = median_seconds(args.repeat, || {
                gemm(Matrix::new(a.data(), m, k), Matrix::new(b.data(), k, n), 0.0, &mut c);
                Ok(())
            })?;
            // matrixmultiply chooses its instructions by itself, and is called on one thread.
            let best = Isa::available().next().expect("scalar is always there");
            (seconds, "matrixmultiply", peak(best, 1))
        }
        Numbers::Int8 => {
            let kernel = integer::kernel(args.isa.as_deref())?;
            let mut rng = Rng::at(1, Purpose::Test, 0, 0);
            let mut x = Plane::new(m * k, 0);
            x.iter_mut().for_each(|code| *code = rng.next_u32() as u8);
            let w: Vec<i8> = (0..n * k).map(|_| rng.next_u32() as i8).collect();
            if k % 4 != 0 {
                return Err(Failure::Usage(format!(
                    "--shape {m},{n},{k}: K must be a multiple of 4 for int8"
                ))
                .into());
            }
            let w = PackedWeights::pack_for(kernel, IntTensor::from_vec([n, k], w)?)?;
            // Codes and results begin at a cache line, as other libraries' do.
            let mut y = Plane::new(4 * m * n, 0);
            let y: &mut [i32] = bytemuck::cast_slice_mut(&mut y);
            let seconds = median_seconds(args.repeat, || {
                integer_matmul(&x, &w, y)?;
                Ok(())
            })?;
            (seconds, kernel.name, integer::peak(kernel, context.threads))
        }
    };
    let gops = 2.0 * (m * n * k) as f64 / seconds / 1e9;
    let share = 100.0 * gops * 1e9 / peak;
    let threads = if args.numbers == Numbers::F32 { 1 } else { context.threads };
    let of = counted(threads, "thread");
    context.say(format_args!("{gops:.1} GOP/s with {name}, {share:.0}% of the peak of {of}"))?;
    context.result(&json!({
        "what": args.what,
        "numbers": args.numbers,
        "shape": [m, n, k],
        "gops": gops,
        "peak": peak / 1e9,
        "percent_of_peak": share,
        "isa": name,
        "threads": threads,
    }))
}
