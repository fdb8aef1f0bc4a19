//! The classes that a data set has and a network tells apart: how many, and what they are called.
//!
//! Labels are numbers; the names belong to them wherever they go, so that a network's file carries them under `classes`
//! of its metadata, as a JSON list. A file without that key has CIFAR-10's names if it has ten classes (all files did, once),
//! and numbers otherwise.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::data::cifar10::CLASS_NAMES;

/// The key of the metadata that holds the names.
pub const KEY: &str = "classes";
/// The most classes of a data set: a label is a byte.
pub const MOST: usize = 256;

/// Names of classes, in the order of their labels. Cloning shares them.
///
/// ```
/// use models::data::classes::Classes;
/// let classes = Classes::new(["cat", "dog"]);
/// assert_eq!((classes.len(), classes.name(1)), (2, "dog"));
/// assert_eq!(Classes::numbered(10).name(3), "cat"); // CIFAR-10's
/// assert_eq!(Classes::numbered(4).name(3), "class 3");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classes(Arc<[String]>);

impl Classes {
    /// Classes of these names.
    pub fn new<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Self {
        Self(names.into_iter().map(Into::into).collect())
    }

    /// The ten of CIFAR-10.
    pub fn cifar10() -> Self {
        Self::new(CLASS_NAMES)
    }

    /// So many classes whose names nobody said: CIFAR-10's if they are ten, else their numbers.
    pub fn numbered(count: usize) -> Self {
        if count == CLASS_NAMES.len() {
            return Self::cifar10();
        }
        Self::new((0..count).map(|class| format!("class {class}")))
    }

    /// The `count` classes of the network whose metadata this is.
    ///
    /// # Errors
    /// If the names are no list of texts, or not `count` of them.
    pub fn of_metadata(metadata: &BTreeMap<String, String>, count: usize) -> Result<Self, String> {
        let Some(json) = metadata.get(KEY) else { return Ok(Self::numbered(count)) };
        let names: Vec<String> = serde_json::from_str(json)
            .map_err(|e| format!("metadata `{KEY}` is no list of class names ({e})"))?;
        match names.len() == count {
            true => Ok(Self::new(names)),
            false => Err(format!("metadata `{KEY}` names {} classes, the network has {count}", names.len())),
        }
    }

    /// Puts the names into the metadata of a network, where they are not those that a file without them has.
    pub fn describe(&self, metadata: &mut BTreeMap<String, String>) {
        metadata.remove(KEY);
        if *self != Self::numbered(self.len()) {
            let json = serde_json::to_string(self.names()).expect("texts are JSON");
            metadata.insert(KEY.to_owned(), json);
        }
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All names.
    pub fn names(&self) -> &[String] {
        &self.0
    }

    /// The name of a class.
    ///
    /// # Panics
    /// If there is no such class.
    pub fn name(&self, class: usize) -> &str {
        &self.0[class]
    }

    /// `3 (cat, cow, dog)`; of many, the first few.
    pub fn summary(&self) -> String {
        const SHOWN: usize = 4;
        let shown: Vec<&str> = self.0.iter().take(SHOWN).map(String::as_str).collect();
        let more = if self.len() > SHOWN { ", ..." } else { "" };
        format!("{} ({}{more})", self.len(), shown.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_travel_in_metadata_where_they_are_not_the_usual_ones() {
        let mut metadata = BTreeMap::new();
        Classes::cifar10().describe(&mut metadata);
        assert!(metadata.is_empty(), "files of CIFAR-10 are as they always were");
        let own = Classes::new(["b\"c", "ä"]);
        own.describe(&mut metadata);
        assert_eq!(Classes::of_metadata(&metadata, 2).unwrap(), own);
        let e = Classes::of_metadata(&metadata, 3).unwrap_err();
        assert!(e.contains("names 2 classes, the network has 3"), "{e}");
        metadata.insert(KEY.into(), "{}".into());
        assert!(Classes::of_metadata(&metadata, 2).unwrap_err().contains("no list of class names"));
        Classes::numbered(2).describe(&mut metadata);
        assert_eq!(Classes::of_metadata(&metadata, 2).unwrap().names(), ["class 0", "class 1"]);
        assert_eq!(own.summary(), "2 (b\"c, ä)");
    }
}
