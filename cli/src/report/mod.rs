//! The page about runs: what `cli report` writes of any of them, and every verb of its own.
//!
//! 1. [`results`]: what a verb leaves in its folder for the page, [`machine`] included; [`ablation`]: what `ptq --ablation` does.
//! 2. [`past_run`]: a run's folder read back, whatever of it is there.
//! 3. [`shown`]: the networks that were measured, each beside its own run's float network.
//! 4. [`subject`]: a quantized network beside the float one it comes from, layer by layer.
//! 5. [`sections`]: one file for each part of the page. A part that no run has something for says which command would
//!    provide it; the ablation's is there only where a run has one.

pub mod ablation;
pub mod machine;
pub mod past_run;
pub mod results;
mod sections;
mod sensitivity;
mod shown;
mod subject;

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::run::context::Context;
use crate::run::run_folder::{REPORT, RunFolder};
use crate::show::report::{Report, Tile};
use past_run::PastRun;
use subject::Subject;

/// What the page may look at beyond the runs' folders.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The data set, if it is not where the runs had it.
    pub data: Option<PathBuf>,
    /// The float network, if it is not where the runs had it.
    pub weights: Option<PathBuf>,
    /// Training images that layers are looked at with; 0: only the weights.
    pub images: usize,
}

impl Default for Sources {
    fn default() -> Self {
        Self { data: None, weights: None, images: 128 }
    }
}

/// Writes a run's own page and returns its path. Layers are looked at with 128 training images, or with as few as it was
/// calibrated on.
///
/// # Errors
/// If the folder cannot be read or written to.
pub fn write(context: &Context, folder: &RunFolder) -> Result<PathBuf> {
    let run = PastRun::open(folder.folder())?;
    // A run that was calibrated on few images is meant to be quick.
    let calibrated =
        run.setting("calibration_images").and_then(|images| images.parse().ok()).filter(|&few| few > 0);
    let images = Sources::default().images;
    let sources = Sources { images: calibrated.map_or(images, |few| images.min(few)), ..Sources::default() };
    let page = page(context, &[run], &sources)?;
    folder.write(REPORT, page.as_bytes())
}

/// The page about these runs.
///
/// # Errors
/// If a network in a run's folder cannot be read.
pub fn page(context: &Context, runs: &[PastRun], sources: &Sources) -> Result<String> {
    let subjects = Subject::all(context, runs, sources)?;
    let mut page = Report::new(&title(runs));
    page.lead(&lead(runs), &tiles(runs));
    sections::accuracy::section(&mut page, runs);
    sections::ablation::section(&mut page, runs);
    sections::training::section(&mut page, runs);
    sections::layers::section(&mut page, &subjects);
    sections::histograms::section(&mut page, &subjects);
    sections::scales::section(&mut page, &subjects);
    sections::confusion::section(&mut page, runs);
    sections::mistakes::section(&mut page, runs, sources)?;
    sections::sizes::section(&mut page, &subjects);
    sections::front::section(&mut page, runs);
    sections::configuration::section(&mut page, runs);
    Ok(page.finish())
}

fn title(runs: &[PastRun]) -> String {
    match runs {
        [run] => {
            let bits = run.setting("bits").map_or(String::new(), |bits| format!(", {bits}"));
            match run.verb.as_str() {
                "train" => "Training of a float network".into(),
                "ptq" => format!("Post-training quantization{bits}"),
                "qat" => format!("Quantization-aware training{bits}"),
                "search" => "Search for the bits of each layer".into(),
                "table" => "Accuracy by bits and method".into(),
                _ => run.name.clone(),
            }
        }
        _ => "Quantization report".into(),
    }
}

/// What the page is about, in a sentence.
fn lead(runs: &[PastRun]) -> String {
    let measured = match shown::image_counts(runs).as_slice() {
        [] => String::new(),
        [images] => format!(" Accuracy is measured on {} test images.", thousands(*images)),
        [fewest, .., most] => format!(
            " The runs measured accuracy on different numbers of test images, {} to {}: only those of equal numbers compare.",
            thousands(*fewest),
            thousands(*most)
        ),
    };
    match runs {
        [run] => format!("Run {}.{measured}", run.name),
        _ => {
            let names: Vec<&str> = runs.iter().map(|run| run.name.as_str()).collect();
            format!("{} runs: {}.{measured}", runs.len(), names.join(", "))
        }
    }
}

/// The numbers that matter most: the best quantized network, the float network it comes from, how much smaller it is.
fn tiles(runs: &[PastRun]) -> Vec<Tile> {
    let all = shown::networks(runs);
    let best_of = |quantized: bool| {
        let those = all.iter().filter(|shown| shown.measured.is_quantized() == quantized);
        those.max_by(|a, b| a.measured.top1.total_cmp(&b.measured.top1))
    };
    let top1 = |top1: f64, of: String| (format!("{top1:.2}%"), format!("top-1 of {of}"));
    let best = best_of(true);
    let float = match best.and_then(|best| best.float) {
        Some(float) => Some(top1(float.top1, "its float network".into())),
        None => best_of(false).map(|float| top1(float.measured.top1, float.name.clone())),
    };
    let mut tiles: Vec<Tile> = Vec::new();
    tiles.extend(best.map(|best| top1(best.measured.top1, format!("{} in integers", best.name))));
    tiles.extend(float);
    if let Some(best) = best {
        if let Some(agreement) = best.measured.agreement {
            tiles.push((format!("{agreement:.2}%"), "same class in integers and simulated".into()));
        }
        if let Some(float) = best.float {
            let times = float.bytes as f64 / best.measured.bytes.max(1) as f64;
            let kib = best.measured.bytes as f64 / 1024.0;
            tiles
                .push((format!("{kib:.1} KiB"), format!("model file, {times:.1} times smaller than floats")));
        }
    }
    tiles
}

/// `10,000`.
fn thousands(n: usize) -> String {
    let digits = n.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|g| std::str::from_utf8(g).ok()).collect();
    groups.join(",")
}

/// A file's name without its folder: what a page tells of it.
fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped() {
        assert_eq!([7, 999, 1000, 1234567].map(thousands), ["7", "999", "1,000", "1,234,567"]);
    }
}
