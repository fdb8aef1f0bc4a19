//! `docs/one-number.md` says what the program computes. `BLESS=1` writes it anew.

use std::fs;

use tests::one_number::{page, same};

#[test]
fn the_page_is_what_the_program_computes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/one-number.md");
    let computed = page().unwrap();
    if std::env::var_os("BLESS").is_some() {
        fs::write(path, &computed).unwrap();
    }
    let written = fs::read_to_string(path).unwrap();
    same(&computed, &written)
        .unwrap_or_else(|e| panic!("{e}; BLESS=1 cargo test -p tests --test one_number"));
}

#[test]
fn another_number_or_word_is_another_page() {
    assert!(same("a code of 7, s = 0.12345", "a code of 8, s = 0.12346").is_ok());
    assert!(same("a code of 7", "a code of 70").is_err() && same("a code", "a scale").is_err());
    assert!(same("s = 0.5", "s = 0.6").is_err() && same("a b", "a").is_err());
}
