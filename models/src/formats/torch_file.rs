//! Checkpoints that PyTorch saved: `.pt`, `.pth`, `.th`, `.pth.tar`. Nothing in them is executed.
//!
//! `torch.save` has written two formats, told apart by their first bytes:
//! - **zip** (since 1.6): an uncompressed archive with `data.pkl`, whose tensors refer to storages by key, and one
//!   file `data/KEY` of raw numbers per storage;
//! - **legacy**: five pickles one after the other (a magic number, a version, properties of the machine, the object,
//!   the keys of the storages), then for each key the number of elements (8 bytes) and the raw numbers.
//!
//! The object must be a state dictionary (name -> tensor), or hold one anywhere in dictionaries, lists and tuples, as
//! training scripts save it.

mod dictionaries;

use std::{
    collections::HashMap,
    io::{Cursor, Read},
    path::Path,
};

use byteorder::{ByteOrder, LittleEndian as LE};

use crate::{
    Checkpoint, Error, Result,
    formats::foreign::{Builder, canonical_name, is_weight},
    formats::mmap::Bytes,
    formats::pickle::{self, Heap, Object, PickleError, TensorView, Value},
};

/// First bytes of a zip archive.
pub const ZIP_MAGIC: &[u8] = b"PK\x03\x04";
/// `0x1950a86a20f9469cfc6c`, little-endian: what the first pickle of a legacy file holds.
const LEGACY_MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
/// Numbers all tensors of a file may have together. A strided view may repeat one stored number as often as it
/// likes, so the file's size does not bound them.
const MAX_NUMBERS: usize = 1 << 26;

/// Reads the state dictionary of a PyTorch file: names made [canonical](canonical_name), layouts the engine's.
/// Where several networks are in the file, `key` says which (see [`state_dict`](crate::formats::state_dict)). The metadata is
/// that of a quantized network that [this program saved](crate::formats::torch_save); of any other file it is empty.
///
/// # Errors
/// If the file is truncated or of another kind, a weight depends on a Python object other than those of tensors, is
/// outside its storage, or made of whole numbers, NaN or infinities, or it is not clear which network is meant.
pub fn read(path: impl AsRef<Path>, key: Option<&str>) -> Result<Checkpoint> {
    let path = path.as_ref();
    let bytes = Bytes::map(path)?;
    read_bytes(path, &bytes, key)
}

/// [`read`] from memory; `path` is named in errors.
///
/// # Errors
/// As [`read`].
pub fn read_bytes(path: &Path, bytes: &[u8], key: Option<&str>) -> Result<Checkpoint> {
    let (heap, root, mut storages) =
        if bytes.starts_with(ZIP_MAGIC) { open_zip(path, bytes)? } else { open_legacy(path, bytes)? };
    let (items, place) = dictionaries::weights(path, &heap, root, key)?;
    let mut builder = Builder::new(path);
    builder.checkpoint.notes.extend(place.note());
    builder.checkpoint.metadata = dictionaries::metadata(&heap, root);
    let mut numbers = 0usize;
    for &(key, value) in items {
        let Some(name) = heap.text(key) else {
            return Err(Error::malformed(path, "the state_dict has a key that is not text"));
        };
        // Beside a prefix that all weights share, there are counters at most.
        let Some(stripped) = name.strip_prefix(&place.prefix) else { continue };
        let Some(canonical) = canonical_name(stripped) else { continue };
        let view = match heap.get(value) {
            Some(Object::Tensor(view)) => view,
            Some(Object::Inert(global)) if is_weight(&canonical) => {
                return Err(Error::Refused { path: path.to_path_buf(), global: global.clone() });
            }
            _ if place.is_network && !is_weight(&canonical) => continue,
            _ => {
                return Err(Error::malformed(
                    path,
                    format!("entry `{name}` of the state_dict is not a tensor"),
                ));
            }
        };
        if !builder.takes(&canonical, view.storage.element)? {
            continue;
        }
        builder.expect_rank(&canonical, view.size.len())?;
        let len = view.size.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).unwrap_or(usize::MAX);
        numbers = numbers.saturating_add(len);
        if numbers > MAX_NUMBERS {
            let detail = format!("more than {MAX_NUMBERS} numbers up to tensor `{name}`, which are not read");
            return Err(Error::malformed(path, detail));
        }
        let values = gather(view, storages.get(path, &view.storage.key)?).ok_or_else(|| {
            let (size, stride) = (&view.size, &view.stride);
            let detail = format!("tensor `{name}` {size:?} with strides {stride:?} lies outside its storage");
            Error::malformed(path, detail)
        })?;
        builder.push(canonical, &view.size, values)?;
    }
    Ok(builder.checkpoint)
}

/// The elements of a strided view, row-major; `None` if one lies outside the storage.
fn gather(view: &TensorView, bytes: &[u8]) -> Option<Vec<f32>> {
    let element = view.storage.element;
    let available = view.storage.len.min(bytes.len() / element.size());
    let len: usize = view.size.iter().product();
    let mut values = Vec::with_capacity(len);
    let mut index = vec![0; view.size.len()];
    for _ in 0..len {
        let steps = index.iter().zip(&view.stride);
        let place = steps
            .map(|(&i, &stride): (&usize, &usize)| i.checked_mul(stride))
            .try_fold(view.offset, |sum, step| sum.checked_add(step?))?;
        if place >= available {
            return None;
        }
        let value = element.read(&bytes[place * element.size()..]);
        values.push(if view.negative { -value } else { value });
        // The next index: the last dimension runs fastest.
        for d in (0..index.len()).rev() {
            index[d] += 1;
            if index[d] < view.size[d] {
                break;
            }
            index[d] = 0;
        }
    }
    Some(values)
}

/// The raw numbers of the storages by key.
enum Storages<'a> {
    /// Ranges of the file.
    Legacy { bytes: &'a [u8], ranges: HashMap<String, std::ops::Range<usize>> },
    /// Entries `folder/data/KEY` of an archive, kept once read.
    Zip { archive: Archive<'a>, folder: String, read: HashMap<String, Vec<u8>> },
}

impl Storages<'_> {
    fn get(&mut self, path: &Path, key: &str) -> Result<&[u8]> {
        match self {
            Self::Legacy { bytes, ranges } => ranges
                .get(key)
                .map(|range| &bytes[range.clone()])
                .ok_or_else(|| Error::malformed(path, format!("storage `{key}` is missing"))),
            Self::Zip { archive, folder, read } => {
                if !read.contains_key(key) {
                    let bytes = archive.entry(path, &format!("{folder}data/{key}"))?;
                    read.insert(key.to_string(), bytes);
                }
                Ok(&read[key])
            }
        }
    }
}

/// A zip archive whose entries are read once each.
struct Archive<'a> {
    zip: zip::ZipArchive<Cursor<&'a [u8]>>,
    /// Bytes that entries may still take: stored uncompressed and side by side, they have no more than the file.
    left: u64,
}

impl Archive<'_> {
    fn entry(&mut self, path: &Path, name: &str) -> Result<Vec<u8>> {
        let broken = |e: &dyn std::fmt::Display| Error::malformed(path, format!("entry `{name}`: {e}"));
        let entry = self.zip.by_name(name).map_err(|e| broken(&e))?;
        let mut bytes = Vec::new();
        let len = entry.take(self.left + 1).read_to_end(&mut bytes).map_err(|e| broken(&e))?;
        self.left = self.left.checked_sub(len as u64).ok_or_else(|| broken(&"longer than the file"))?;
        Ok(bytes)
    }
}

fn open_zip<'a>(path: &Path, bytes: &'a [u8]) -> Result<(Heap, Value, Storages<'a>)> {
    let broken = |e| Error::malformed(path, format!("not a complete zip archive ({e}); truncated?"));
    let zip = zip::ZipArchive::new(Cursor::new(bytes)).map_err(broken)?;
    let Some(pickle_name) =
        zip.file_names().find(|n| *n == "data.pkl" || n.ends_with("/data.pkl")).map(str::to_string)
    else {
        return Err(Error::malformed(path, "is a zip archive without data.pkl, not one of PyTorch's"));
    };
    let folder = pickle_name.trim_end_matches("data.pkl").to_string();
    let byteorder = format!("{folder}byteorder");
    let says_byteorder = zip.index_for_name(&byteorder).is_some();
    let mut archive = Archive { zip, left: bytes.len() as u64 };
    if says_byteorder && archive.entry(path, &byteorder)? != b"little" {
        return Err(Error::malformed(path, "was saved on a big-endian machine, which is not read"));
    }
    let pickle = archive.entry(path, &pickle_name)?;
    let (heap, root, _) = pickle::read(&pickle).map_err(|e| pickle_error(path, e))?;
    Ok((heap, root, Storages::Zip { archive, folder, read: HashMap::new() }))
}

fn open_legacy<'a>(path: &Path, bytes: &'a [u8]) -> Result<(Heap, Value, Storages<'a>)> {
    let mut at = 0;
    let mut next = || -> Result<(Heap, Value)> {
        let (heap, value, len) = pickle::read(&bytes[at..]).map_err(|e| pickle_error(path, e))?;
        at += len;
        Ok((heap, value))
    };
    let (heap, magic) = next()?;
    if let Some(Object::Inert(global)) = heap.get(magic) {
        return Err(Error::Refused { path: path.to_path_buf(), global: global.clone() });
    }
    if !matches!(heap.get(magic), Some(Object::Bytes(b)) if *b == LEGACY_MAGIC) {
        return Err(Error::malformed(path, "is a pickle, but not one of torch.save"));
    }
    next()?; // protocol version: 1001 in all files there are
    let (system, properties) = next()?;
    let little = |&(key, value): &(Value, Value)| {
        system.text(key) == Some("little_endian") && value == Value::Bool(false)
    };
    if system.dict(properties).unwrap_or_default().iter().any(little) {
        return Err(Error::malformed(path, "was saved on a big-endian machine, which is not read"));
    }
    let (heap, root) = next()?;
    let (key_heap, keys) = next()?;
    let Some(keys) = key_heap.sequence(keys) else {
        return Err(Error::malformed(path, "the list of storages is missing"));
    };
    let ranges = legacy_ranges(path, bytes, at, keys.iter().map(|&key| key_heap.text(key)), &heap)?;
    Ok((heap, root, Storages::Legacy { bytes, ranges }))
}

/// Where each storage lies: their sizes depend on their element types, which the tensors know.
fn legacy_ranges<'k>(
    path: &Path,
    bytes: &[u8],
    mut at: usize,
    keys: impl Iterator<Item = Option<&'k str>>,
    heap: &Heap,
) -> Result<HashMap<String, std::ops::Range<usize>>> {
    let sizes: HashMap<&str, usize> = heap
        .objects()
        .filter_map(|object| match object {
            Object::Storage(storage) => Some((storage.key.as_str(), storage.element.size())),
            _ => None,
        })
        .collect();
    let mut ranges = HashMap::new();
    for key in keys {
        let range = key.and_then(|key| {
            let len = usize::try_from(LE::read_u64(bytes.get(at..at + 8)?)).ok()?;
            let end = len.checked_mul(*sizes.get(key)?)?.checked_add(at + 8)?;
            (end <= bytes.len()).then_some((key, at + 8..end))
        });
        if let Some(key) = key.filter(|key| !sizes.contains_key(key)) {
            let detail =
                format!("storage `{key}` has elements of a type that is not read (complex numbers, say)");
            return Err(Error::malformed(path, detail));
        }
        let Some((key, range)) = range else {
            let detail = format!("the storages end early at byte {at} of {}; truncated?", bytes.len());
            return Err(Error::malformed(path, detail));
        };
        at = range.end;
        ranges.insert(key.to_string(), range);
    }
    Ok(ranges)
}

fn pickle_error(path: &Path, error: PickleError) -> Error {
    match error {
        PickleError::Refused(global) => Error::Refused { path: path.to_path_buf(), global },
        PickleError::Protocol0 => Error::malformed(
            path,
            "pickle protocol 0 is not read; save again with torch.save and its default protocol",
        ),
        PickleError::Broken(what, at) => Error::malformed(
            path,
            format!(
                "not a complete PyTorch file: the pickle has {what} at byte {at}; truncated, or another format?"
            ),
        ),
    }
}
