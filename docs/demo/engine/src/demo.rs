//! What the page asks for: a network, its answer to an image, and the codes inside.

use quant::int_graph::file::About;
use quant::int_graph::{IntEngine, IntGraph, Op, Workspace};
use serde_json::json;

/// A network and the image it saw last.
#[derive(Default)]
pub struct Demo {
    network: Option<Network>,
    image: Vec<u8>,
}

struct Network {
    engine: IntEngine,
    workspace: Workspace,
    about: About,
    file_bytes: usize,
}

impl Demo {
    /// Takes the network of a model file.
    ///
    /// # Errors
    /// If the bytes are not an intact model file; the network from before stays.
    pub fn load(&mut self, bytes: &[u8]) -> Result<(), String> {
        let (graph, about) = IntGraph::from_bytes(bytes).map_err(|e| e.to_string())?;
        let engine = IntEngine::new(graph).map_err(|e| e.to_string())?;
        let workspace = engine.workspace();
        self.network = Some(Network { engine, workspace, about, file_bytes: bytes.len() });
        Ok(())
    }

    fn network(&mut self) -> Result<(&mut Network, &[u8]), String> {
        let network = self.network.as_mut().ok_or("no network has been loaded")?;
        Ok((network, &self.image))
    }

    /// As JSON: `isa`, `file_bytes`, `weight_bytes`, `multiply_adds`, `image` (`[h, w, c]`), the file's own words (`about`), and of each
    /// `layer` with weights its `node`, `name`, `op`, `shape`, `w_bits`, `a_bits` and `multiply_adds`. `null` without a network.
    pub fn about(&self) -> String {
        let Some(network) = &self.network else { return "null".to_owned() };
        let graph = network.engine.graph();
        let multiply_adds = graph.multiply_adds();
        let layers: Vec<_> = graph
            .nodes()
            .iter()
            .enumerate()
            .filter_map(|(i, node)| {
                let (w, w_bits) = node.op.weights()?;
                let a_bits = graph.values()[node.op.inputs()[0]].bits;
                Some(json!({
                    "node": i, "name": node.name, "op": node.op.kind(), "shape": w.dims(),
                    "w_bits": w_bits, "a_bits": a_bits, "multiply_adds": multiply_adds[i],
                }))
            })
            .collect();
        json!({
            "isa": network.engine.isa(),
            "file_bytes": network.file_bytes,
            "weight_bytes": graph.weight_bytes(),
            "multiply_adds": multiply_adds.iter().sum::<usize>(),
            "image": graph.image(),
            "about": network.about,
            "layers": layers,
        })
        .to_string()
    }

    /// The logits of an image `[h][w][c]`: as integers, then in real numbers, all little-endian.
    ///
    /// # Errors
    /// If there is no network, or the image has another size than the network's.
    pub fn classify(&mut self, image: &[u8]) -> Result<Vec<u8>, String> {
        let (Network { engine, workspace, .. }, _) = self.network()?;
        let [h, w, c] = engine.graph().image();
        if image.len() != h * w * c {
            return Err(format!("an image has {h} x {w} x {c} bytes, got {}", image.len()));
        }
        let mut logits = vec![0; engine.graph().logit_scale().len()];
        engine.classify(workspace, image, &mut logits);
        let real = engine.graph().real_logits(&logits);
        self.image.clear();
        self.image.extend_from_slice(image);
        let integers = logits.iter().flat_map(|logit| logit.to_le_bytes());
        Ok(integers.chain(real.iter().flat_map(|logit| logit.to_le_bytes())).collect())
    }

    /// How often each code of the grid, from `-2^(b-1)` to `2^(b-1) - 1`, is a weight of a node.
    ///
    /// # Errors
    /// If there is no network, or the node has no weights.
    pub fn weight_codes(&mut self, node: usize) -> Result<Vec<u32>, String> {
        let (network, _) = self.network()?;
        let node = network.engine.graph().nodes().get(node);
        let (w, bits) = node.and_then(|node| node.op.weights()).ok_or("this node has no weights")?;
        let mut counts = vec![0; 1 << bits];
        for &code in w.data() {
            counts[(i32::from(code) + (1 << (bits - 1))) as usize] += 1;
        }
        Ok(counts)
    }

    /// How often each code of the grid, from 0 to `2^b - 1`, was read by a node in the last image.
    ///
    /// # Errors
    /// If there is no network, it has seen no image, or the node reads none.
    pub fn input_codes(&mut self, node: usize) -> Result<Vec<u32>, String> {
        let (Network { engine, workspace, .. }, image) = self.network()?;
        let graph = engine.graph();
        if image.len() != graph.image().iter().product::<usize>() {
            return Err("the network has seen no image".to_owned());
        }
        let x = match graph.nodes().get(node).map(|node| &node.op) {
            Some(Op::Conv2d { x, .. } | Op::Linear { x, .. }) => *x,
            _ => return Err("this node has no weights".to_owned()),
        };
        let mut counts = vec![0; 1 << graph.values()[x].bits];
        let mut logits = vec![0; graph.logit_scale().len()];
        engine.classify_with(workspace, image, &mut logits, |value, codes| {
            if value == x {
                codes().into_iter().for_each(|code| counts[code as usize] += 1);
            }
        });
        Ok(counts)
    }
}
