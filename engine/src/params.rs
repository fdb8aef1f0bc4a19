//! The parameters of a network: named tensors in a fixed order.

use std::collections::HashMap;

use crate::{Error, Result, Tensor};

/// What a parameter is, which decides how it is updated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A convolution's or linear layer's `w`.
    Weight,
    /// A linear layer's `b`.
    Bias,
    /// Batch norm's `gamma` and `beta`.
    Norm,
    /// Batch norm's running mean and variance: a state, not trained by gradients.
    Running,
}

impl Role {
    /// Whether gradients update it.
    pub fn trainable(self) -> bool {
        self != Self::Running
    }
}

/// One named tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Param {
    /// Its PyTorch name, such as `layer1.0.conv1.weight`.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// Its value, in the engine's layout.
    pub value: Tensor,
}

/// All parameters of a network, in the order of its layers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Params {
    list: Vec<Param>,
}

impl Params {
    /// Appends a parameter.
    ///
    /// # Errors
    /// If the name is taken.
    pub fn push(&mut self, name: impl Into<String>, role: Role, value: Tensor) -> Result<usize> {
        let name = name.into();
        if self.index(&name).is_some() {
            return Err(Error::value("params", format!("`{name}` is there already")));
        }
        self.list.push(Param { name, role, value });
        Ok(self.list.len() - 1)
    }

    /// Position of a name.
    pub fn index(&self, name: &str) -> Option<usize> {
        self.list.iter().position(|p| p.name == name)
    }

    /// The tensor of this name.
    ///
    /// # Errors
    /// If there is none.
    pub fn get(&self, name: &str) -> Result<&Tensor> {
        self.index(name).map(|i| &self.list[i].value).ok_or_else(|| self.unknown(name))
    }

    /// The tensor of this name, to write.
    ///
    /// # Errors
    /// If there is none.
    pub fn get_mut(&mut self, name: &str) -> Result<&mut Tensor> {
        match self.index(name) {
            Some(i) => Ok(&mut self.list[i].value),
            None => Err(self.unknown(name)),
        }
    }

    fn unknown(&self, name: &str) -> Error {
        let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
        let near = self.list.iter().find(|p| p.name.starts_with(stem) || p.name.contains(name));
        let hint = near.map_or(String::new(), |p| format!("; did you mean `{}`?", p.name));
        Error::Unknown { kind: "parameter", name: name.into(), hint }
    }

    /// All parameters in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Param> {
        self.list.iter()
    }

    /// All parameters in order, to write.
    pub fn iter_mut(&mut self) -> impl ExactSizeIterator<Item = &mut Param> {
        self.list.iter_mut()
    }

    /// Number of tensors.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Number of trainable scalars.
    pub fn trainable_count(&self) -> usize {
        self.list.iter().filter(|p| p.role.trainable()).map(|p| p.value.len()).sum()
    }

    /// Positions by name, for repeated look-ups.
    pub(crate) fn by_name(&self) -> HashMap<&str, usize> {
        self.list.iter().enumerate().map(|(i, p)| (p.name.as_str(), i)).collect()
    }
}

impl std::ops::Index<usize> for Params {
    type Output = Param;

    fn index(&self, i: usize) -> &Param {
        &self.list[i]
    }
}

impl std::ops::IndexMut<usize> for Params {
    fn index_mut(&mut self, i: usize) -> &mut Param {
        &mut self.list[i]
    }
}
