//! The state dictionary in the object that was saved, wherever it is.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use crate::formats::pickle::{Heap, Object, Value};
use crate::formats::state_dict::{self, Place};
use crate::nets::quantized;
use crate::{Error, Result};

/// Keys and values of a dictionary.
type Items = [(Value, Value)];

/// Where the weights were found.
pub(super) struct Found {
    /// What stands before their names.
    pub(super) prefix: String,
    /// Whether they are a network's of this family, not just any tensors.
    pub(super) is_network: bool,
    note: Option<String>,
}

impl Found {
    /// What the user should know.
    pub(super) fn note(&self) -> Option<String> {
        self.note.clone()
    }
}

/// The items of the dictionary that holds the weights, and where it was found.
pub(super) fn weights<'a>(
    path: &Path,
    heap: &'a Heap,
    root: Value,
    key: Option<&str>,
) -> Result<(&'a Items, Found)> {
    let dictionaries = all(heap, root);
    let mut places = Vec::new();
    for (place, items) in &dictionaries {
        let names = items.iter().filter_map(|&(key, _)| heap.text(key));
        for prefix in state_dict::prefixes(names.clone()) {
            // An inert object in place of a weight is found here and refused by name later.
            places.push((Place { path: place.clone(), prefix }, *items));
        }
    }
    // A dictionary with several names is one network; the name that is meant stands for it.
    let is_meant = |place: &Place| key.is_none_or(|key| place.is_meant_by(key));
    if places.iter().any(|(place, _)| is_meant(place)) {
        let mut seen = HashSet::new();
        places
            .retain(|(place, items)| is_meant(place) && seen.insert((items.as_ptr(), place.prefix.clone())));
    }
    let only_places = places.iter().map(|(place, _)| place.clone()).collect();
    let chosen = state_dict::choose(only_places, key).map_err(|text| Error::malformed(path, text))?;
    if let Some(chosen) = chosen {
        let (place, items) =
            places.into_iter().find(|(place, _)| *place == chosen).expect("chosen among them");
        return Ok((items, Found { note: place.note(), prefix: place.prefix, is_network: true }));
    }
    any_tensors(path, heap, root)
        .map(|items| (items, Found { prefix: String::new(), is_network: false, note: None }))
}

/// The texts under `metadata` in `root`, if one of them says how the network is quantized. Anything else of that name is some
/// script's own and means nothing here.
pub(super) fn metadata(heap: &Heap, root: Value) -> BTreeMap<String, String> {
    let items = heap.dict(root).unwrap_or_default();
    let found = items.iter().find(|(key, _)| heap.text(*key) == Some("metadata"));
    let texts = found.and_then(|&(_, value)| heap.dict(value)).unwrap_or_default().iter();
    let texts =
        texts.filter_map(|&(key, text)| Some((heap.text(key)?.to_owned(), heap.text(text)?.to_owned())));
    let texts: BTreeMap<String, String> = texts.collect();
    if texts.contains_key(quantized::KEY) { texts } else { BTreeMap::new() }
}

/// How often something is looked at that was looked at before, under another name: a small file could have more names
/// than anybody can wait for.
const AGAIN: usize = 1024;

/// Every dictionary in `root` with the keys that lead to it, once for each way: a script may save one object under two keys.
fn all(heap: &Heap, root: Value) -> Vec<(String, &Items)> {
    let (mut found, mut seen, mut again) = (Vec::new(), HashSet::new(), 0);
    // With the objects that each is inside of, so that one inside of itself has an end.
    let mut waiting = vec![(String::new(), root, Vec::new())];
    while let Some((path, value, inside)) = waiting.pop() {
        let (Value::Object(id), Some(Object::Dict(_) | Object::Sequence(_))) = (value, heap.get(value))
        else {
            continue;
        };
        again += usize::from(!seen.insert(id));
        if inside.contains(&id) || again > AGAIN {
            continue;
        }
        let within = || [inside.as_slice(), &[id]].concat();
        let below = |name: String| if path.is_empty() { name } else { format!("{path}.{name}") };
        match heap.get(value) {
            Some(Object::Dict(items)) => {
                for &(key, value) in items {
                    waiting.extend(heap.text(key).map(|key| (below(key.to_owned()), value, within())));
                }
                found.push((path, items.as_slice()));
            }
            Some(Object::Sequence(values)) if values.len() <= 64 => {
                let below = |(i, &value): (usize, &Value)| (below(i.to_string()), value, within());
                waiting.extend(values.iter().enumerate().map(below));
            }
            _ => {}
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

/// Without a network of this family: the tensors under a well-known key, or those of the root, so that the message about
/// what is missing can name what is there.
fn any_tensors<'a>(path: &Path, heap: &'a Heap, root: Value) -> Result<&'a Items> {
    let items = match heap.get(root) {
        Some(Object::Dict(items)) => items,
        Some(Object::Inert(global)) => {
            return Err(Error::Refused { path: path.to_path_buf(), global: global.clone() });
        }
        _ => return Err(Error::malformed(path, "holds no dictionary; save `model.state_dict()`")),
    };
    for wanted in ["state_dict", "model_state_dict", "model", "net"] {
        let found = items.iter().find(|(key, _)| heap.text(*key) == Some(wanted));
        match found.map(|&(_, value)| (heap.get(value), heap.dict(value))) {
            Some((_, Some(inner))) => return Ok(inner),
            Some((Some(Object::Inert(global)), _)) => {
                return Err(Error::Refused { path: path.to_path_buf(), global: global.clone() });
            }
            _ => {}
        }
    }
    if items.iter().any(|&(_, value)| matches!(heap.get(value), Some(Object::Tensor(_)))) {
        return Ok(items);
    }
    let keys: Vec<&str> = items.iter().filter_map(|&(key, _)| heap.text(key)).take(8).collect();
    let detail =
        format!("holds no state_dict, only the keys [{}]; save `model.state_dict()`", keys.join(", "));
    Err(Error::malformed(path, detail))
}
