//! A network with packed weights in a coded file.
//!
//! In this order: texts, blocks of a stage, option, normalisation, number of classes, [`QuantConfig`] as JSON without what is usual, widths
//! of each layer, bits of each residual sum and pool; ranges and scales; what is not in integers, tensor by tensor; the
//! weights' codes, layer by layer.

use std::collections::BTreeMap;

use engine::Tensor;
use quant::coding::{BitModel, Coder, Floats, Number, Part, Text, Tree, WeightCodes};
use quant::{Granularity, IntTensor, Plan, QuantConfig, Quantization, Range, Ranges, linear_quantize};
use serde_json::{Map, Value, json};

use super::pass_about;
use crate::data::augment::Normalization;
use crate::data::classes::Classes;
use crate::formats::OF_ITS_FORM;
use crate::{Checkpoint, Error, Network, QuantizedNetwork, Result, Shortcut};

/// The deepest network that is kept.
pub const DEEPEST: usize = 110;
/// More classes are taken for damage.
const MOST_CLASSES: u64 = crate::data::classes::MOST as u64;
/// What a configuration is as a rule. This text is part of the format: it does not follow
/// [`QuantConfig::default`] where that changes.
const USUAL: &str = r#"{"bits":"W8A8","policy":"course","weight_rule":"sawb","weight_granularity":"per_tensor",
    "weight_ste":"identity","activation_rule":"symmetric","activation_ste":"clipped","decay":0.99}"#;
/// Normalisations that have a number.
const KNOWN: [Normalization; 3] = [Normalization::COURSE, Normalization::TRUE, Normalization::IMAGENET];
/// What the rest of a file says already.
const IMPLIED: [&str; 7] = ["arch", "shortcut", "mean", "std", "bits", "policy", "method"];

/// Passes a network through `c`; a reader gives `None`. What comes back is what the packed file gives: the weights are
/// `s_w w_int`, their scales fixed.
pub(super) fn pass(
    c: &mut impl Coder,
    given: Option<(&QuantizedNetwork, &BTreeMap<String, String>)>,
) -> Result<Checkpoint> {
    let (source, about) = given.unzip();
    let mut about = about.cloned().unwrap_or_default();
    if let Some(q) = source {
        q.network.classes.describe(&mut about); // whose names are a text, if they are not the usual ones
    }
    about.retain(|key, _| !IMPLIED.contains(&key.as_str()) && !OF_ITS_FORM.contains(&key.as_str()));
    let about = pass_about(c, &about)?;
    let mut network = pass_architecture(c, source.map(|q| &q.network), &about)?;
    let source = source.map(|q| &q.quantization);
    let config = pass_config(c, source.map(|q| &q.config))?;
    let plan = pass_plan(c, &network, source.map(|q| &q.plan))?;
    c.check()?;
    let ranges = pass_ranges(c, &plan, source.map(|q| &q.ranges))?;
    let mut quantization = Quantization { ranges, ..Quantization::new(config, plan) };
    let codes = source.map(|of| codes(&network, of)).transpose()?.unwrap_or_default();

    c.part(Part::Scales);
    let mut scales = Floats::default();
    for (layer, widths) in quantization.plan.layers().iter().filter_map(|(n, w)| Some((n, (*w)?))) {
        let (w, fixed) = (network.params.get(&format!("{layer}.weight"))?, &mut BitModel::default());
        // Weights of more than 8 bits stay floats, which a rule rounds; their scales may be fixed nevertheless.
        let known = codes.get(layer).map(|(_, s)| s);
        let known = known.or_else(|| source?.weight_scales.get(layer));
        if widths.w > 8 && !c.bit(known.is_some(), fixed) {
            continue;
        }
        let count = match quantization.config.weight_granularity {
            Granularity::PerTensor => 1,
            Granularity::PerChannel => w.dims()[0],
        };
        let mut s = known.cloned().unwrap_or_default();
        s.resize(count, 0.0);
        scales.code(c, &mut s);
        if let Some(s) = s.iter().find(|s| !(s.is_finite() && **s > 0.0)) {
            return Err(Error::Value(format!("layer `{layer}`: scale {s} is not positive and finite")));
        }
        quantization.weight_scales.insert(layer.clone(), s);
    }
    let is_code = |name: &str| {
        let layer = name.strip_suffix(".weight")?;
        let bits = quantization.plan.get(layer)?.w;
        (bits <= 8).then(|| (layer.to_owned(), bits))
    };
    c.part(Part::Norms);
    let mut kinds: BTreeMap<(usize, String), Floats> = BTreeMap::new();
    for param in network.params.iter_mut().filter(|param| is_code(&param.name).is_none()) {
        c.check()?;
        let kind = (param.value.dims().len(), param.name.rsplit('.').next().unwrap_or_default().to_owned());
        kinds.entry(kind).or_default().code(c, param.value.data_mut());
        let variance = param.name.ends_with("running_var");
        if let Some(v) = param.value.data().iter().find(|v| !v.is_finite() || variance && **v < 0.0) {
            return Err(Error::Value(format!("tensor `{}` holds {v}", param.name)));
        }
    }
    c.part(Part::Codes);
    let mut weights = WeightCodes::default();
    for param in network.params.iter_mut() {
        let Some((layer, bits)) = is_code(&param.name) else { continue };
        c.check()?;
        let mut w_int =
            codes.get(&layer).map_or_else(|| vec![0; param.value.len()], |(w, _)| w.data().to_vec());
        weights.code(c, &mut w_int, bits, param.value.dims());
        let s = &quantization.weight_scales[&layer];
        let row = w_int.len() / s.len();
        let restored = w_int.chunks(row).zip(s).flat_map(|(w, &s)| w.iter().map(move |&w| s * f32::from(w)));
        param.value = Tensor::from_vec(param.value.shape(), restored.collect())?;
    }
    c.check()?;
    let mut checkpoint = QuantizedNetwork { network, quantization }.checkpoint();
    checkpoint.metadata.extend(about);
    Ok(checkpoint)
}

/// `w_int` and scales of every layer of at most 8 bits.
#[allow(clippy::type_complexity)]
fn codes(network: &Network, of: &Quantization) -> Result<BTreeMap<String, (IntTensor<i8>, Vec<f32>)>> {
    let layers = of.plan.layers().iter().filter_map(|(name, widths)| Some((name, (*widths)?)));
    let code = |layer: &String, bits| {
        let w = network.params.get(&format!("{layer}.weight"))?;
        let q = of.weight_params(layer, w, bits)?;
        Ok((layer.clone(), (linear_quantize::<i8>(w, &q)?, q.scales().to_vec())))
    };
    layers.filter(|(_, widths)| widths.w <= 8).map(|(layer, widths)| code(layer, widths.w)).collect()
}

fn pass_architecture(
    c: &mut impl Coder,
    network: Option<&Network>,
    about: &BTreeMap<String, String>,
) -> Result<Network> {
    let blocks = Number::default().code(c, network.map_or(0, |n| (n.depth as u64 - 2) / 6));
    let depth = blocks.saturating_mul(6).saturating_add(2);
    if blocks == 0 || depth > DEEPEST as u64 {
        return Err(Error::Value(format!("a network of {depth} layers, 8 to {DEEPEST} are kept")));
    }
    let is_b = c.bit(network.is_some_and(|n| n.shortcut == Shortcut::B), &mut BitModel::default());
    let shortcut = if is_b { Shortcut::B } else { Shortcut::A };
    let known = network.and_then(|n| KNOWN.iter().position(|known| *known == n.normalization));
    let known = Number::default().code(c, known.map_or(0, |known| known as u64 + 1));
    let normalization = match (known as usize).checked_sub(1).and_then(|known| KNOWN.get(known)) {
        Some(known) => *known,
        None => {
            let mut given = network.map_or(Normalization::COURSE, |n| n.normalization);
            Floats::default().code(c, &mut given.mean);
            Floats::default().code(c, &mut given.std);
            given.to_string().parse()? // which refuses what is none
        }
    };
    let classes = Number::default().code(c, network.map_or(0, |n| n.classes.len() as u64));
    if !(1..=MOST_CLASSES).contains(&classes) {
        return Err(Error::Value(format!("{classes} classes, 1 to {MOST_CLASSES} are kept")));
    }
    match network {
        Some(network) => Ok(network.clone()),
        None => {
            let classes = Classes::of_metadata(about, classes as usize).map_err(Error::Value)?;
            Network::fresh_for(classes, depth as usize, shortcut, normalization, 0)
        }
    }
}

/// The configuration without what is [usual](USUAL).
fn pass_config(c: &mut impl Coder, config: Option<&QuantConfig>) -> Result<QuantConfig> {
    let broken = |e: serde_json::Error| Error::Value(format!("configuration: {e}"));
    let mut usual: Map<String, Value> = serde_json::from_str(USUAL).map_err(broken)?;
    let given = match config.map(serde_json::to_value).transpose().map_err(broken)? {
        Some(Value::Object(mut fields)) => {
            fields.retain(|key, value| usual.get(key) != Some(value));
            Value::Object(fields).to_string()
        }
        _ => String::new(),
    };
    let text = Text::default().code(c, &given)?;
    c.check()?;
    usual.extend(serde_json::from_str::<Map<String, Value>>(&text).map_err(broken)?);
    serde_json::from_value(Value::Object(usual)).map_err(broken)
}

/// What stands for weights of no bits, where 0 stands for floats.
const NO_BITS: u32 = 31;

/// Widths of layers, 0 for floats; bits of residual sums and pools, 0 for floats.
fn pass_plan(c: &mut impl Coder, network: &Network, plan: Option<&Plan>) -> Result<Plan> {
    let (mut w, mut a, mut between) = (Tree::new(5), Tree::new(5), Tree::new(5));
    let mut layers = Vec::new();
    for node in network.graph.weighted() {
        let given = plan.and_then(|plan| plan.get(&node.name));
        let number = given.map_or(0, |widths| if widths.w == 0 { NO_BITS } else { widths.w });
        let widths = match w.code(c, number) {
            0 => None,
            w => {
                let a = a.code(c, given.map_or(0, |widths| widths.a));
                Some(format!("W{}A{a}", if w == NO_BITS { 0 } else { w }))
            }
        };
        layers.push(json!([node.name, widths]));
    }
    let mut activations = Vec::new();
    for node in network.graph.activations() {
        let bits = between.code(c, plan.and_then(|plan| plan.activation(&node.name)).unwrap_or(0));
        if bits > 16 {
            return Err(Error::Value(format!("activations of {bits} bits")));
        }
        if bits > 0 {
            activations.push(json!([node.name, bits]));
        }
    }
    let plan = json!({ "layers": layers, "activations": activations });
    serde_json::from_value(plan).map_err(|e| Error::Value(format!("widths: {e}")))
}

/// The ranges of everything that the plan has integers enter.
fn pass_ranges(c: &mut impl Coder, plan: &Plan, ranges: Option<&Ranges>) -> Result<Ranges> {
    c.part(Part::Scales);
    let names: Vec<&str> = plan.inputs().map(|(name, _)| name).collect();
    let known = |name: &&str| ranges.and_then(|ranges| ranges.0.get(*name).copied());
    let mut there = BitModel::default();
    let names: Vec<&str> =
        names.into_iter().filter(|name| c.bit(known(name).is_some(), &mut there)).collect();
    let ends =
        |end: fn(Range) -> f32| names.iter().map(move |n| known(n).map_or(0.0, end)).collect::<Vec<_>>();
    let (mut min, mut max) = (ends(|range| range.min), ends(|range| range.max));
    Floats::default().code(c, &mut min);
    Floats::default().code(c, &mut max);
    let finite = |v: &f32| v.is_finite();
    if !min.iter().chain(&max).all(finite) || min.iter().zip(&max).any(|(min, max)| min > max) {
        return Err(Error::Value("a range whose ends are not in order".into()));
    }
    let range = |((name, min), max): ((&str, f32), f32)| (name.to_owned(), Range { min, max });
    Ok(Ranges(names.into_iter().zip(min).zip(max).map(range).collect()))
}
