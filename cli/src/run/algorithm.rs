//! The names of the convolution algorithms on the command line.

use clap::ValueEnum;
use engine::fast::Algorithm;
use engine::kernel::Isa;
use serde::{Deserialize, Serialize};

/// How convolutions and their gradients are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlgorithmChoice {
    /// Copy receptive fields, then one matrix product per image
    Im2col,
    /// Read the padded image in place: the most exact of the fast ones
    Direct,
    /// Winograd's F(4x4, 3x3) where it fits: the fastest; gradients differ from the exact ones in the third digit
    #[default]
    Winograd,
}

impl AlgorithmChoice {
    /// The algorithm on the instruction set in use.
    pub fn algorithm(self) -> Algorithm {
        match self {
            Self::Im2col => Algorithm::Im2col,
            Self::Direct => Algorithm::Direct(Isa::active()),
            Self::Winograd => Algorithm::Winograd(Isa::active()),
        }
    }
}
