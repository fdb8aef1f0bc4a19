//! Weights at their real width: `b` bits each, one behind the other, the first in the lowest bits.
//!
//! ```text
//! 3 bits    byte 0            byte 1            byte 2
//!           c1 c1 b0 b0 ...   bit i of weight n stands in bit (n b + i) % 8 of byte (n b + i) / 8
//! ```
//!
//! What is stored is `w_int - qmin`, so that it is unsigned. Weights of no bits are all 0 and take no bytes.

use engine::{Error, Result};

use crate::Grid;

/// More weights that take no bytes are taken for damage: nothing else would bound the memory that a small file asks for.
const MOST_OF_NO_BITS: usize = 1 << 20;

/// Bytes of `n` weights of `bits` bits.
pub fn packed_len(n: usize, bits: u32) -> usize {
    (n * bits as usize).div_ceil(8)
}

/// Packs signed weights of `bits` bits.
///
/// ```
/// use quant::int_graph::bitpack::{pack, unpack};
/// assert_eq!(pack(&[-2, 1, 0, -1, 1], 2), [0b01_10_11_00, 0b11]);
/// assert_eq!(unpack(&pack(&[-2, 1, 0, -1, 1], 2), 5, 2)?, [-2, 1, 0, -1, 1]);
/// # Ok::<(), engine::Error>(())
/// ```
///
/// # Panics
/// Unless `bits` is 0 to 8 and every weight is on the grid: a caller that has a checked network has both.
pub fn pack(w: &[i8], bits: u32) -> Vec<u8> {
    let grid = Grid::of_weights(bits).expect("at most 8 bits");
    let mut bytes = vec![0u8; packed_len(w.len(), bits)];
    for (n, &w) in w.iter().enumerate() {
        assert!(grid.contains(i32::from(w)), "weight {w} does not have {bits} bits");
        let code = (i32::from(w) - grid.qmin) as u32;
        if code == 0 {
            continue; // the bytes are zero, where there are any
        }
        let at = n * bits as usize;
        let shifted = code << (at % 8);
        bytes[at / 8] |= shifted as u8;
        if shifted > 255 {
            bytes[at / 8 + 1] |= (shifted >> 8) as u8;
        }
    }
    bytes
}

/// The `n` weights that [`pack`] packed.
///
/// # Errors
/// If `bits` is not 0 to 8, the bytes are not as many as `n` weights take, a bit behind the last weight is set, or there are
/// more than 2^20 weights of no bits.
pub fn unpack(bytes: &[u8], n: usize, bits: u32) -> Result<Vec<i8>> {
    if bits > 8 {
        return Err(Error::value("unpack", format!("weights have 0 to 8 bits, got {bits}")));
    }
    let expected = n.checked_mul(bits as usize).map(|b| b.div_ceil(8));
    if expected != Some(bytes.len()) {
        let detail = format!("{n} weights of {bits} bits do not take {} bytes", bytes.len());
        return Err(Error::shape("unpack", detail));
    }
    let spare = bytes.len() * 8 - n * bits as usize;
    if spare > 0 && bytes[bytes.len() - 1] >> (8 - spare) != 0 {
        return Err(Error::value("unpack", "bits behind the last weight are set"));
    }
    if bits == 0 && n > MOST_OF_NO_BITS {
        let detail = format!("{n} weights of no bits, at most {MOST_OF_NO_BITS} are read");
        return Err(Error::value("unpack", detail));
    }
    let qmin = Grid::of_weights(bits)?.qmin;
    let byte = |at: usize| u32::from(bytes.get(at).copied().unwrap_or(0));
    let weight = |n: usize| {
        let at = n * bits as usize;
        let pair = byte(at / 8) | byte(at / 8 + 1) << 8;
        ((pair >> (at % 8) & ((1 << bits) - 1)) as i32 + qmin) as i8
    };
    Ok((0..n).map(weight).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_width_and_length_comes_back() {
        for bits in 0..=8 {
            let (qmin, levels) = (Grid::of_weights(bits).unwrap().qmin, 1i32 << bits);
            for n in 0..40 {
                let w: Vec<i8> = (0..n).map(|i| (qmin + (i * 7 + 3) % levels) as i8).collect();
                let packed = pack(&w, bits);
                assert_eq!(packed.len(), (n as usize * bits as usize).div_ceil(8));
                assert_eq!(unpack(&packed, n as usize, bits).unwrap(), w);
            }
        }
    }

    #[test]
    fn what_is_not_packed_weights_is_refused() {
        assert!(unpack(&[0; 3], 9, 2).is_ok());
        for (bytes, n, bits) in
            [(&[0; 2][..], 9, 2), (&[0; 4], 9, 2), (&[0], 1, 0), (&[0; 2], 1, 9), (&[4], 1, 2)]
        {
            assert!(unpack(bytes, n, bits).is_err(), "{bytes:?} {n} {bits}");
        }
        assert!(unpack(&[], usize::MAX, 8).is_err());
        assert!(unpack(&[], 1 << 20, 0).is_ok() && unpack(&[], usize::MAX, 0).is_err());
    }
}
