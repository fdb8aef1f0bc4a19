//! Which of ONNX's integer types holds a grid.

use std::ops::RangeInclusive;

use quant::{Grid, Plan};

use super::model::Element;
use crate::{Error, Result};

/// The versions of ONNX's operators that can be written. Before 13 there are no scales per channel.
pub const OPSETS: RangeInclusive<u32> = 13..=25;

/// Widths for which `QuantizeLinear` and `DequantizeLinear` have types, and the first version in which they do.
const TYPES: [(u32, u32); 4] = [(2, 25), (4, 21), (8, 13), (16, 21)];

/// The narrowest type behind a `Clip`.
const WIDE: u32 = 8;

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

/// The type that holds the codes of activations of `grid`: one of as many bits, or, where the values must be clipped first
/// because `opset` has none, one of 8 or 16 bits. (ONNX Runtime 1.32 takes the two for one operator and refuses narrower types for
/// it.)
///
/// # Errors
/// As [`element`].
pub fn activation_element(grid: Grid, opset: u32) -> Result<Element> {
    match element(grid, opset)? {
        Element::Int { bits, signed } if bits != grid.bits() => {
            Ok(Element::Int { bits: bits.max(WIDE), signed })
        }
        exact => Ok(exact),
    }
}

/// The first version that has a type no wider than it must be for every grid of `plan`; the first of [`OPSETS`] for a
/// network in floats.
pub fn least_opset(plan: Option<&Plan>) -> u32 {
    let layers = plan.into_iter().flat_map(|plan| plan.layers().iter().filter_map(|(_, widths)| *widths));
    let inputs = plan.into_iter().flat_map(|plan| plan.inputs().map(|(_, bits)| bits));
    let since = |bits: u32| TYPES.iter().find(|(width, _)| *width >= bits).map_or(21, |(_, since)| *since);
    // Activations without a type of their own are clipped, and kept in a wide one.
    let kept = |bits: u32| if TYPES.iter().any(|(width, _)| *width == bits) { bits } else { bits.max(WIDE) };
    // What is dropped is zeros in whatever there is.
    layers
        .map(|widths| widths.w)
        .filter(|w| *w > 0)
        .chain(inputs.map(kept))
        .map(since)
        .fold(*OPSETS.start(), u32::max)
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
        let of_activations = |bits, opset| activation_element(Grid::unsigned(bits).unwrap(), opset).unwrap();
        for (bits, opset, expected) in
            [(4, 21, 4), (3, 21, 8), (2, 24, 8), (2, 25, 2), (1, 25, 8), (9, 21, 16)]
        {
            assert_eq!(of_activations(bits, opset), Element::Int { bits: expected, signed: false });
        }
        assert!(of(16, 13).unwrap_err().to_string().contains("no integers of 16 bits; 21 has"));
        let signed = element(Grid::signed(4).unwrap(), 21).unwrap();
        assert_eq!(signed, Element::Int { bits: 4, signed: true });
    }
}
