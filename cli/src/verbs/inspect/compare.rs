//! Layers before and after: the inspected network and what quantization made of it or of others, on one axis.

use std::iter;
use std::path::Path;

use anyhow::Result;
use engine::Tensor;
use models::formats::{Model, open};
use models::{Network, QuantizedNetwork};

use super::names::name;
use super::{InspectArgs, Quantizers};
use crate::run::assets;
use crate::run::context::Context;
use crate::run::exit::Failure;
use crate::run::experiment::inputs;
use crate::show::distinct::distinct;
use crate::show::levels::{Named, before_and_after};
use crate::show::svg::{Plot, Size};

/// The network of `--weights`.
pub(super) struct Inspected<'a> {
    pub(super) file: &'a Path,
    /// What its file says it is, `PTQ W4A4`; `None`: a float network.
    pub(super) quantized: Option<String>,
    pub(super) network: &'a Network,
    pub(super) quantizers: &'a Quantizers,
    pub(super) inputs: &'a [(String, Tensor)],
}

/// The networks of the pictures: bars for the inspected one, and the quantized ones over it.
pub(super) struct Comparison {
    /// What the bars of weights and of inputs are called.
    bars: [String; 2],
    /// What the pictures are of.
    title: &'static str,
    networks: Vec<Compared>,
}

impl Comparison {
    /// The networks of `--compare` beside the inspected one, which is drawn as a quantized one too if it is shown as one;
    /// `None` if there are none.
    ///
    /// # Errors
    /// If a file holds no quantized network with weights that are left to look at.
    pub(super) fn open(
        args: &InspectArgs,
        context: &Context,
        inspected: &Inspected<'_>,
    ) -> Result<Option<Self>> {
        if args.compare.is_empty() {
            return Ok(None);
        }
        let opened = args.compare.iter().map(|file| Compared::open(args, context, file));
        let mut networks = opened.collect::<Result<Vec<_>>>()?;
        let Inspected { file, quantized, network, quantizers, inputs } = inspected;
        let first = (quantized.clone().unwrap_or_else(|| "float".into()), file.to_path_buf());
        let others = networks.iter().zip(&args.compare).map(|(c, file)| (c.name.clone(), file.clone()));
        let names = distinct(&iter::once(first).chain(others).collect::<Vec<_>>());
        for ((compared, name), other) in networks.iter_mut().zip(&names[1..]).zip(&args.compare) {
            compared.name.clone_from(name);
            let missing =
                compared.layers().filter(|layer| network.graph.weighted().all(|n| n.name != *layer));
            let missing: Vec<&str> = missing.collect();
            if args.layers.is_empty() && !missing.is_empty() {
                context.note(format_args!(
                    "--compare {}: its layers {} are not in {} and are not drawn",
                    other.display(),
                    missing.join(", "),
                    file.display()
                ));
            }
        }
        let own = &names[0];
        let (bars, title) = match (quantized, quantizers) {
            (None, _) => ([own.clone(), own.clone()], "float and quantized"),
            (Some(_), Quantizers::Own(_)) => {
                ([format!("{own} as stored"), format!("{own} before rounding")], "quantized networks")
            }
            (Some(_), Quantizers::Asked { .. }) => {
                ([format!("{own} as stored"), format!("{own} without rounding")], "quantized networks")
            }
        };
        if let Quantizers::Own(quantization) = quantizers {
            let network =
                QuantizedNetwork { network: (*network).clone(), quantization: (**quantization).clone() };
            networks.insert(0, Compared { name: own.clone(), network, inputs: inputs.to_vec() });
        }
        Ok(Some(Self { bars, title, networks }))
    }
}

/// A quantized network that is drawn, and what its layers see.
struct Compared {
    /// In the legend.
    name: String,
    network: QuantizedNetwork,
    inputs: Vec<(String, Tensor)>,
}

impl Compared {
    /// The network in `file`.
    fn open(args: &InspectArgs, context: &Context, file: &Path) -> Result<Self> {
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
        let name = name(file, &opened.metadata, &network);
        let images = (args.input.data.as_deref(), args.images());
        let rounded = Some(network.quantization.simulated());
        let inputs = inputs(context, images, (file, &network.network), rounded)?;
        Ok(Self { name, network, inputs })
    }

    fn layers(&self) -> impl Iterator<Item = &str> {
        self.network.network.graph.weighted().map(|node| node.name.as_str())
    }

    /// The weight of a layer, and its quantizer.
    fn weight(&self, layer: &str) -> Result<Named<'_>> {
        let QuantizedNetwork { network, quantization } = &self.network;
        let Some(widths) = quantization.plan.get(layer) else { return Ok(self.nothing(layer)) };
        let w = network.params.get(&format!("{layer}.weight"))?;
        Ok((self.name.clone(), Some((w, quantization.weight_params(layer, w, widths.w)?))))
    }

    /// What a layer sees, and its quantizer.
    fn input(&self, layer: &str) -> Result<Named<'_>> {
        let quantization = &self.network.quantization;
        let (Some(widths), Some((_, x))) =
            (quantization.plan.get(layer), self.inputs.iter().find(|(name, _)| name == layer))
        else {
            return Ok(self.nothing(layer));
        };
        Ok((self.name.clone(), Some((x, quantization.ranges.params(layer, widths.a)?))))
    }

    /// In the legend of a layer that has no levels here.
    fn nothing(&self, layer: &str) -> Named<'_> {
        let why = if self.layers().any(|name| name == layer) { "in floats" } else { "no such layer" };
        (format!("{} ({why})", self.name), None)
    }
}

/// Two pictures of a layer: its weights `w` and its input `x` in the inspected network, and in each of the quantized
/// networks the share of values on each level of the grid, with the clipping range.
///
/// # Errors
/// If a value is NaN.
pub(super) fn plot_layers_histogram(
    layer: &str,
    w: &Tensor,
    x: Option<&Tensor>,
    comparison: &Comparison,
) -> Result<Vec<Plot>> {
    let Comparison { bars: [weights, inputs], title, networks } = comparison;
    let picture = |what, bars: (&str, &Tensor), after: Result<Vec<Named<'_>>>| {
        before_and_after(&format!("{layer}: {what}, {title}"), bars, after?, Size::USUAL)
    };
    let after = networks.iter().map(|network| network.weight(layer)).collect();
    let mut plots = vec![picture("weights", (weights, w), after)?];
    if let Some(x) = x {
        let after = networks.iter().map(|network| network.input(layer)).collect();
        plots.push(picture("input", (inputs, x), after)?);
    }
    Ok(plots)
}
