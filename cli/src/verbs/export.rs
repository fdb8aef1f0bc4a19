//! `export`: a network in a file that other programs load (ONNX, a PyTorch file, safetensors), or in the smallest that this one
//! does.

mod coded;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};
use models::data::augment::Normalization;
use models::formats::OF_ITS_FORM;
use models::formats::exported::{Exported, Names};
use models::formats::{Model, Opened, atomic, latent_path, onnx, open, torch_save};
use models::{Checkpoint, QuantizedNetwork};
use serde::Serialize;
use serde_json::json;

use crate::run::assets;
use crate::run::context::Context;
use crate::run::exit::Failure;
use crate::run::overwrite::expect_no_input;

/// Arguments of `export`.
#[derive(Args, Clone, Debug)]
pub struct ExportArgs {
    /// The network: safetensors, float or quantized, or a PyTorch .pt/.th file [default: the one that comes with the program]
    #[arg(value_name = "MODEL")]
    model: Option<PathBuf>,
    /// The format
    #[arg(long, value_enum, value_name = "FORMAT")]
    to: Format,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Of pt and safetensors: how the classifier and the shortcuts are called: downsample (fc, downsample.0), or shortcut
    /// (linear, shortcut.0) [default: downsample for option B, shortcut for option A]
    #[arg(long, value_name = "NAMES")]
    names: Option<Names>,
    /// Of onnx: the version of its operators; before 21 there are no integers of 4 bits, before 25 none of 2 [default: the first that
    /// has all types]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(i64::from(*onnx::OPSETS.start())..=i64::from(*onnx::OPSETS.end())))]
    opset: Option<u32>,
    /// Of qlz: round the numbers beside the weights' codes (of an integer-only network, the multipliers and biases behind
    /// its convolutions) to N bits of mantissa; the network in the file is the rounded one [default: nothing is rounded]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=23))]
    mantissa_bits: Option<u32>,
    /// Which network of a file that holds several: the key, or the prefix of its names
    #[arg(long, value_name = "KEY")]
    weights_key: Option<String>,
    /// mean,mean,mean/std,std,std, or course, true, imagenet [default: what the file says, else course]
    #[arg(long, value_name = "MEAN/STD")]
    normalization: Option<String>,
}

/// What was measured of a network, which one with rounded numbers, or another normalisation, cannot say of itself.
const MEASURED: [&str; 4] = ["test_accuracy", "test_images", "held_out_accuracy", "held_out_images"];

/// What can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// ONNX; a quantized network between QuantizeLinear and DequantizeLinear.
    Onnx,
    /// What `torch.load` reads: a state dictionary; of a quantized network, with its grids beside it.
    Pt,
    /// The same state dictionary in a safetensors file.
    Safetensors,
    /// A coded model file: a quantized network in as few bytes as it takes, to the last bit.
    Qlz,
}

/// Reads, writes, says what was written.
///
/// # Errors
/// If the network cannot be read or has no such form, or the file cannot be written.
pub fn run(args: ExportArgs, context: &Context) -> Result<()> {
    let refuse = |flag: &str, of: &str| Err(Failure::Usage(format!("{flag} is for --to {of}")).into());
    match args.to {
        Format::Onnx | Format::Qlz if args.names.is_some() => return refuse("--names", "pt and safetensors"),
        Format::Pt | Format::Safetensors | Format::Qlz if args.opset.is_some() => {
            return refuse("--opset", "onnx");
        }
        _ if args.mantissa_bits.is_some() && args.to != Format::Qlz => {
            return refuse("--mantissa-bits", "qlz");
        }
        _ => {}
    }
    let path = assets::weights(args.model.as_deref())?;
    expect_no_input("--out", &args.out, &[&path])?;
    let normalization = assets::normalization(args.normalization.as_deref())?;
    let Opened { model, mut metadata, notes } =
        open::open(&path, args.weights_key.as_deref(), normalization)?;
    let said = Checkpoint { metadata: metadata.clone(), ..Checkpoint::default() }.normalization()?;
    let is_known = matches!(model, Model::Integer(_)) || said.is_some() || normalization.is_some();
    assets::note_what_is_assumed(context, &path, is_known);
    if normalization.is_some_and(|other| other != said.unwrap_or(Normalization::COURSE)) {
        metadata.retain(|key, _| !MEASURED.contains(&key.as_str()));
    }
    if matches!(model, Model::Integer(_)) && normalization.is_some() {
        let text = format!(
            "--normalization: {} is an integer-only network, which has its own inside",
            path.display()
        );
        return Err(Failure::Usage(text).into());
    }
    notes.iter().for_each(|note| context.note(format_args!("{}: {note}", path.display())));
    if args.to == Format::Qlz {
        return coded::run(&args, context, &path, model, metadata);
    }
    let (network, quantized) = match model {
        Model::Float(network) => (network, None),
        Model::Quantized(quantized) => (quantized.network.clone(), Some(quantized)),
        Model::Integer(_) => {
            let latent = latent_path(&path);
            let of = match metadata.get("command") {
                _ if latent.exists() => latent.display().to_string(),
                Some(command) => format!("which `{command}` writes beside it as a .latent file"),
                None => format!("{}, which is not there", latent.display()),
            };
            let text = format!(
                "{}: is an integer-only network, which other formats have no operators for; export the network it was \
                 made of, {of}",
                path.display()
            );
            return Err(Failure::BadInput(text).into());
        }
    };
    let quantized: Option<&QuantizedNetwork> = quantized.as_ref();
    // What the file said, and what the network needs to be told even where the file said nothing.
    let mut about = Checkpoint { metadata, ..Checkpoint::default() };
    network.describe(&mut about);
    let mut about = about.metadata;
    about.retain(|key, _| !OF_ITS_FORM.contains(&key.as_str()));

    let plan = quantized.map(|q| &q.quantization.plan);
    let opset = args.opset.unwrap_or_else(|| onnx::least_opset(plan));
    let names = args.names.unwrap_or_else(|| Names::common(network.shortcut));
    let (bytes, how) = match args.to {
        Format::Onnx => (onnx::to_bytes(&network, quantized, opset, &about)?, format!("opset {opset}")),
        Format::Pt | Format::Safetensors => {
            let exported = Exported::of(&network, quantized, names)?;
            let metadata = exported.metadata(quantized, &about)?;
            let bytes = match args.to {
                Format::Pt => torch_save::to_bytes(&exported, &metadata)?,
                _ => exported.to_safetensors(&metadata)?,
            };
            (bytes, format!("names of kind `{names}`"))
        }
        Format::Qlz => unreachable!("written above"),
    };
    atomic::write(&args.out, &bytes)?;

    let bits = quantized.map(|q| q.quantization.config.bits);
    let what = bits.map_or("float".to_owned(), |bits| bits.to_string());
    context.say(format_args!(
        "{}: {}, {what}, {how}, {} bytes",
        args.out.display(),
        network.label(),
        bytes.len()
    ))?;
    context.say(format_args!("images are normalised by {}", network.normalization))?;
    let is_onnx = args.to == Format::Onnx;
    context.result(&json!({
        "model": path,
        "to": args.to,
        "out": args.out,
        "bytes": bytes.len(),
        "opset": is_onnx.then_some(opset),
        "names": (!is_onnx).then(|| names.to_string()),
        "bits": bits,
        "depth": network.depth,
        "shortcut": network.shortcut.to_string(),
        "normalization": network.normalization.to_string(),
    }))
}
