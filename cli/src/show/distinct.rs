//! Names that are alike, told apart by as much of their files' paths as it takes.

use std::path::PathBuf;

/// These names, each with its file. Those that are alike take on the last part of the file's path, then one part
/// more; an empty name is the last part alone. Where a file is named again, the number in the list stands behind it.
pub fn distinct(named: &[(String, PathBuf)]) -> Vec<String> {
    let mut parts: Vec<usize> = named.iter().map(|(name, _)| usize::from(name.is_empty())).collect();
    loop {
        let names: Vec<String> =
            named.iter().zip(&parts).map(|(one, parts)| with_parts(one, *parts)).collect();
        let of_another = |i: usize, j: usize| names[i] == names[j] && named[i].1 != named[j].1;
        let may_grow = |i: usize| parts[i] < named[i].1.components().count();
        let all = 0..names.len();
        let longer: Vec<usize> =
            all.clone().filter(|&i| may_grow(i) && all.clone().any(|j| of_another(i, j))).collect();
        if longer.is_empty() {
            let again = |i: usize| names[..i].contains(&names[i]).then(|| format!(", number {}", i + 1));
            return all.map(|i| format!("{}{}", names[i], again(i).unwrap_or_default())).collect();
        }
        longer.into_iter().for_each(|i| parts[i] += 1);
    }
}

/// The name with the last `parts` of the path.
fn with_parts((name, file): &(String, PathBuf), parts: usize) -> String {
    let all: Vec<_> = file.components().collect();
    let ending: PathBuf = all[all.len() - parts..].iter().collect();
    format!("{name} {}", ending.display()).trim().to_owned()
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
        assert_eq!(twice, ["PTQ W2A2", "PTQ W2A2, number 2"]);
        assert_eq!(of(&[("", "a/ptq"), ("", "b/ptq"), ("", "qat")]), ["a/ptq", "b/ptq", "qat"]);
        // The name of a file may be that of another network.
        assert_eq!(of(&[("float", "a/n"), ("float", "b/float")]), ["float n", "float float"]);
    }
}
