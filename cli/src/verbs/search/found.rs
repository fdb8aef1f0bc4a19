//! What a search has found: a table, one JSON object, plots.

use std::path::Path;

use anyhow::Result;
use quant::LayerBits;
use quant::mixed::proxy::Proxy;
use quant::mixed::rank::spearman;
use quant::mixed::{self, LayerSize, Outcome, Point};
use serde_json::{Map, Value, json};

use super::SearchArgs;
use super::candidates::Candidates;
use crate::report::results::{FinishedPoint, Front, FrontPoint};
use crate::run::context::Context;
use crate::run::experiment::Scores;
use crate::run::forecast::counted;
use crate::run::run_folder::RunFolder;
use crate::show::front::{Sizes, bits, sizes};
use crate::show::objective::Objective;
use crate::show::svg::Plot;
use crate::show::text_table::text_table;

/// Everything about a finished search.
pub(super) struct Found<'a> {
    pub args: &'a SearchArgs,
    pub candidates: &'a Candidates<'a>,
    pub outcome: &'a Outcome,
    /// Accuracy of the front on the images not searched on.
    pub front_test: &'a [f64],
    /// Bits, size, accuracy of uniform widths.
    pub uniform: &'a [(u32, usize, f64)],
    /// Candidates with corrections that learn.
    pub finished: &'a [Point],
    pub best: &'a Point,
    /// Accuracy of the best in integers on the images not searched on.
    pub others: f64,
    pub scores: Scores,
    pub model: &'a Path,
    pub model_bytes: usize,
    /// Candidates measured in an hour.
    pub rate: Option<f64>,
}

impl Found<'_> {
    fn layers(&self) -> &[LayerSize] {
        self.candidates.evaluator.layers()
    }

    /// Bytes of its weights (6a).
    fn bytes(&self, bits: &[u32]) -> usize {
        mixed::size_bytes(self.layers(), bits)
    }

    /// Bit operations of an image (6l).
    fn operations(&self, bits: &[u32]) -> usize {
        Objective::BitOperations.whole(mixed::size_bytes(&self.candidates.operations, bits))
    }

    /// The bits of the chosen network, as `ptq` and `qat` take them.
    fn layer_bits(&self) -> LayerBits {
        self.candidates.layer_bits(&self.best.bits)
    }

    /// The front as the report's page draws it.
    pub fn front(&self) -> Front {
        let text = |bits: &[u32]| bits.iter().map(ToString::to_string).collect();
        let finished = |point: &Point| FinishedPoint {
            bytes: self.bytes(&point.bits),
            operations: self.operations(&point.bits),
            top1_val: point.accuracy,
            bits: text(&point.bits),
        };
        let point = |(point, test): (&Point, &f64)| FrontPoint {
            bytes: self.bytes(&point.bits),
            operations: self.operations(&point.bits),
            top1_val: point.accuracy,
            top1_test: *test,
            bits: text(&point.bits),
        };
        Front {
            minimize: self.args.minimize,
            bound: self.args.bound(),
            layers: self.layers().iter().map(|layer| layer.name.clone()).collect(),
            points: self.outcome.front.iter().zip(self.front_test).map(point).collect(),
            search_floor: self.args.search_floor,
            finished: self.finished.iter().map(finished).collect(),
        }
    }

    /// Prints table and object, draws `search.svg`.
    ///
    /// # Errors
    /// If the folder cannot be written to.
    pub fn show(&self, context: &Context, folder: &RunFolder, report: &Path) -> Result<()> {
        let Self { best, outcome, .. } = self;
        let kib = |bytes: usize| Objective::Bytes.shown(bytes);
        let head = ["layer", "weights", "bits", "bytes"];
        let row = |(layer, b): (&LayerSize, &u32)| {
            let bytes = mixed::size_bytes(std::slice::from_ref(layer), &[*b]);
            vec![layer.name.clone(), layer.weights.to_string(), b.to_string(), bytes.to_string()]
        };
        let rows: Vec<Vec<String>> = self.layers().iter().zip(&best.bits).map(row).collect();
        let result = format!(
            "{:.1} KiB of weights (file {:.1} KiB), {:.2} G bit operations: {:.2}% of the {} test images searched on, {:.2}% of the {} that no \
             search looks at, {:.2}% of all {}, in integers",
            kib(self.bytes(&best.bits)),
            kib(self.model_bytes),
            Objective::BitOperations.shown(self.operations(&best.bits)),
            best.accuracy,
            self.candidates.evaluator.labels().len(),
            self.others,
            self.scores.images / 2,
            self.scores.top1_int,
            self.scores.images
        );
        let correlations = self.correlations(context)?;
        context.say(text_table(&head, 1, &rows))?;
        context.say(&result)?;
        context.say(format_args!("as ptq: {}", self.candidates.as_ptq(&best.bits)))?;
        for (name, rho) in &correlations {
            context.say(format_args!(
                "rank correlation of the cost `{name}` with the accuracy of candidates: {rho:.3}"
            ))?;
        }
        if let Some(bound) = outcome.bound {
            context.say(format_args!(
                "if the drops of single layers added up, {:.1} {} would do for {}% of the candidates' accuracy",
                self.args.shown(bound),
                self.args.minimize.unit(),
                self.args.search_floor.unwrap_or(self.args.floor)
            ))?;
        }
        let rate = self.rate.map_or(String::new(), |rate| format!(", {rate:.0} an hour"));
        context.say(format_args!(
            "{} candidates measured{rate}; model {}",
            outcome.points.len(),
            self.model.display()
        ))?;

        let drawing = folder.write("search.svg", Plot::stack(&self.plots()).as_bytes())?;
        context.say(format_args!("drawing {}", drawing.display()))?;
        context.say(format_args!("report  {}", report.display()))?;
        let mut object = self.object(context, &correlations);
        object["report"] = json!(report);
        object["run"] = json!(folder.folder());
        context.result(&object)
    }

    /// How guessed costs, added up, order the candidates: Spearman's rank correlation of minus their sum with the accuracy.
    fn correlations(&self, context: &Context) -> Result<Vec<(&'static str, f64)>> {
        let accuracy: Vec<f64> = self.outcome.points.iter().map(|point| point.accuracy).collect();
        let mut found = Vec::new();
        for (name, proxy) in Proxy::TABLE {
            context.detail(format_args!("  guessing costs by {name}"));
            let costs = self.candidates.evaluator.costs(proxy, self.args.min_bits..=self.args.max_bits)?;
            let cost = |(costs, &b): (&Vec<f64>, &u32)| costs[(b - self.args.min_bits) as usize];
            let guess = |point: &Point| -costs.iter().zip(&point.bits).map(cost).sum::<f64>();
            let guesses: Vec<f64> = self.outcome.points.iter().map(guess).collect();
            found.extend(spearman(&guesses, &accuracy).map(|rho| (name, rho)));
        }
        Ok(found)
    }

    fn plots(&self) -> [Plot; 2] {
        let first = measured(self.args, self.candidates, self.outcome, self.uniform, self.finished);
        let names: Vec<String> = self.layers().iter().map(|layer| layer.name.clone()).collect();
        let unit = self.args.minimize.unit();
        let title = format!("bits of each layer at {:.1} {unit}", self.args.shown(self.best.size));
        [first, bits(&title, &names, &self.best.bits)]
    }

    fn object(&self, context: &Context, correlations: &[(&'static str, f64)]) -> Value {
        let Self { args, outcome, best, .. } = self;
        let named = |bits: &[u32]| -> Map<String, Value> {
            self.layers().iter().zip(bits).map(|(layer, b)| (layer.name.clone(), json!(b))).collect()
        };
        let front = outcome.front.iter().zip(self.front_test).map(|(point, test)| {
            json!({
                "bytes": self.bytes(&point.bits), "bit_operations": self.operations(&point.bits),
                "top1_val": point.accuracy, "top1_test": test, "bits": named(&point.bits),
            })
        });
        let everywhere = |b: u32| vec![b; self.layers().len()];
        json!({
            "front": front.collect::<Vec<_>>(),
            "finished": self.finished.iter().map(|point| json!({
                "bytes": self.bytes(&point.bits), "bit_operations": self.operations(&point.bits),
                "top1_val": point.accuracy, "bits": named(&point.bits),
            })).collect::<Vec<_>>(),
            "uniform": self.uniform.iter().map(|(b, _, accuracy)| json!({
                "bits": b, "bytes": self.bytes(&everywhere(*b)), "bit_operations": self.operations(&everywhere(*b)),
                "top1_val": accuracy,
            })).collect::<Vec<_>>(),
            "best": {
                "bytes": self.bytes(&best.bits), "bit_operations": self.operations(&best.bits), "top1_val": best.accuracy, "top1_test": self.others, "top1_int": self.scores.top1_int,
                "bits": named(&best.bits), "layer_bits": self.layer_bits(),
            },
            "baseline": self.uniform.last().map(|(_, _, accuracy)| accuracy),
            "model_bytes": self.model_bytes,
            "bound": outcome.bound.map(|bound| args.minimize.whole(bound)),
            "rank_correlation": correlations.iter().map(|(name, rho)| ((*name).to_owned(), json!(rho)))
                .collect::<Map<String, Value>>(),
            "evaluations": outcome.points.len(),
            "evaluations_per_hour": self.rate,
            "minimize": args.minimize,
            "searcher": args.searcher,
            "costs": args.plans().then_some(args.costs),
            "costs_cut_short": outcome.costs_cut_short,
            "floor": args.at_most.is_none().then_some(args.floor),
            "search_floor": args.search_floor,
            "at_most": args.at_most,
            "method": args.method,
            "weight_granularity": args.weight_granularity,
            "correction": args.correction,
            "iterations": args.iterations,
            "min_bits": args.min_bits,
            "max_bits": args.max_bits,
            "as_ptq": self.candidates.as_ptq(&best.bits),
            "seed": context.seed,
            "model": self.model,
        })
    }
}

/// Size against accuracy of all that a search has measured, whether it found what it was for or not.
pub(super) fn measured(
    args: &SearchArgs,
    candidates: &Candidates<'_>,
    outcome: &Outcome,
    uniform: &[(u32, usize, f64)],
    finished: &[Point],
) -> Plot {
    let objective = args.minimize;
    let places = |points: &[Point]| -> Vec<(f64, f64)> {
        points.iter().map(|point| (args.shown(point.size), point.accuracy)).collect()
    };
    let uniform: Vec<(u32, f64, f64)> =
        uniform.iter().map(|&(b, size, accuracy)| (b, args.shown(size), accuracy)).collect();
    sizes(
        &format!("{}: {}", args.searcher, counted(outcome.points.len(), "candidate")),
        &Sizes {
            all: &places(&outcome.points),
            front: &places(&outcome.front),
            uniform: &uniform,
            finished: &places(finished),
            published: if objective.is_bytes() { candidates.published() } else { &[] },
            bound: args.bound(),
            objective,
        },
    )
}
