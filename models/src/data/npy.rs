//! A user's samples in NumPy's `.npy` format.
//!
//! The file is `\x93NUMPY`, a version, the length of a header, the header (a Python dictionary such as
//! `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`) and the raw numbers.

use std::path::Path;

use engine::Tensor;

use crate::{Error, Result, formats::element::Element, formats::mmap::Bytes};

/// Reads the numbers of an `.npy` file as one vector, in the order of the file, whatever their shape: half,
/// single or double precision, or integers, of either byte order, rounded to `f32`.
///
/// # Errors
/// If the file is not an array of such numbers, is empty or truncated, or holds a NaN or an infinity (its index
/// is named).
pub fn read(path: impl AsRef<Path>) -> Result<Tensor> {
    let path = path.as_ref();
    read_bytes(path, &Bytes::map(path)?)
}

/// [`read`] from memory; `path` is named in errors.
///
/// # Errors
/// As [`read`].
pub fn read_bytes(path: &Path, bytes: &[u8]) -> Result<Tensor> {
    let malformed = |detail: String| Error::malformed(path, detail);
    let (header, data) = split(bytes)
        .ok_or_else(|| malformed("not an .npy file; save the samples with numpy.save".to_string()))?;
    let descr = entry(header, "descr").and_then(quoted).unwrap_or("of a record type");
    let (element, big_endian) = element_of(descr).ok_or_else(|| {
        malformed(format!("elements `{descr}` are not read; save them as float32 with numpy.save"))
    })?;
    let count = entry(header, "shape").and_then(product).ok_or_else(|| {
        malformed(format!("the header `{}` has no shape that fits into memory", header.trim_end()))
    })?;
    let size = element.size();
    if count == 0 {
        return Err(malformed("holds no samples".to_string()));
    }
    if count.checked_mul(size) != Some(data.len()) {
        let found = data.len();
        let cut = count.checked_mul(size).is_none_or(|expected| found < expected);
        let why = if cut { "truncated?" } else { "is something appended?" };
        return Err(malformed(format!(
            "{count} numbers of {size} bytes expected, {found} bytes found; {why}"
        )));
    }
    let values = if big_endian {
        let mut swapped = data.to_vec();
        swapped.chunks_exact_mut(size).for_each(<[u8]>::reverse);
        element.read_all(&swapped)
    } else {
        element.read_all(data)
    };
    let samples = Tensor::from_vec([count], values)?;
    match samples.first_non_finite() {
        Some((index, value)) => Err(Error::NonFinite {
            path: path.to_path_buf(),
            name: "samples".into(),
            index,
            value: value.into(),
        }),
        None => Ok(samples),
    }
}

/// Header text and data.
fn split(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let rest = bytes.strip_prefix(b"\x93NUMPY")?;
    let (&[major, _minor], rest) = rest.split_first_chunk()?;
    let (len, rest) = match major {
        1 => rest.split_first_chunk().map(|(len, rest)| (usize::from(u16::from_le_bytes(*len)), rest))?,
        2 | 3 => rest.split_first_chunk().map(|(len, rest)| (u32::from_le_bytes(*len) as usize, rest))?,
        _ => return None,
    };
    let (header, data) = rest.split_at_checked(len)?;
    Some((std::str::from_utf8(header).ok()?, data))
}

/// What follows `'key':` in the header.
fn entry<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let after =
        header.split_once(&format!("'{key}'")).or_else(|| header.split_once(&format!("\"{key}\"")))?.1;
    Some(after.trim_start().strip_prefix(':')?.trim_start())
}

/// The text between the quotes that `text` begins with.
fn quoted(text: &str) -> Option<&str> {
    let quote = text.chars().next().filter(|q| ['\'', '"'].contains(q))?;
    Some(text[1..].split_once(quote)?.0)
}

/// The product of the extents in the tuple that `text` begins with; `()` is a single number.
fn product(text: &str) -> Option<usize> {
    let extents = text.strip_prefix('(')?.split_once(')')?.0;
    extents
        .split(',')
        .map(str::trim)
        .filter(|e| !e.is_empty())
        .try_fold(1usize, |n, e| n.checked_mul(e.parse().ok()?))
}

/// NumPy's type string: byte order, kind, bytes.
fn element_of(descr: &str) -> Option<(Element, bool)> {
    let order = descr.chars().next().filter(|o| ['<', '>', '|', '='].contains(o))?;
    let element = match &descr[1..] {
        "f8" => Element::F64,
        "f4" => Element::F32,
        "f2" => Element::F16,
        "i8" => Element::I64,
        "i4" => Element::I32,
        "i2" => Element::I16,
        "i1" => Element::I8,
        "u8" => Element::U64,
        "u4" => Element::U32,
        "u2" => Element::U16,
        "u1" | "b1" => Element::U8,
        _ => return None,
    };
    Some((element, order == '>'))
}

#[cfg(test)]
mod tests {
    use npyz::WriterBuilder;
    use proptest::prelude::*;

    use super::*;

    fn parse(bytes: &[u8]) -> Result<Tensor> {
        read_bytes(Path::new("x.npy"), bytes)
    }

    fn with_header(header: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    /// What another implementation writes.
    fn npyz_bytes<T: npyz::AutoSerialize + Copy>(shape: &[u64], values: &[T]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer =
            npyz::WriteOptions::new().default_dtype().shape(shape).writer(&mut bytes).begin_nd().unwrap();
        writer.extend(values.iter().copied()).unwrap();
        writer.finish().unwrap();
        bytes
    }

    #[test]
    fn reads_what_other_libraries_write() {
        assert_eq!(parse(&npyz_bytes(&[2, 3], &[1f32, -2., 3., 4., 5., 6.5])).unwrap().data()[1], -2.0);
        assert_eq!(parse(&npyz_bytes(&[2], &[1f64, 0.1])).unwrap().data(), [1.0, 0.1]);
        assert_eq!(parse(&npyz_bytes(&[3], &[-1i64, 2, 3])).unwrap().data(), [-1.0, 2.0, 3.0]);
        assert_eq!(parse(&npyz_bytes(&[1], &[200u8])).unwrap().dims(), [1]);
        let big = with_header("{'descr': '>i2', 'fortran_order': False, 'shape': (2,), }", &[1, 0, 0, 2]);
        assert_eq!(parse(&big).unwrap().data(), [256.0, 2.0]);
        let half = with_header("{'descr': '<f2', 'fortran_order': True, 'shape': (), }", &[0, 0x3c]);
        assert_eq!(parse(&half).unwrap().data(), [1.0]);
    }

    #[test]
    fn bad_files_say_what_is_wrong() {
        let message = |bytes: &[u8]| parse(bytes).unwrap_err().to_string();
        assert!(message(b"1,2,3").contains("not an .npy file"));
        assert!(message(&npyz_bytes(&[3], &[1f32, f32::NAN, 3.])).contains("`samples` holds NaN at index 1"));
        assert!(message(&npyz_bytes(&[1], &[f64::MAX])).contains("inf"));
        let whole = npyz_bytes(&[3], &[1f32, 2., 3.]);
        assert!(message(&whole[..whole.len() - 1]).contains("truncated?"));
        assert!(message(&[&whole[..], &[0; 4]].concat()).ends_with("16 bytes found; is something appended?"));
        assert!(message(&npyz_bytes::<f32>(&[0], &[])).contains("holds no samples"));
        assert!(
            message(&with_header("{'descr': '<c8', 'shape': (1,)}", &[0; 8])).contains("`<c8` are not read")
        );
        assert!(
            message(&with_header("{'descr': [('a', '<f4')], 'shape': (1,)}", &[0; 4])).contains("record")
        );
        let huge = "{'descr': '<f4', 'shape': (4294967296, 4294967296)}";
        assert!(message(&with_header(huge, &[])).contains("no shape"));
    }

    proptest! {
        #[test]
        fn no_header_panics(header in "[{}'(),:<>a-z0-9 é]{0,60}", data in prop::collection::vec(any::<u8>(), 0..9)) {
            let _ = parse(&with_header(&header, &data));
            let _ = parse(&with_header(&format!("{{'descr': {header}, 'shape': {header}"), &data));
            let _ = parse(&data);
        }
    }
}
