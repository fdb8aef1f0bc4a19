//! Tensors from files of others: names, layouts, numbers.

use std::collections::HashSet;
use std::path::Path;

use engine::Tensor;

use super::element::Element;
use super::layout;
use crate::{Checkpoint, Error, Result};

/// Whether a network needs the tensor of this name.
pub(crate) fn is_weight(name: &str) -> bool {
    let ending = name.rsplit('.').next().unwrap_or(name);
    ["weight", "bias", "running_mean", "running_var"].contains(&ending)
}

/// Collects tensors read from a foreign file: PyTorch's layout in, the engine's out, every number checked.
#[derive(Debug)]
pub(crate) struct Builder {
    pub(crate) checkpoint: Checkpoint,
    names: HashSet<String>,
}

impl Builder {
    pub(crate) fn new(path: &Path) -> Self {
        let checkpoint = Checkpoint { path: path.to_path_buf(), ..Checkpoint::default() };
        Self { checkpoint, names: HashSet::new() }
    }

    /// Shapes have at most four dimensions.
    pub(crate) fn expect_rank(&self, name: &str, rank: usize) -> Result<()> {
        if rank > 4 {
            let detail = format!("tensor `{name}` has {rank} dimensions, at most 4 are read");
            return Err(Error::malformed(&self.checkpoint.path, detail));
        }
        Ok(())
    }

    /// Whether the tensor `name` is to be read. Whole numbers are a counter of the script's or an optimizer's step, which is passed
    /// over, or in place of a weight codes of a quantized network, and worth nothing without their scale.
    pub(crate) fn takes(&self, name: &str, element: Element) -> Result<bool> {
        if element.is_integer() && is_weight(name) {
            let detail = format!(
                "tensor `{name}` holds whole numbers ({element:?}), which are codes without a scale; save the weights as \
                 floats"
            );
            return Err(Error::malformed(&self.checkpoint.path, detail));
        }
        Ok(!element.is_integer())
    }

    /// Adds a tensor under a canonical name.
    pub(crate) fn push(&mut self, name: String, dims: &[usize], values: Vec<f32>) -> Result<()> {
        self.expect_rank(&name, dims.len())?;
        let path = &self.checkpoint.path;
        if !self.names.insert(name.clone()) {
            return Err(Error::malformed(path, format!("tensor `{name}` occurs twice")));
        }
        let tensor = Tensor::from_vec(dims, values)?;
        if let Some((index, value)) = tensor.first_non_finite() {
            return Err(Error::NonFinite { path: path.clone(), name, index, value: value.into() });
        }
        if let Some(index) =
            tensor.data().iter().position(|&v| v < 0.0).filter(|_| name.ends_with("running_var"))
        {
            let value = tensor.data()[index];
            let detail =
                format!("tensor `{name}` holds {value} at index {index}; a variance cannot be negative");
            return Err(Error::malformed(path, detail));
        }
        self.checkpoint.tensors.push((name, layout::from_torch(tensor)));
        Ok(())
    }
}

/// The name a tensor has in this project, `None` for tensors that networks do not need.
///
/// `module.` (left by PyTorch's `DataParallel`) is dropped, `linear.` becomes `fc.`, `.shortcut.` becomes
/// `.downsample.`, and batch norm's `num_batches_tracked` is ignored.
pub fn canonical_name(name: &str) -> Option<String> {
    let name = name.strip_prefix("module.").unwrap_or(name);
    if name.ends_with("num_batches_tracked") {
        return None;
    }
    let name = match name.strip_prefix("linear.") {
        Some(rest) => format!("fc.{rest}"),
        None => name.to_string(),
    };
    Some(name.replace(".shortcut.", ".downsample."))
}
