//! What people have in place of a file: a pointer of Git LFS, or the web page that a download link led to.

use std::path::Path;

use crate::{Error, Result};

/// Refuses a file that begins like a Git LFS pointer or a web page, whatever was expected in its place.
///
/// # Errors
/// Saying which of the two it is, and what to do.
pub fn refuse(path: &Path, bytes: &[u8]) -> Result<()> {
    if bytes.starts_with(b"version https://git-lfs.github.com/spec/") {
        let text =
            "is a Git LFS pointer, not the file itself; run `git lfs pull` in the folder it comes from";
        return Err(Error::malformed(path, text));
    }
    let head: String = bytes.iter().take(256).map(|&b| char::from(b).to_ascii_lowercase()).collect();
    let head = head.trim_start_matches(['\u{ef}', '\u{bb}', '\u{bf}']).trim_start();
    if head.starts_with("<!doctype html") || head.starts_with("<html") {
        let text = "is a web page, not a file of data; a download link led to a page: fetch the file itself";
        return Err(Error::malformed(path, text));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_and_pages_are_told_from_data() {
        let message = |bytes: &[u8]| refuse("some.bin".as_ref(), bytes).map_err(|e| e.to_string());
        let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1096123\n";
        assert!(message(pointer).unwrap_err().contains("some.bin: is a Git LFS pointer"));
        for page in [&b"<!DOCTYPE html><html>"[..], b"\n  <html lang=\"en\">", b"\xef\xbb\xbf<!doctype HTML>"]
        {
            assert!(message(page).unwrap_err().contains("is a web page"));
        }
        for data in [&b"<svg>"[..], b"", b"P6\n32 32\n255\n", &[7; 3073]] {
            assert_eq!(message(data), Ok(()));
        }
    }
}
