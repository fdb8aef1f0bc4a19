//! What networks are called in a picture: by the command that made them, and by as much of their files' paths as tells them
//! apart.

use std::path::{Path, PathBuf};

use models::QuantizedNetwork;
use quant::int_graph::file::About;

/// `PTQ W4A4`, by the command that made the network, or the file's name.
pub(super) fn name(file: &Path, metadata: &About, network: &QuantizedNetwork) -> String {
    let verb = metadata.get("command").and_then(|command| command.split(' ').nth(1));
    match verb {
        Some(verb @ ("ptq" | "qat")) => {
            format!("{} {}", verb.to_uppercase(), network.quantization.config.bits)
        }
        _ => file.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
    }
}

/// These names, each with its network's file. Those that are alike take on the last part of the file's path, then one part
/// more; of a file that is named twice, the number in the list.
pub(super) fn distinct(networks: &[(String, PathBuf)]) -> Vec<String> {
    let mut parts = vec![0; networks.len()];
    loop {
        let numbered = networks.iter().zip(&parts).enumerate();
        let names: Vec<String> =
            numbered.map(|(i, (network, parts))| with_parts(network, *parts, i + 1)).collect();
        let alike = |i: &usize| names.iter().filter(|name| **name == names[*i]).count() > 1;
        let may_grow = |i: &usize| parts[*i] <= networks[*i].1.components().count();
        let longer: Vec<usize> = (0..names.len()).filter(|i| alike(i) && may_grow(i)).collect();
        if longer.is_empty() {
            return names;
        }
        longer.into_iter().for_each(|i| parts[i] += 1);
    }
}

/// The name with the last `parts` of the path; with its number where the path has no more.
fn with_parts((name, file): &(String, PathBuf), parts: usize, number: usize) -> String {
    let all: Vec<_> = file.components().collect();
    let ending: PathBuf = all[all.len().saturating_sub(parts)..].iter().collect();
    match parts {
        0 => name.clone(),
        _ if parts > all.len() => format!("{name} {}, number {number}", file.display()),
        _ => format!("{name} {}", ending.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(networks: &[(&str, &str)]) -> Vec<String> {
        let networks = networks.iter().map(|(name, file)| ((*name).to_string(), PathBuf::from(file)));
        distinct(&networks.collect::<Vec<_>>())
    }

    #[test]
    fn names_that_differ_stay_and_names_that_are_alike_take_on_their_paths() {
        assert_eq!(
            of(&[("float", "n"), ("PTQ W2A2", "p/n"), ("QAT W2A2", "q/n")]),
            ["float", "PTQ W2A2", "QAT W2A2"]
        );
        assert_eq!(
            of(&[("QAT W2A2", "q/n"), ("PTQ W2A2", "a"), ("PTQ W2A2", "b")]),
            ["QAT W2A2", "PTQ W2A2 a", "PTQ W2A2 b"]
        );
        assert_eq!(of(&[("PTQ W2A2", "x/p1/n"), ("PTQ W2A2", "x/p2/n")]), ["PTQ W2A2 p1/n", "PTQ W2A2 p2/n"]);
        let twice = of(&[("PTQ W2A2", "p/n"), ("PTQ W2A2", "p/n")]);
        assert_eq!(twice, ["PTQ W2A2 p/n, number 1", "PTQ W2A2 p/n, number 2"]);
        // The name of a file may be that of another network.
        assert_eq!(of(&[("float", "a/n"), ("float", "b/float")]), ["float n", "float float"]);
    }
}
