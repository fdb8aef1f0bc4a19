//! The parts of a network that are reconstructed one after another.
//!
//! AdaRound takes a layer at a time. BRECQ (Li et al., "BRECQ: pushing the limit of post-training quantization by block
//! reconstruction", ICLR 2021) takes a *block*: layers that a shortcut spans depend on each other, and what happens between
//! blocks may be treated as independent. The rule here needs no names. A graph can be cut behind a node if that node's
//! value is the only one that later nodes read:
//!
//! ```text
//!     ──> relu ─┬─ conv ─ bn ─ relu ─ conv ─ bn ─ (+) ─ relu ─┬─ conv ...
//!             | └─────────────────────────────────┘         | └───────
//!            cut                                           cut
//! ```
//!
//! A piece between two cuts that has weights is a unit. A batch norm or ReLU belongs to the unit in front of it, a pool to
//! the one behind it. So a plain network falls into its layers, a residual network into its first convolution, its blocks,
//! and its classifier.
//!
//! A block without bits ([dropped](crate::Grid::ZERO)) has nothing that could learn what the float block did. The block in front
//! of it has: the two [become one unit](join_dropped), which is brought to give what both gave.

use engine::{Error, Graph, Layer, NodeId, Params, Result};

/// A part of a graph: everything between the value of node `from` and the value of node `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    /// The node whose value goes in.
    pub from: NodeId,
    /// The node whose value comes out.
    pub to: NodeId,
}

/// Every layer with weights, alone.
pub fn layers(graph: &Graph) -> Vec<Unit> {
    let weighted = graph.nodes().iter().enumerate().filter(|(_, node)| node.layer.has_weight());
    weighted.map(|(to, node)| Unit { from: node.inputs[0], to }).collect()
}

/// The pieces between cuts, by the rule above.
pub fn blocks(graph: &Graph) -> Vec<Unit> {
    let nodes = graph.nodes();
    let last_use = |id: NodeId| graph.readers(id).last().map(|(reader, _)| reader);
    let last_uses: Vec<_> = (0..nodes.len()).map(last_use).collect();
    let is_cut = |at: NodeId| (0..at).all(|id| last_uses[id].is_none_or(|last| last <= at));
    let mut units: Vec<Unit> = Vec::new();
    let (mut from, mut previous) = (0, 0);
    for to in (1..nodes.len()).filter(|&at| is_cut(at)) {
        let piece = &nodes[previous + 1..=to];
        previous = to;
        if piece.iter().any(|node| node.layer.has_weight()) {
            units.push(Unit { from, to });
            from = to;
        } else if piece.iter().all(|node| matches!(node.layer, Layer::BatchNorm { .. } | Layer::Relu)) {
            // Nothing has begun since the unit before ended: it takes the piece.
            if let Some(unit) = units.last_mut().filter(|unit| unit.to == from) {
                unit.to = to;
                from = to;
            }
        }
    }
    units
}

/// The units, each together with those right behind it of which every weight `is_dropped`.
pub fn join_dropped(graph: &Graph, units: Vec<Unit>, is_dropped: impl Fn(&str) -> bool) -> Vec<Unit> {
    let mut joined: Vec<Unit> = Vec::new();
    for unit in units {
        let nodes = &graph.nodes()[unit.from + 1..=unit.to];
        let dropped = nodes.iter().filter(|node| node.layer.has_weight()).all(|node| is_dropped(&node.name));
        match joined.last_mut().filter(|before| dropped && before.to == unit.from) {
            Some(before) => before.to = unit.to,
            None => joined.push(unit),
        }
    }
    joined
}

/// The graph of a unit, its input in place of the image; names stay.
///
/// # Errors
/// If the unit reads a value in front of `from`: then it is not a piece between two values.
pub fn sub_graph(graph: &Graph, unit: Unit) -> Result<Graph> {
    let nodes = graph.nodes();
    let mut wanted = vec![false; nodes.len()];
    wanted[unit.to] = true;
    for id in (unit.from + 1..=unit.to).rev().filter(|&id| id != unit.from) {
        if wanted[id] {
            nodes[id].inputs.iter().for_each(|&input| wanted[input] = true);
        }
    }
    if let Some(outside) = (0..unit.from).find(|&id| wanted[id]) {
        let [outside, from, to] = [outside, unit.from, unit.to].map(|id| &nodes[id].name);
        let detail = format!("`{to}` depends on `{outside}` past `{from}`: cut the network elsewhere");
        return Err(Error::value("reconstruction", detail));
    }
    let mut sub = Graph::default();
    let mut place = vec![sub.add(nodes[unit.from].name.clone(), Layer::Input, &[]); nodes.len()];
    for id in (unit.from + 1..=unit.to).filter(|&id| wanted[id]) {
        let inputs: Vec<NodeId> = nodes[id].inputs.iter().map(|&input| place[input]).collect();
        place[id] = sub.add(nodes[id].name.clone(), nodes[id].layer, &inputs);
    }
    Ok(sub)
}

/// The parameters of the nodes of `sub`.
pub fn sub_params(sub: &Graph, params: &Params) -> Result<Params> {
    let mut own = Params::default();
    for param in params.iter() {
        let node = param.name.rsplit_once('.').map_or("", |(node, _)| node);
        if sub.nodes().iter().any(|n| n.name == node && n.layer != Layer::Input) {
            own.push(param.name.clone(), param.role, param.value.clone())?;
        }
    }
    Ok(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONV: Layer = Layer::Conv2d { c: 4, o: 4, kernel: 3, stride: 1, padding: 1 };

    /// conv bn relu, a residual block, pool, classifier.
    fn network() -> Graph {
        let mut g = Graph::default();
        let x = g.add("x", Layer::Input, &[]);
        let conv = g.add("conv", CONV, &[x]);
        let bn = g.add("bn", Layer::BatchNorm { c: 4 }, &[conv]);
        let relu = g.add("relu", Layer::Relu, &[bn]);
        let conv1 = g.add("conv1", CONV, &[relu]);
        let bn1 = g.add("bn1", Layer::BatchNorm { c: 4 }, &[conv1]);
        let relu1 = g.add("relu1", Layer::Relu, &[bn1]);
        let conv2 = g.add("conv2", CONV, &[relu1]);
        let bn2 = g.add("bn2", Layer::BatchNorm { c: 4 }, &[conv2]);
        let add = g.add("add", Layer::Add, &[bn2, relu]);
        let relu2 = g.add("relu2", Layer::Relu, &[add]);
        let pool = g.add("pool", Layer::GlobalAvgPool, &[relu2]);
        g.add("fc", Layer::Linear { i: 4, o: 2 }, &[pool]);
        g
    }

    #[test]
    fn a_residual_network_falls_into_first_convolution_blocks_and_classifier() {
        let graph = network();
        let names: Vec<_> = blocks(&graph)
            .iter()
            .map(|unit| [unit.from, unit.to].map(|id| graph.nodes()[id].name.clone()))
            .collect();
        assert_eq!(names, [["x", "relu"], ["relu", "relu2"], ["relu2", "fc"]]);
        assert_eq!(layers(&graph).len(), 4);
    }

    #[test]
    fn a_block_without_bits_belongs_to_the_one_in_front_of_it() {
        let graph = network();
        let ends = |dropped: &[&str]| -> Vec<String> {
            let units = join_dropped(&graph, blocks(&graph), |name| dropped.contains(&name));
            units.iter().map(|unit| graph.nodes()[unit.to].name.clone()).collect()
        };
        assert_eq!(ends(&["conv1", "conv2"]), ["relu2", "fc"]);
        assert_eq!(ends(&["conv1"]), ["relu", "relu2", "fc"]); // half a block can still learn
        assert_eq!(ends(&["conv"]), ["relu", "relu2", "fc"]); // nothing is in front of it
    }

    #[test]
    fn units_one_after_another_compute_the_network() {
        let graph = network();
        let params = graph.init(3).unwrap();
        let x = engine::Tensor::from_fn([2, 5, 5, 4], |i| (i as f32 * 0.37).sin());
        let whole = graph.infer(&params, x.clone(), &mut engine::Float).unwrap();
        let mut value = x;
        for unit in blocks(&graph) {
            let sub = sub_graph(&graph, unit).unwrap();
            let own = sub_params(&sub, &params).unwrap();
            value = sub.infer(&own, value, &mut engine::Float).unwrap();
        }
        assert_eq!(value.data(), whole.data());
    }

    #[test]
    fn a_piece_that_a_shortcut_passes_by_is_refused() {
        let graph = network();
        let message = sub_graph(&graph, Unit { from: 6, to: 10 }).unwrap_err().to_string();
        assert!(message.contains("`relu2` depends on `relu` past `relu1`"), "{message}");
    }
}
