//! Layers before and after: a float network and what quantization made of it, on one axis.

use std::path::Path;

use anyhow::Result;
use engine::Tensor;
use models::QuantizedNetwork;
use models::formats::{Model, open};
use quant::{Granularity, QParams};

use super::InspectArgs;
use super::inputs::inputs;
use crate::run::assets;
use crate::run::context::Context;
use crate::run::exit::Failure;
use crate::show::histogram::Histogram;
use crate::show::levels::quantized;
use crate::show::plot::histogram;

/// A quantized network to compare with, and what its layers see.
pub(super) struct Compared {
    /// `PTQ W4A4`, by the command that made it, or the file's name.
    name: String,
    network: QuantizedNetwork,
    inputs: Vec<(String, Tensor)>,
}

impl Compared {
    /// The network in `file`.
    ///
    /// # Errors
    /// If the file holds no quantized network with weights that are left to look at.
    pub(super) fn open(args: &InspectArgs, context: &Context, file: &Path) -> Result<Self> {
        let normalization = assets::normalization(args.input.normalization.as_deref())?;
        let opened = open::open(file, None, normalization)?;
        let Model::Quantized(network) = opened.model else {
            let text = format!(
                "--compare {}: holds no quantized network with float weights beside; give a file that `cli ptq` or `cli qat` \
                 saved (of an integer-only model, the .latent file)",
                file.display()
            );
            return Err(Failure::BadInput(text).into());
        };
        let verb = opened.metadata.get("command").and_then(|command| command.split(' ').nth(1));
        let bits = network.quantization.config.bits;
        let name = match verb {
            Some(verb @ ("ptq" | "qat")) => format!("{} {bits}", verb.to_uppercase()),
            _ => file.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        };
        let inputs = inputs(args, context, &network.network, Some(network.quantization.simulated()))?;
        Ok(Self { name, network, inputs })
    }

    /// The weight of a layer, and its quantizer; `None` if it stays in floats.
    fn weight(&self, layer: &str) -> Result<Option<(&Tensor, QParams)>> {
        let Some(widths) = self.network.quantization.plan.get(layer) else { return Ok(None) };
        let w = self.network.network.params.get(&format!("{layer}.weight"))?;
        Ok(Some((w, self.network.quantization.weight_params(layer, w, widths.w)?)))
    }

    /// What a layer sees, and its quantizer.
    fn input(&self, layer: &str) -> Result<Option<(&Tensor, QParams)>> {
        let quantization = &self.network.quantization;
        let (Some(widths), Some((_, x))) =
            (quantization.plan.get(layer), self.inputs.iter().find(|(name, _)| name == layer))
        else {
            return Ok(None);
        };
        Ok(Some((x, quantization.ranges.params(layer, widths.a)?)))
    }
}

/// Two pictures of a layer, each a title and an SVG: its weights `w` and its input `x` in floats, and in each of the
/// quantized networks the share of values on each level of the grid, with the clipping range.
///
/// # Errors
/// If a value is NaN.
pub(super) fn plot_layers_histogram(
    layer: &str,
    w: &Tensor,
    x: Option<&Tensor>,
    compared: &[Compared],
) -> Result<Vec<(String, String)>> {
    let weights = all(compared, |c| c.weight(layer))?;
    let mut plots = vec![picture(&format!("{layer}: weights, float and quantized"), w, &weights)?];
    if let Some(x) = x {
        let inputs = all(compared, |c| c.input(layer))?;
        plots.push(picture(&format!("{layer}: input, float and quantized"), x, &inputs)?);
    }
    Ok(plots)
}

/// Values under the name of their network, with their quantizer.
type Named<'a> = (&'a str, &'a Tensor, QParams);

/// What `get` finds in each network that quantizes it.
fn all<'a>(
    compared: &'a [Compared],
    get: impl Fn(&'a Compared) -> Result<Option<(&'a Tensor, QParams)>>,
) -> Result<Vec<Named<'a>>> {
    let found = compared.iter().map(|c| Ok(get(c)?.map(|(values, q)| (c.name.as_str(), values, q))));
    Ok(found.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}

fn picture(title: &str, float: &Tensor, after: &[Named<'_>]) -> Result<(String, String)> {
    let before = Histogram::over(float.data(), 100);
    let (mut outlines, mut rules) = (Vec::new(), Vec::new());
    // One picture has room for grids of one scale.
    for (name, values, q) in after.iter().filter(|(_, _, q)| q.granularity() == Granularity::PerTensor) {
        outlines.extend(quantized(values, q)?.map(|levels| ((*name).to_string(), levels)));
        let (lo, hi) = q.clip_range(0);
        let clips = [lo, hi].into_iter().filter(|clip| *clip != 0.0);
        rules.extend(clips.map(|clip| (format!("{name} clips"), f64::from(clip))));
    }
    Ok((title.to_string(), histogram(title, "value", ("float", &before), &outlines, &rules)))
}
