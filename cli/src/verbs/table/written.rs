//! The table as it is shown and kept: text for people, `table.md` for documents, `table.json` for programs.

use anyhow::Result;
use serde_json::json;

use super::cell::Cell;
use super::{TableArgs, layout};
use crate::run::context::Context;
use crate::run::run_folder::RunFolder;
use crate::show::text_table::text_table;

/// Both tables, for people.
pub(super) fn text(args: &TableArgs, top1_float: f64, cells: &[Cell]) -> String {
    let aligned = |(head, rows): (Vec<String>, Vec<Vec<String>>)| {
        text_table(&head.iter().map(String::as_str).collect::<Vec<_>>(), 1, &rows)
    };
    let images = cells.first().map_or(0, |c| c.images);
    format!(
        "top-1 % in integers on {images} test images, of QAT after the last epoch (after the best, chosen on these \
         images); float {top1_float:.2}%\n{}\nbest method of each width\n{}",
        aligned(layout::grid(args, cells)),
        aligned(layout::best(args, cells))
    )
}

/// `table.md` and `table.json`, replaced as a whole.
///
/// # Errors
/// If the folder cannot be written to.
pub(super) fn write(
    args: &TableArgs,
    context: &Context,
    folder: &RunFolder,
    top1_float: f64,
    cells: &[Cell],
) -> Result<()> {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let table = |(head, rows): (Vec<String>, Vec<Vec<String>>)| {
        let rows: String = rows.iter().map(|row| line(row)).collect();
        line(&head) + &line(&vec!["---".to_string(); head.len()]) + &rows
    };
    let markdown = format!(
        "{}\nFloat: {top1_float:.2}%. QAT: last epoch (best epoch). Policy {}, seed {}.\n\nBest method of each width:\n\n{}",
        table(layout::grid(args, cells)),
        args.policy,
        context.seed,
        table(layout::best(args, cells))
    );
    folder.write("table.md", markdown.as_bytes())?;
    folder.write("table.json", serde_json::to_string_pretty(&json!({ "cells": cells }))?.as_bytes())?;
    Ok(())
}
