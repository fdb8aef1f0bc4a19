//! A piece of the network between two cuts, run with rounded weights and corrected batch norms.

use std::ops::Range;

use engine::fast::{Algorithm, Fused};
use engine::kernel::Isa;
use engine::ops::BatchStats;
use engine::{Float, Graph, Inference, Mode, NodeId, Params, Result, Tape, Tensor};

use crate::rounding::units::{Unit, sub_graph, sub_params};

/// What is known of a network's value at a cut.
pub(super) struct Values {
    /// The calibration images, each batch normalised by its own statistics on the way here.
    pub batches: Vec<Tensor>,
    /// All images, calibration first, by the running statistics.
    pub images: Tensor,
}

impl Values {
    /// Memory.
    pub fn bytes(&self) -> usize {
        4 * (self.images.len() + self.batches.iter().map(Tensor::len).sum::<usize>())
    }
}

/// A piece of the network.
pub(super) struct Stage {
    pub graph: Graph,
    /// The float parameters.
    pub params: Params,
    /// The searched layers in it, by their position in the network.
    pub layers: Range<usize>,
    /// Their names.
    names: Vec<String>,
    /// Shape of its input.
    extent: [usize; 3],
    /// What the float network's batch norms measure, for each calibration batch.
    float: Vec<Vec<(NodeId, BatchStats)>>,
}

impl Stage {
    /// The piece `unit`, whose first searched layer is number `first`; `batches` are the float network's values at its
    /// input. Also returns those at its output.
    pub fn new(
        (graph, params): (&Graph, &Params),
        unit: Unit,
        first: usize,
        batches: &[Tensor],
        extent: [usize; 3],
    ) -> Result<(Self, Vec<Tensor>)> {
        let graph = sub_graph(graph, unit)?;
        let params = sub_params(&graph, params)?;
        let names: Vec<String> = graph.weighted().map(|node| node.name.clone()).collect();
        let layers = first..first + names.len();
        let mut stage = Self { graph, params, layers, names, extent, float: Vec::new() };
        let (outputs, float) = stage.statistics(&stage.params, batches)?;
        stage.float = float;
        Ok((stage, outputs))
    }

    /// The values behind it where layer `i` of [`layers`](Self::layers) has the weight `weights[i]`.
    pub fn run(&self, weights: &[&Tensor], values: &Values) -> Result<Values> {
        let mut params = self.params.clone();
        for (name, &w) in self.names.iter().zip(weights) {
            params.get_mut(&format!("{name}.weight"))?.clone_from(w);
        }
        let (batches, measured) = self.statistics(&params, &values.batches)?;
        self.correct(&mut params, &measured)?;
        let compiled = Inference::compile(&self.graph, &params, self.extent, Isa::active())?;
        Ok(Values { batches, images: compiled.run(&values.images)? })
    }

    /// The output for each batch, and what its batch norms measured.
    #[allow(clippy::type_complexity)]
    fn statistics(
        &self,
        params: &Params,
        batches: &[Tensor],
    ) -> Result<(Vec<Tensor>, Vec<Vec<(NodeId, BatchStats)>>)> {
        let fused = Fused::new(&self.graph, Algorithm::default());
        let run = |x: &Tensor| {
            let mut tape = Tape::inference();
            let forward = fused.run(params, &mut tape, x.clone(), Mode::Train, &mut Float)?;
            Ok((tape.take(forward.output), forward.statistics))
        };
        Ok(batches.iter().map(run).collect::<Result<Vec<_>>>()?.into_iter().unzip())
    }

    /// Moves the running statistics of `params` by what rounding did: (7a) and (7b), as in
    /// [`Reference::correct`](crate::Reference::correct).
    fn correct(&self, params: &mut Params, measured: &[Vec<(NodeId, BatchStats)>]) -> Result<()> {
        for (place, (node, stats)) in measured.first().into_iter().flatten().enumerate() {
            let name = &self.graph.nodes()[*node].name;
            let sum = |of: &[Vec<(NodeId, BatchStats)>], channel: usize, get: fn(&BatchStats) -> &[f32]| {
                // A last batch of few images counts for as many.
                let of = of.iter().map(|batch| &batch[place].1);
                of.map(|batch| batch.count as f64 * f64::from(get(batch)[channel])).sum::<f64>()
            };
            let values: f64 = measured.iter().map(|batch| batch[place].1.count as f64).sum();
            let mean = params.get_mut(&format!("{name}.running_mean"))?.data_mut();
            for (c, m) in mean.iter_mut().enumerate().take(stats.mean.len()) {
                *m += ((sum(measured, c, |s| &s.mean) - sum(&self.float, c, |s| &s.mean)) / values) as f32;
            }
            let var = params.get_mut(&format!("{name}.running_var"))?.data_mut();
            for (c, v) in var.iter_mut().enumerate() {
                let (q, f) = (sum(measured, c, |s| &s.var), sum(&self.float, c, |s| &s.var));
                // A channel that is constant, in either network, stays as it is.
                *v *= if f > 0.0 && q > 0.0 { q / f } else { 1.0 } as f32;
            }
        }
        Ok(())
    }
}
