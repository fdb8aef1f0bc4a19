//! Pictures and arrays against Pillow and NumPy: files of `tests/oracles/make.py`, in the folder that `ORACLES` names. Without it
//! nothing is compared, which is said.

use std::fs;
use std::path::{Path, PathBuf};

use models::data::{npy, picture};

/// What the other program read.
fn beside(file: &Path, what: &str) -> Option<Vec<u8>> {
    fs::read(format!("{}.{what}", file.display())).ok()
}

/// The largest difference of two bytes, and the mean difference.
fn differences(a: &[u8], b: &[u8]) -> (u8, f64) {
    assert_eq!(a.len(), b.len());
    let all = || a.iter().zip(b).map(|(a, b)| a.abs_diff(*b));
    (all().max().unwrap_or(0), all().map(f64::from).sum::<f64>() / a.len() as f64)
}

/// `off` takes the largest differences of those that may differ.
fn compare_picture(file: &Path, off: &mut (u8, f64)) -> Result<(), String> {
    let Some(expected) = beside(file, "expected") else {
        return picture::read(file).map_or(Ok(()), |_| Err("should have been refused".into()));
    };
    let tolerance = beside(file, "tolerance").map(|text| String::from_utf8(text).unwrap());
    let (most, mean) = tolerance.as_deref().map_or((0.0, 0.0), |text| {
        let (most, mean) = text.split_once(' ').unwrap();
        (most.parse::<f64>().unwrap(), mean.parse::<f64>().unwrap())
    });
    let read = picture::read(file).map_err(|e| e.to_string())?;
    let found = differences(&read.pixels, &expected);
    *off = (off.0.max(found.0), off.1.max(found.1));
    if f64::from(found.0) > most || found.1 > mean {
        return Err(format!("bytes differ by {} at most and {:.2} on average", found.0, found.1));
    }
    Ok(())
}

fn compare_array(file: &Path) -> Result<(), String> {
    let Some(expected) = beside(file, "expected") else {
        return npy::read(file).map_or(Ok(()), |_| Err("should have been refused".into()));
    };
    let expected = expected.chunks(4).map(|v| f32::from_le_bytes(v.try_into().unwrap()));
    let read = npy::read(file).map_err(|e| e.to_string())?;
    if read.data().iter().copied().eq(expected) { Ok(()) } else { Err("other numbers".into()) }
}

#[test]
fn pictures_and_arrays_are_read_as_pillow_and_numpy_read_them() {
    let Some(folder) = std::env::var_os("ORACLES") else {
        eprintln!("SKIPPED: ORACLES names no folder; tests/oracles/make.py makes one");
        return;
    };
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    let (mut pictures, mut arrays, mut wrong, mut off) = (0, 0, Vec::new(), (0, 0.0));
    for file in files {
        let result = match file.extension().and_then(|e| e.to_str()) {
            Some("expected" | "tolerance") => continue,
            Some("npy") => {
                arrays += 1;
                compare_array(&file)
            }
            _ => {
                pictures += 1;
                compare_picture(&file, &mut off)
            }
        };
        wrong.extend(result.err().map(|why| format!("{}: {why}", file.display())));
    }
    eprintln!(
        "{pictures} pictures and {arrays} arrays compared; bytes of a JPEG at most {} off, {:.2} on average",
        off.0, off.1
    );
    assert!(pictures > 0 && arrays > 0, "nothing to compare");
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}
