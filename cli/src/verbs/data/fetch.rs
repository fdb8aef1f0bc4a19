//! `data fetch`: CIFAR-10 from its official page.
//!
//! Nothing half done is ever in the place of something whole: the archive grows under a temporary name (and a
//! later call goes on where an earlier one stopped), its SHA-256 is checked, it is unpacked into a temporary
//! folder, opened and verified there, and that folder is renamed.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use flate2::read::GzDecoder;
use models::data::cifar10::{Cifar10, FOLDER, RECORD_BYTES, RECORDS_PER_FILE};
use serde_json::json;
use ureq::http::{Response, StatusCode};
use ureq::{Agent, Body};

use super::sums;
use crate::run::context::Context;
use crate::run::exit::Failure;
use crate::run::interrupt;
use crate::run::progress::Progress;

/// The official archive.
const URL: &str = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz";
/// Its SHA-256.
const SHA256: &str = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd";
/// The archive while it grows.
const PARTIAL: &str = "cifar-10-binary.tar.gz.partial";

/// Arguments of `data fetch`.
#[derive(Args, Clone, Debug)]
pub struct FetchArgs {
    /// Where to put the folder cifar-10-batches-bin
    #[arg(default_value = "data")]
    folder: PathBuf,
    /// A mirror of the archive
    #[arg(long, default_value = URL)]
    url: String,
    /// SHA-256 the archive must have
    #[arg(long, value_name = "HEX", default_value = SHA256, value_parser = sum)]
    sha256: String,
}

/// A SHA-256 as it is printed, in lower case.
fn sum(text: &str) -> Result<String, String> {
    let is_sum = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    is_sum.then(|| text.to_lowercase()).ok_or_else(|| "expected 64 hexadecimal digits".to_owned())
}

/// Downloads, checks, unpacks, verifies.
///
/// # Errors
/// If the network fails (what has come is kept), the archive is not the one expected, or the folder cannot be
/// written to.
pub fn run(args: &FetchArgs, context: &Context) -> Result<()> {
    let target = args.folder.join(FOLDER);
    let fresh = !target.exists();
    if fresh {
        fs::create_dir_all(&args.folder).map_err(|e| models::Error::io("create", &args.folder, e))?;
        let archive = args.folder.join(PARTIAL);
        interrupt::at_once("what was fetched stays; the same command goes on from there");
        download(&args.url, &archive, context)?;
        let sum = sums::of_file(&archive)?;
        if sum != args.sha256 {
            fs::remove_file(&archive).map_err(|e| models::Error::io("remove", &archive, e))?;
            return Err(Failure::BadInput(format!(
                "{}: the archive's SHA-256 is {sum}, expected {}; it is removed, try again",
                args.url, args.sha256
            ))
            .into());
        }
        unpack(&archive, &target)?;
        fs::remove_file(&archive).map_err(|e| models::Error::io("remove", &archive, e))?;
    }
    let data = Cifar10::open(&target)?;
    context.say(format_args!(
        "{}{}: {} training and {} test images",
        if fresh { "" } else { "there already, " },
        target.display(),
        data.train.len(),
        data.test.len()
    ))?;
    context.result(&json!({
        "folder": target,
        "downloaded": fresh,
        "train": {"images": data.train.len()},
        "test": {"images": data.test.len()},
    }))
}

/// Completes the file at `path` from `url`.
fn download(url: &str, path: &Path, context: &Context) -> Result<()> {
    let have = fs::metadata(path).map_or(0, |m| m.len());
    let mut response = request(url, have)?;
    // 416: nothing behind what is there, so it is whole, or of another file; the checksum will tell.
    if response.status() == StatusCode::RANGE_NOT_SATISFIABLE && have > 0 {
        return Ok(());
    }
    if !response.status().is_success() {
        return Err(Failure::Run(format!("{url}: the server answers {}", response.status())).into());
    }
    let goes_on = response.status() == StatusCode::PARTIAL_CONTENT && starts_at(&response) == Some(have);
    if response.status() == StatusCode::PARTIAL_CONTENT && !goes_on {
        return Err(Failure::Run(format!("{url}: the server sends another part than asked for")).into());
    }
    let start = if goes_on { have } else { 0 };
    if start > 0 {
        context.note(format_args!("going on at byte {start}"));
    }
    let write_error = |e| models::Error::io("write", path, e);
    let mut options = OpenOptions::new();
    let options =
        if goes_on { options.append(true) } else { options.write(true).truncate(true).create(true) };
    let mut file = options.open(path).map_err(write_error)?;
    let length: Option<u64> = header(&response, "content-length").and_then(|v| v.parse().ok());
    let total = length.map(|length| start + length);
    let progress = Progress::new(context, "fetch (KiB)", (total.unwrap_or(0) / 1024) as usize);
    let mut reader = response.body_mut().as_reader();
    let mut buffer = vec![0; 1 << 16];
    let mut done = start;
    loop {
        let n = reader.read(&mut buffer).map_err(|e| cut_short(url, done, &e.to_string()))?;
        if n == 0 {
            break;
        }
        file.write_all(&buffer[..n]).map_err(write_error)?;
        done += n as u64;
        progress.set((done / 1024) as usize);
    }
    file.sync_all().map_err(write_error)?;
    match total {
        Some(total) if done < total => Err(cut_short(url, done, &format!("{total} were announced")).into()),
        _ => Ok(()),
    }
}

fn cut_short(url: &str, done: u64, why: &str) -> Failure {
    Failure::Run(format!(
        "{url}: the connection ended after {done} bytes ({why}); call again to go on from there"
    ))
}

/// Asks for everything from byte `start` on.
fn request(url: &str, start: u64) -> Result<Response<Body>> {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(Duration::from_secs(30)))
        .timeout_recv_response(Some(Duration::from_secs(60)))
        .build();
    let mut request = Agent::new_with_config(config).get(url);
    if start > 0 {
        request = request.header("Range", format!("bytes={start}-"));
    }
    request.call().map_err(|e| Failure::Run(format!("cannot fetch {url}: {e}; call again to go on")).into())
}

fn header<'a>(response: &'a Response<Body>, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

/// The first byte of `Content-Range: bytes FIRST-LAST/TOTAL`.
fn starts_at(response: &Response<Body>) -> Option<u64> {
    header(response, "content-range")?.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}

/// Unpacks the data files of an archive to `target`, which appears whole or not at all.
fn unpack(archive: &Path, target: &Path) -> Result<()> {
    let folder = target.with_extension("partial");
    fs::remove_dir_all(&folder).ok(); // left by a crash
    fs::create_dir(&folder).map_err(|e| models::Error::io("create", &folder, e))?;
    let result = unpack_files(archive, &folder).and_then(|()| {
        Cifar10::open(&folder)?;
        fs::rename(&folder, target).map_err(|e| models::Error::io("create", target, e).into())
    });
    if result.is_err() {
        fs::remove_dir_all(&folder).ok();
    }
    result
}

fn unpack_files(archive: &Path, folder: &Path) -> Result<()> {
    let broken =
        |e: std::io::Error| models::Error::malformed(archive, format!("not a complete tar.gz archive ({e})"));
    let file = File::open(archive).map_err(|e| models::Error::io("open", archive, e))?;
    let mut tar = tar::Archive::new(GzDecoder::new(file));
    let mut names = Vec::new();
    for entry in tar.entries().map_err(broken)? {
        let entry = entry.map_err(broken)?;
        let path = entry.path().map_err(broken)?.into_owned();
        // Only plain files of known names are taken, by their last component: no path leads outside.
        let Some(name) = path.file_name().and_then(|n| n.to_str()).filter(|n| wanted(n)) else { continue };
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = folder.join(name);
        let write_error = |e| models::Error::io("write", &path, e);
        // One byte more than a file may have, so that a longer one is noticed when the set is opened.
        let most = (RECORDS_PER_FILE * RECORD_BYTES + 1) as u64;
        let mut bytes = Vec::new();
        entry.take(most).read_to_end(&mut bytes).map_err(broken)?;
        let mut file = File::create(&path).map_err(write_error)?;
        file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(write_error)?;
        names.push(name.to_string());
    }
    names.sort();
    names.dedup();
    sums::write(folder, &names)
}

fn wanted(name: &str) -> bool {
    let batch = name.strip_prefix("data_batch_").and_then(|n| n.strip_suffix(".bin"));
    matches!(name, "test_batch.bin" | "batches.meta.txt" | "readme.html")
        || batch.is_some_and(|n| matches!(n, "1" | "2" | "3" | "4" | "5"))
}
