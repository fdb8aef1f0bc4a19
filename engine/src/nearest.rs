//! "Did you mean ...?": the name that somebody who mistyped one had in mind.

/// The name of `known` that the fewest edits make of `name`, of the first such one; `None` if more than a third of its
/// letters would have to change, and more than one.
///
/// ```
/// use engine::nearest::nearest;
/// assert_eq!(nearest("symetric", &["symmetric", "heuristic"]), Some("symmetric"));
/// assert_eq!(nearest("ocurse", &["course", "product"]), Some("course"));
/// assert_eq!(nearest("nothing", &["course", "product"]), None);
/// ```
pub fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    closest(name, known, |letters| (letters / 3).max(1))
}

/// [`nearest`] among files. Those of a folder are often called alike on purpose, and often by a letter or a number: the name
/// may be two edits away at most, and never more than a third of its letters.
///
/// ```
/// use engine::nearest::nearest_file;
/// assert_eq!(nearest_file("netwrok.safetensors", &["1", "network.safetensors"]), Some("network.safetensors"));
/// assert_eq!(nearest_file("fine_names.txt", &["coarse_names.txt"]), None);
/// assert_eq!(nearest_file("x", &["1"]), None);
/// ```
pub fn nearest_file<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    closest(name, known, |letters| (letters / 3).min(2))
}

/// The first of `known` with the fewest edits, if these are at most what `most` allows for a name of so many letters.
fn closest<'a>(name: &str, known: &[&'a str], most: fn(usize) -> usize) -> Option<&'a str> {
    let lower = name.to_lowercase();
    let edits = known.iter().map(|known| (distance(&lower, &known.to_lowercase()), *known));
    let (edits, best) = edits.min_by_key(|(edits, _)| *edits)?;
    (edits <= most(best.chars().count())).then_some(best)
}

/// `; did you mean ...?`, or nothing: the end of a message about an unknown name.
pub fn did_you_mean(name: &str, known: &[&str]) -> String {
    nearest(name, known).map_or(String::new(), |near| format!("; did you mean `{near}`?"))
}

/// Letters to insert, leave out, replace, or swap with their neighbours to make `b` of `a`: the optimal string alignment
/// distance, row by row of
///
/// ```text
/// d(i, j) = min( d(i-1, j) + 1,  d(i, j-1) + 1,  d(i-1, j-1) + [a_i != b_j],  d(i-2, j-2) + 1 if a swap )
/// ```
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut d = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            if i == 0 || j == 0 {
                d[i][j] = i + j;
                continue;
            }
            let replaced = d[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            d[i][j] = replaced.min(d[i - 1][j] + 1).min(d[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                d[i][j] = d[i][j].min(d[i - 2][j - 2] + 1);
            }
        }
    }
    d[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_by_hand() {
        for (a, b, edits) in [
            ("", "abc", 3),
            ("kitten", "sitting", 3),
            ("ab", "ba", 1),
            ("same", "same", 0),
            ("w4a4", "w4a8", 1),
        ] {
            assert_eq!((distance(a, b), distance(b, a)), (edits, edits), "{a} {b}");
        }
    }
}
