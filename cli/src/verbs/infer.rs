//! `infer`: classifies pictures, and records of CIFAR-10 and CIFAR-100, with an integer-only network.
//!
//! One image at a time on one thread: the model is mapped, a picture is averaged row by row as it is decoded (JPEG and
//! interlaced PNG need the whole picture), and of a file of records only those asked for are read. That keeps the
//! program under 16 MiB.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use clap::Args;
use models::data::cifar10::{SIDE, interleave};
use models::data::cifar100;
use models::data::classes::Classes;
use models::data::image_set::RecordFormat;
use models::data::picture;
use models::formats::{int_model, open};
use quant::int_graph::{IntEngine, Workspace};
use serde::Serialize;
use serde_json::json;

use crate::run::assets;
use crate::run::context::Context;
use crate::run::exit::Failure;
use crate::run::memory::resident_bytes;

/// Arguments of `infer`.
#[derive(Args, Clone, Debug)]
pub struct InferArgs {
    /// PNG, JPEG or PNM (PPM, PGM, PBM) pictures, or batch files of CIFAR-10 or CIFAR-100; told apart by their contents. Of a picture that is not
    /// 32x32, the middle square is averaged down to it
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// The integer-only network, as `--policy product` makes it [default: the one that comes with the program]
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Classes to show, the most probable ones
    #[arg(long, value_name = "K", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    top: u32,
    /// Of a batch file: this record, from 0
    #[arg(long, value_name = "N", conflicts_with = "limit")]
    index: Option<usize>,
    /// Of a batch file: the first N records [default: 10]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Times each image is computed; the median time counts
    #[arg(long, value_name = "N", default_value_t = 11, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    repeat: u32,
}

/// Records of a batch file, if nothing is said.
const RECORDS: usize = 10;

/// What is said of an image.
#[derive(Serialize)]
struct Answer {
    file: PathBuf,
    /// Of a record.
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<usize>,
    /// Of a record: its class.
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<usize>,
    top: Vec<Guess>,
    microseconds: f64,
}

/// A class and how probable it is.
#[derive(Serialize)]
struct Guess {
    class: usize,
    name: String,
    probability: f64,
}

/// Classifies and prints.
///
/// # Errors
/// If the model or an image cannot be read; nothing is printed on stdout then with `--json`.
pub fn run(args: InferArgs, context: &Context) -> Result<()> {
    let model = assets::model(args.model.as_deref())?;
    let (graph, about) = open::load_integers(&model)?;
    int_model::expect_image(&model, &graph)?;
    let classes = int_model::classes(&model, &graph, &about)?;
    let engine = IntEngine::new(graph)?;
    let mut classifier =
        Classifier { workspace: engine.workspace(), engine: &engine, classes, args: &args, answers: vec![] };
    let pictures = args.images.iter().map(|path| is_picture(path)).collect::<Result<Vec<_>>>()?;
    if let Some(limit) = args.limit.filter(|_| pictures.iter().all(|is_picture| *is_picture)) {
        let text = format!("--limit {limit}: is of the records of a batch file, and none is given");
        return Err(Failure::Usage(text).into());
    }
    for (path, is_picture) in args.images.iter().zip(pictures) {
        if is_picture {
            classifier.picture(context, path)?;
        } else {
            classifier.records(context, path)?;
        }
    }
    let answers = classifier.answers;
    let mut times: Vec<f64> = answers.iter().map(|a| a.microseconds).collect();
    times.sort_by(f64::total_cmp);
    context.note(format_args!("{:.0} us an image ({}, median)", times[times.len() / 2], engine.isa()));
    context.result(&json!({
        "model": model,
        "isa": engine.isa(),
        "images": answers,
        "resident_bytes": resident_bytes(),
    }))
}

/// Whether the file begins as pictures do.
fn is_picture(path: &Path) -> Result<bool> {
    let mut head = Vec::new();
    let file = File::open(path).map_err(|e| models::Error::io("open", path, e))?;
    if !file.metadata().is_ok_and(|there| there.is_file()) {
        models::formats::mmap::Bytes::map(path)?; // says that it is a folder or a pipe
    }
    file.take(8).read_to_end(&mut head).map_err(|e| models::Error::io("read", path, e))?;
    Ok(picture::Format::detect(&head).is_some())
}

struct Classifier<'a> {
    engine: &'a IntEngine,
    classes: Classes,
    workspace: Workspace,
    args: &'a InferArgs,
    answers: Vec<Answer>,
}

impl Classifier<'_> {
    fn picture(&mut self, context: &Context, path: &Path) -> Result<()> {
        if let Some(index) = self.args.index {
            let text = format!("--index {index}: {} is a picture, which has no records", path.display());
            return Err(Failure::Usage(text).into());
        }
        let picture = picture::read(path)?;
        let (w, h) = (picture.width, picture.height);
        if (w, h) != (SIDE, SIDE) {
            let side = w.min(h);
            context.note(format_args!(
                "{}: {w}x{h}, its middle {side}x{side} averaged to 32x32",
                path.display()
            ));
        }
        self.classify(context, path, None, None, &picture.pixels)
    }

    /// The records that were asked for, each read by itself.
    fn records(&mut self, context: &Context, path: &Path) -> Result<()> {
        let io = |action| move |e| models::Error::io(action, path, e);
        let mut file = File::open(path).map_err(io("open"))?;
        let len = file.metadata().map_err(io("open"))?.len() as usize;
        // Both lengths fit the same file at 9 MiB and more only; the network tells which it knows.
        let hundred = self.classes.len() == cifar100::CLASSES;
        let format = if hundred { RecordFormat::CIFAR100 } else { RecordFormat::CIFAR10 };
        let record_bytes = format.record_bytes();
        if !len.is_multiple_of(record_bytes) {
            models::formats::mmap::Bytes::map(path)?; // says so if a page or a pointer stands in place of the file
        }
        let count = len / record_bytes;
        if count == 0 || !len.is_multiple_of(record_bytes) {
            let text = format!(
                "{}: is not a PNG, JPEG or PPM picture, and its {len} bytes are not whole {} records of \
                 {record_bytes}",
                path.display(),
                format.name
            );
            return Err(Failure::BadInput(text).into());
        }
        let chosen = match (self.args.index, self.args.limit) {
            (Some(index), _) if index >= count => {
                let text = format!("--index {index}: {} has {count} records", path.display());
                return Err(Failure::Usage(text).into());
            }
            (Some(index), _) => index..index + 1,
            (None, limit) => 0..limit.map_or(RECORDS, |n| n as usize).min(count),
        };
        if self.args.index.is_none() && self.args.limit.is_none() && chosen.len() < count {
            context.note(format_args!(
                "{}: the first {} of {count} records; --index and --limit choose others",
                path.display(),
                chosen.len()
            ));
        }
        file.seek(SeekFrom::Start((chosen.start * record_bytes) as u64)).map_err(io("read"))?;
        let mut record = vec![0; record_bytes];
        for index in chosen {
            file.read_exact(&mut record).map_err(io("read"))?;
            let label = record[format.label_bytes - 1];
            let classes = self.classes.len();
            if usize::from(label) >= classes {
                let (path, record, format) = (path.into(), index, format.name);
                return Err(models::Error::Label { path, record, label, classes, format }.into());
            }
            let image = interleave(&record[format.label_bytes..]);
            self.classify(context, path, Some(index), Some(label.into()), &image)?;
        }
        Ok(())
    }

    fn classify(
        &mut self,
        context: &Context,
        path: &Path,
        index: Option<usize>,
        label: Option<usize>,
        image: &[u8],
    ) -> Result<()> {
        let mut logits = vec![0; self.engine.graph().logit_scale().len()];
        let mut times = Vec::new();
        for _ in 0..self.args.repeat {
            let start = Instant::now();
            self.engine.classify(&mut self.workspace, image, &mut logits);
            times.push(1e6 * start.elapsed().as_secs_f64());
        }
        times.sort_by(f64::total_cmp);
        let microseconds = times[times.len() / 2];
        let top = guesses(&self.engine.graph().real_logits(&logits), &self.classes, self.args.top as usize);
        let guess = |g: &Guess| format!("{} {:.1}%", g.name, 100.0 * g.probability);
        let record = index.map_or(String::new(), |index| format!("[{index}]"));
        let truth = label.map_or(String::new(), |label| format!(" ({})", self.classes.name(label)));
        let line = top.iter().map(guess).collect::<Vec<_>>().join(", ");
        context.say(format_args!("{}{record}{truth}: {line}", path.display()))?;
        self.answers.push(Answer { file: path.into(), index, label, top, microseconds });
        Ok(())
    }
}

/// The most probable classes, by the softmax of the logits.
fn guesses(logits: &[f32], names: &Classes, top: usize) -> Vec<Guess> {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> = logits.iter().map(|l| f64::from(l - most).exp()).collect();
    let sum: f64 = powers.iter().sum();
    let mut classes: Vec<usize> = (0..logits.len()).collect();
    classes.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
    let guess = |class| Guess { class, name: names.name(class).to_owned(), probability: powers[class] / sum };
    classes.into_iter().take(top).map(guess).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_are_a_softmax_in_order() {
        let top = guesses(&[0.0, 2f32.ln(), 0.0, 4f32.ln()], &Classes::new(["a", "b", "c", "d"]), 3);
        let of: Vec<(usize, f64)> = top.iter().map(|g| (g.class, g.probability)).collect();
        for ((class, p), (c, expected)) in of.iter().zip([(3, 0.5), (1, 0.25), (0, 0.125)]) {
            assert!(*class == c && (p - expected).abs() < 1e-6, "{of:?}");
        }
        assert_eq!((top[0].name.as_str(), top.len()), ("d", 3));
    }
}
