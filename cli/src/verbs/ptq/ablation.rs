//! `ptq --ablation`: what each correction adds in points of accuracy, alone and behind those before it.

use anyhow::Result;
use quant::{Sequence, Step};
use serde::Serialize;
use serde_json::json;

use crate::run::context::Context;
use crate::run::experiment::{Recipe, Setup, in_integers};
use crate::show::text_table::text_table;

/// One correction's line: accuracies in integers, in percent.
#[derive(Debug, Serialize)]
struct Row {
    correction: &'static str,
    /// With this correction only.
    alone: f64,
    /// Points that adds to none.
    alone_adds: f64,
    /// With all corrections up to this one.
    in_sequence: f64,
    /// Points this one adds to those before it.
    adds: f64,
}

/// Measures the network without corrections, with each alone, and with each beginning of the sequence.
///
/// # Errors
/// If the recipe asks for the impossible.
pub(super) fn run(context: &Context, setup: &Setup, recipe: &Recipe, top1_float: f64) -> Result<()> {
    let measure = |steps: &[Step]| -> Result<f64> {
        let correction = Sequence::new(steps.to_vec())?;
        context.note(format_args!("measuring: {correction}"));
        let quantized = Recipe { correction, ..recipe.clone() }.quantize(context, setup)?;
        Ok(in_integers(context, &quantized, &setup.test)?.top1())
    };
    let none = measure(&[])?;
    let (steps, mut before, mut rows) = (recipe.correction.steps(), none, Vec::new());
    for (i, step) in steps.iter().enumerate() {
        let in_sequence = measure(&steps[..=i])?;
        let alone = if i == 0 { in_sequence } else { measure(&[*step])? };
        rows.push(Row {
            correction: step.name(),
            alone,
            alone_adds: alone - none,
            in_sequence,
            adds: in_sequence - before,
        });
        before = in_sequence;
    }
    let head = ["correction", "alone %", "adds", "in sequence %", "adds"];
    let blank = String::new;
    let mut lines = vec![
        vec!["(float)".into(), format!("{top1_float:.2}"), blank(), format!("{top1_float:.2}"), blank()],
        vec!["(none)".into(), format!("{none:.2}"), blank(), format!("{none:.2}"), blank()],
    ];
    lines.extend(rows.iter().map(|row| {
        let points = |v: f64| format!("{v:+.2}");
        vec![
            row.correction.into(),
            format!("{:.2}", row.alone),
            points(row.alone_adds),
            format!("{:.2}", row.in_sequence),
            points(row.adds),
        ]
    }));
    context.say(format_args!(
        "{}, top-1 of {} test images in integers:",
        recipe.widths.bits,
        setup.test.images()
    ))?;
    context.say(text_table(&head, 1, &lines))?;
    context.result(&json!({
        "bits": recipe.widths.bits,
        "method": recipe.widths.method,
        "correction": recipe.correction,
        "images": setup.test.images(),
        "seed": context.seed,
        "top1_float": top1_float,
        "top1_none": none,
        "ablation": rows,
    }))
}
