//! Element types of tensors on disk, all little-endian, and their conversion to `f32`.

use byteorder::{ByteOrder, LittleEndian as LE};

/// The type of a stored number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// IEEE double precision.
    F64,
    /// IEEE single precision.
    F32,
    /// IEEE half precision: 5 bits of exponent, 10 of mantissa.
    F16,
    /// The high half of an `f32`: 8 bits of exponent, 7 of mantissa.
    Bf16,
    /// Signed integers of 64, 32, 16 and 8 bits.
    I64,
    /// 32 bits, signed.
    I32,
    /// 16 bits, signed.
    I16,
    /// 8 bits, signed.
    I8,
    /// Unsigned integers of 64, 32, 16 and 8 bits.
    U64,
    /// 32 bits, unsigned.
    U32,
    /// 16 bits, unsigned.
    U16,
    /// 8 bits, unsigned; also truth values.
    U8,
}

impl Element {
    /// Whether it holds whole numbers only.
    pub fn is_integer(self) -> bool {
        !matches!(self, Self::F64 | Self::F32 | Self::F16 | Self::Bf16)
    }

    /// Bytes of one number.
    pub fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 | Self::U64 => 8,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F16 | Self::Bf16 | Self::I16 | Self::U16 => 2,
            Self::I8 | Self::U8 => 1,
        }
    }

    /// The first number in `bytes`, rounded to the nearest `f32`.
    ///
    /// # Panics
    /// If `bytes` is shorter than [`Element::size`].
    pub fn read(self, bytes: &[u8]) -> f32 {
        match self {
            Self::F64 => LE::read_f64(bytes) as f32,
            Self::F32 => LE::read_f32(bytes),
            Self::F16 => f32_from_f16(LE::read_u16(bytes)),
            Self::Bf16 => f32::from_bits(u32::from(LE::read_u16(bytes)) << 16),
            Self::I64 => LE::read_i64(bytes) as f32,
            Self::I32 => LE::read_i32(bytes) as f32,
            Self::I16 => f32::from(LE::read_i16(bytes)),
            Self::I8 => f32::from(bytes[0] as i8),
            Self::U64 => LE::read_u64(bytes) as f32,
            Self::U32 => LE::read_u32(bytes) as f32,
            Self::U16 => f32::from(LE::read_u16(bytes)),
            Self::U8 => f32::from(bytes[0]),
        }
    }

    /// All numbers in `bytes`.
    pub fn read_all(self, bytes: &[u8]) -> Vec<f32> {
        bytes.chunks_exact(self.size()).map(|b| self.read(b)).collect()
    }
}

/// Half to single precision, exactly: `(-1)^s * 2^(e-15) * 1.m`, or `2^-14 * 0.m` when `e = 0`.
pub fn f32_from_f16(half: u16) -> f32 {
    let mantissa = f32::from(half & 0x3ff) / 1024.0;
    let magnitude = match (half >> 10) & 0x1f {
        0 => mantissa * 2f32.powi(-14),
        0x1f if mantissa == 0.0 => f32::INFINITY,
        0x1f => f32::NAN,
        exponent => (1.0 + mantissa) * 2f32.powi(i32::from(exponent) - 15),
    };
    if half >> 15 == 1 { -magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_precision_landmarks() {
        for (half, value) in [
            (0x0000, 0.0),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x0400, 6.103_515_6e-5),
            (0x0001, 5.960_464_5e-8),
            (0x3555, 0.333_251_95),
            (0x7c00, f32::INFINITY),
            (0xfc00, f32::NEG_INFINITY),
        ] {
            assert_eq!(f32_from_f16(half), value, "{half:04x}");
        }
        assert!(f32_from_f16(0x7e01).is_nan());
        assert!(f32_from_f16(0x8000).is_sign_negative());
    }

    #[test]
    fn every_element_reads_its_own_bytes() {
        assert_eq!(Element::F64.read(&1.5f64.to_le_bytes()), 1.5);
        assert_eq!(Element::F32.read(&(-2.5f32).to_le_bytes()), -2.5);
        assert_eq!(Element::Bf16.read(&0x3fc0u16.to_le_bytes()), 1.5);
        assert_eq!(Element::I64.read_all(&(-3i64).to_le_bytes()), [-3.0]);
        assert_eq!(Element::I32.read(&(-3i32).to_le_bytes()), -3.0);
        assert_eq!(Element::I16.read(&(-3i16).to_le_bytes()), -3.0);
        assert_eq!(Element::U64.read(&(1u64 << 63).to_le_bytes()), 9.223_372e18);
        assert_eq!(Element::U32.read(&(1u32 << 31).to_le_bytes()), 2_147_483_648.0);
        assert_eq!(Element::U16.read(&65535u16.to_le_bytes()), 65535.0);
        assert_eq!(Element::I8.read_all(&[0x80, 0x7f]), [-128.0, 127.0]);
        assert_eq!(Element::U8.read_all(&[0x80, 0x7f]), [128.0, 127.0]);
    }
}
