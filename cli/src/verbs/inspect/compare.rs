//! Layers before and after: a float network and what quantization made of it, on one axis.

use std::path::Path;

use anyhow::Result;
use engine::Tensor;
use models::QuantizedNetwork;
use models::formats::{Model, open};
use quant::QParams;

use super::InspectArgs;
use crate::run::assets;
use crate::run::context::Context;
use crate::run::exit::Failure;
use crate::run::experiment::inputs;
use crate::show::levels::{Named, before_and_after};
use crate::show::svg::{Plot, Size};

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
                "--compare {}: holds no quantized network with float weights beside; give a file that `ptq` or `qat` \
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
        let images = (args.input.data.as_deref(), args.images);
        let inputs = inputs(context, images, &network.network, Some(network.quantization.simulated()))?;
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

/// Two pictures of a layer: its weights `w` and its input `x` in floats, and in each of the
/// quantized networks the share of values on each level of the grid, with the clipping range.
///
/// # Errors
/// If a value is NaN.
pub(super) fn plot_layers_histogram(
    layer: &str,
    w: &Tensor,
    x: Option<&Tensor>,
    compared: &[Compared],
) -> Result<Vec<Plot>> {
    let picture = |what, float, after: &[Named<'_>]| {
        let title = format!("{layer}: {what}, float and quantized");
        before_and_after(&title, ("float", float), after, Size::USUAL)
    };
    let weights = all(compared, |c| c.weight(layer))?;
    let mut plots = vec![picture("weights", w, &weights)?];
    if let Some(x) = x {
        let inputs = all(compared, |c| c.input(layer))?;
        plots.push(picture("input", x, &inputs)?);
    }
    Ok(plots)
}

/// What `get` finds in each network that quantizes it.
fn all<'a>(
    compared: &'a [Compared],
    get: impl Fn(&'a Compared) -> Result<Option<(&'a Tensor, QParams)>>,
) -> Result<Vec<Named<'a>>> {
    let found = compared.iter().map(|c| Ok(get(c)?.map(|(values, q)| (c.name.as_str(), values, q))));
    Ok(found.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}
