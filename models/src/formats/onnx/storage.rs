//! Which of ONNX's integer types holds a grid.

use std::ops::RangeInclusive;

use quant::{Grid, Plan};

use super::model::Element;
use crate::{Error, Result};

/// The versions of ONNX's operators that can be written. Before 13 there are no scales per channel.
pub const OPSETS: RangeInclusive<u32> = 13..=25;

/// Widths for which `QuantizeLinear` and `DequantizeLinear` have types, and the first version in which they do.
const TYPES: [(u32, u32); 4] = [(2, 25), (4, 21), (8, 13), (16, 21)];

/// The type of the fewest bits that `opset` has for the codes of `grid`. A grid may be narrower than its type: then
/// the type's own saturation does not clip to it.
///
/// # Errors
/// If there is none: grids of more than 8 bits before 21.
pub fn element(grid: Grid, opset: u32) -> Result<Element> {
    let fits = |&&(bits, since): &&(u32, u32)| bits >= grid.bits() && since <= opset;
    let (bits, _) = TYPES.iter().find(fits).ok_or_else(|| {
        Error::Value(format!("ONNX's opset {opset} has no integers of {} bits; 21 has", grid.bits()))
    })?;
    Ok(Element::Int { bits: *bits, signed: grid.is_signed() })
}

/// The first version that has a type no wider than it must be for every grid of `plan`; the first of [`OPSETS`] for a
/// network in floats.
pub fn least_opset(plan: Option<&Plan>) -> u32 {
    let layers = plan.into_iter().flat_map(|plan| plan.layers().iter().filter_map(|(_, widths)| *widths));
    let inputs = plan.into_iter().flat_map(|plan| plan.inputs().map(|(_, bits)| bits));
    let since = |bits: u32| TYPES.iter().find(|(width, _)| *width >= bits).map_or(21, |(_, since)| *since);
    layers.map(|widths| widths.w).chain(inputs).map(since).fold(*OPSETS.start(), u32::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrowest_type_of_the_version_is_taken() {
        let of = |bits, opset| element(Grid::unsigned(bits).unwrap(), opset);
        for (bits, opset, expected) in
            [(8, 13, 8), (4, 13, 8), (4, 21, 4), (3, 21, 4), (2, 24, 4), (2, 25, 2), (1, 25, 2), (9, 21, 16)]
        {
            assert_eq!(of(bits, opset).unwrap(), Element::Int { bits: expected, signed: false });
        }
        assert!(of(16, 13).unwrap_err().to_string().contains("no integers of 16 bits; 21 has"));
        let signed = element(Grid::signed(4).unwrap(), 21).unwrap();
        assert_eq!(signed, Element::Int { bits: 4, signed: true });
    }
}
