//! `ptq --ablation`: what each correction adds in points of accuracy, alone and behind those before it.

use std::path::Path;

use anyhow::Result;
use models::Evaluation;
use quant::{Sequence, Step};
use serde::Serialize;

use crate::report::ablation::{Ablation, Line};
use crate::run::context::Context;
use crate::run::experiment::{Recipe, Setup, in_integers, page};
use crate::run::run_folder::RunFolder;
use crate::show::text_table::text_table;

/// The result for programs.
#[derive(Serialize)]
struct Said<'a> {
    #[serde(flatten)]
    ablation: &'a Ablation,
    report: &'a Path,
    run: &'a Path,
}

/// Measures the network without corrections, with each alone, and with each beginning of the sequence; the run that
/// `command` repeats keeps it in its folder, page included.
///
/// # Errors
/// If the recipe asks for the impossible, or the folder cannot be written to.
pub(super) fn run(
    context: &Context,
    setup: &Setup,
    recipe: &Recipe,
    float: &Evaluation,
    (folder, command): (&RunFolder, &str),
) -> Result<()> {
    let ablation = measured(context, setup, recipe, float.top1())?;
    context.say(format_args!("{}, top-1 of {} test images in integers:", ablation.bits, ablation.images))?;
    context.say(text_table(&Ablation::HEAD, 1, &ablation.table()))?;
    ablation.write(folder)?;
    let rows = vec![page::Row::float(float, &setup.network)?];
    let report = page::write(context, folder, setup.into(), command, rows, None)?;
    context.say(format_args!("report  {}", report.display()))?;
    context.result(&Said { ablation: &ablation, report: &report, run: folder.folder() })
}

fn measured(context: &Context, setup: &Setup, recipe: &Recipe, top1_float: f64) -> Result<Ablation> {
    let measure = |steps: &[Step]| -> Result<f64> {
        let correction = Sequence::new(steps.to_vec())?;
        context.note(format_args!("measuring: {correction}"));
        let quantized = Recipe { correction, ..recipe.clone() }.quantize(context, setup)?;
        Ok(in_integers(context, &quantized, &setup.test)?.top1())
    };
    let none = measure(&[])?;
    let (steps, mut before, mut lines) = (recipe.correction.steps(), none, Vec::new());
    for (i, step) in steps.iter().enumerate() {
        let in_sequence = measure(&steps[..=i])?;
        let alone = if i == 0 { in_sequence } else { measure(&[*step])? };
        lines.push(Line {
            correction: step.name().to_owned(),
            alone,
            alone_adds: alone - none,
            in_sequence,
            adds: in_sequence - before,
        });
        before = in_sequence;
    }
    Ok(Ablation {
        bits: recipe.widths.bits,
        method: recipe.widths.method,
        correction: recipe.correction.clone(),
        images: setup.test.images(),
        seed: context.seed,
        top1_float,
        top1_none: none,
        lines,
    })
}
