//! Where in a file a network's tensors are: training scripts put them under any key, and wrappers put any prefix before
//! their names.
//!
//! A network of this family is known by two tensors that every one of them has, `conv1.weight` and the classifier's
//! `fc.weight` (or `linear.weight`). Whatever stands before `conv1.weight` in a dictionary that holds both is a prefix:
//! `module.`, `_orig_mod.module.`, nothing.

/// A dictionary, or the part of one behind a prefix, that holds a network's tensors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The keys that lead to the dictionary, joined by dots; empty for the outermost.
    pub path: String,
    /// What stands before each name; empty or with a dot at the end.
    pub prefix: String,
}

impl Place {
    /// How a user names this place: path and prefix.
    pub fn label(&self) -> String {
        let parts = [self.path.as_str(), self.prefix.trim_end_matches('.')];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(".")
    }

    /// Whether a user means this place by `key`: its label, or any run of the label's parts.
    pub(super) fn is_meant_by(&self, key: &str) -> bool {
        format!(".{}.", self.label()).contains(&format!(".{}.", key.trim_matches('.')))
    }

    /// What a user should know about where the tensors were found; nothing where it is obvious.
    pub fn note(&self) -> Option<String> {
        (!self.prefix.is_empty()).then(|| format!("the prefix `{}` of all names is stripped", self.prefix))
    }
}

/// The prefixes behind which `names` hold a network.
pub fn prefixes<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Vec<String> {
    let holds = |prefix: &str, rest: &str| names.clone().any(|name| name.strip_prefix(prefix) == Some(rest));
    let before = names.clone().filter_map(|name| name.strip_suffix("conv1.weight"));
    let mut prefixes: Vec<String> = before
        .filter(|prefix| prefix.is_empty() || prefix.ends_with('.'))
        .filter(|prefix| holds(prefix, "fc.weight") || holds(prefix, "linear.weight"))
        .map(str::to_owned)
        .collect();
    // Names without a prefix are the network; what stands beside them is for the reader to judge.
    if prefixes.iter().any(String::is_empty) {
        prefixes.retain(String::is_empty);
    }
    prefixes.sort();
    prefixes.dedup();
    prefixes
}

/// What to say of a choice where there is none.
pub(super) fn only_one(key: &str) -> String {
    format!("holds nothing under --weights-key {key}, but one network without a key; leave it out")
}

/// The place that `key` means, or the only one there is; `None` if there is none.
///
/// # Errors
/// If there are several and `key` does not say which, or `key` means none of them: what to say about it.
pub fn choose(places: Vec<Place>, key: Option<&str>) -> Result<Option<Place>, String> {
    let labels = || places.iter().map(Place::label).collect::<Vec<_>>().join(", ");
    let meant: Vec<&Place> =
        places.iter().filter(|place| key.is_none_or(|key| place.is_meant_by(key))).collect();
    match (meant.as_slice(), key) {
        ([place], _) => Ok(Some((*place).clone())),
        ([], None) => Ok(None),
        ([], Some(key)) if places.is_empty() => {
            Err(format!("holds no network's weights to choose from with --weights-key {key}"))
        }
        ([], Some(key)) if places.iter().all(|place| place.label().is_empty()) => Err(only_one(key)),
        ([], Some(key)) => {
            Err(format!("holds nothing under --weights-key {key}; there are weights under: {}", labels()))
        }
        (_, _) => {
            Err(format!("holds the weights of several networks; choose one with --weights-key: {}", labels()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_prefix_before_both_ends_of_the_network_is_found() {
        let of = |names: &[&str]| prefixes(names.iter().copied());
        assert_eq!(of(&["conv1.weight", "layer1.0.conv1.weight", "fc.weight"]), [""]);
        assert_eq!(
            of(&["_orig_mod.module.conv1.weight", "_orig_mod.module.linear.weight"]),
            ["_orig_mod.module."]
        );
        assert_eq!(of(&["n_averaged", "module.conv1.weight", "module.fc.weight"]), ["module."]);
        assert_eq!(of(&["a.conv1.weight", "a.fc.weight", "b.conv1.weight", "b.fc.weight"]), ["a.", "b."]);
        assert!(of(&["layer1.0.conv1.weight", "preconv1.weight"]).is_empty());
    }

    #[test]
    fn several_networks_are_listed_and_a_key_chooses() {
        let place = |path: &str, prefix: &str| Place { path: path.into(), prefix: prefix.into() };
        let two = || vec![place("model", "module."), place("model_ema", "")];
        let text = choose(two(), None).unwrap_err();
        assert!(text.contains("--weights-key: model.module, model_ema"), "{text}");
        assert_eq!(choose(two(), Some("model_ema")).unwrap(), Some(place("model_ema", "")));
        assert_eq!(choose(two(), Some("model")).unwrap(), Some(place("model", "module.")));
        assert!(choose(two(), Some("net")).unwrap_err().contains("nothing under --weights-key net"));
        assert_eq!(choose(vec![], None).unwrap(), None);
    }
}
