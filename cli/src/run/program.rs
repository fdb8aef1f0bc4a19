//! The name under which the program was started, for the commands that it tells people to type.

use std::sync::OnceLock;

static NAME: OnceLock<&'static str> = OnceLock::new();

/// Remembers the name; the first one counts.
pub fn remember(name: &'static str) {
    NAME.get_or_init(|| name);
}

/// The name; `cli`, the package's, where nobody said.
pub fn name() -> &'static str {
    NAME.get().copied().unwrap_or("cli")
}

/// `word` as a shell reads it as one: in quotes where it has a blank, a star or the like.
pub fn word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=,@%+^".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::word;

    #[test]
    fn what_a_shell_would_take_apart_is_quoted() {
        let words = ["runs/a-1", "conv1=8,fc=W4A16", "my pictures", "*=2", "it's", ""].map(word);
        assert_eq!(words, ["runs/a-1", "conv1=8,fc=W4A16", "'my pictures'", "'*=2'", r"'it'\''s'", "''"]);
    }
}
