//! SHA-256 of files, and the `SHA256SUMS` beside them (`sha256sum -c` reads it too).

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use anyhow::Result;
use models::formats::atomic;
use sha2::{Digest, Sha256};

/// Name of the list.
pub const FILE_NAME: &str = "SHA256SUMS";

/// SHA-256 of a file, in hexadecimal.
///
/// # Errors
/// If it cannot be read.
pub fn of_file(path: &Path) -> Result<String> {
    let io = |e| models::Error::io("read", path, e);
    let mut file = File::open(path).map_err(io)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer).map_err(io)? {
            0 => return Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            n => hash.update(&buffer[..n]),
        }
    }
}

/// The sums listed in a folder, by file name; none if there is no list.
pub fn listed(folder: &Path) -> BTreeMap<String, String> {
    let text = fs::read_to_string(folder.join(FILE_NAME)).unwrap_or_default();
    let entry = |line: &str| {
        let (sum, name) = line.split_once([' ', '\t'])?;
        Some((name.trim_start_matches([' ', '*']).trim_end().to_string(), sum.to_lowercase()))
    };
    text.lines().filter_map(entry).collect()
}

/// Lists these files of a folder.
///
/// # Errors
/// If one cannot be read or the list cannot be written.
pub fn write(folder: &Path, names: &[String]) -> Result<()> {
    let mut text = String::new();
    for name in names {
        text += &format!("{}  {name}\n", of_file(&folder.join(name))?);
    }
    Ok(atomic::write(folder.join(FILE_NAME), text.as_bytes())?)
}
