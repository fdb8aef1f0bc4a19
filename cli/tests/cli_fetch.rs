//! `data fetch` against a server in this process: checksum, going on after a cut, nothing half done.
#![cfg(feature = "fetch")]

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::thread::JoinHandle;

use common::{Result, records, run_in, text};
use flate2::{Compression, write::GzEncoder};
use models::data::cifar10::Cifar10;
use sha2::{Digest, Sha256};

/// An archive like the official one, of fewer images; and something that must not be unpacked.
fn archive(train: &[u8]) -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let test = records(10);
    for (name, bytes) in [
        ("cifar-10-batches-bin/data_batch_1.bin", train),
        ("cifar-10-batches-bin/test_batch.bin", &test),
        ("cifar-10-batches-bin/surprise.sh", b"#!/bin/sh"),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, bytes).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// How the server answers one request.
enum Answer {
    /// Everything, but the connection ends after so many bytes.
    CutAfter(usize),
    /// The part asked for.
    Part,
    /// Everything, whatever part was asked for.
    Whole,
    /// Nothing of the kind.
    NotFound,
}

/// Answers as many requests as there are answers; returns the first byte that each asked for.
fn serve(bytes: Vec<u8>, answers: Vec<Answer>) -> (String, JoinHandle<Vec<Option<usize>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/cifar-10-binary.tar.gz", listener.local_addr().unwrap());
    let serve = move || {
        let answer = |answer: &Answer| {
            let (mut stream, _) = listener.accept().unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines().map(|line| line.unwrap());
            let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            let range = head.iter().find_map(|line| {
                line.to_lowercase().strip_prefix("range: bytes=")?.strip_suffix('-')?.parse::<usize>().ok()
            });
            let first = range.filter(|_| matches!(answer, Answer::Part)).unwrap_or(0);
            let status = match answer {
                Answer::NotFound => "404 Not Found".to_string(),
                Answer::Part if range.is_some() => {
                    format!(
                        "206 Partial Content\r\nContent-Range: bytes {first}-{}/{}",
                        bytes.len() - 1,
                        bytes.len()
                    )
                }
                _ => "200 OK".to_string(),
            };
            let body = if matches!(answer, Answer::NotFound) { &[] } else { &bytes[first..] };
            let length = body.len();
            let sent = if let Answer::CutAfter(n) = answer { &body[..*n] } else { body };
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
            stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(sent)).unwrap();
            range
        };
        answers.iter().map(answer).collect()
    };
    (url, std::thread::spawn(serve))
}

fn fetch(folder: &Path, url: &str, sum: &str) -> Result {
    run_in(folder, &["data", "fetch", "--url", url, "--sha256", sum, "--json"])
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = entries.collect();
    names.sort();
    names
}

#[test]
fn a_cut_download_goes_on_where_it_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let archive = archive(&records(30));
    let half = archive.len() / 2;
    let (url, server) = serve(archive.clone(), vec![Answer::CutAfter(half), Answer::Part]);
    fetch(dir.path(), &url, &sha256(&archive)).refused(1, &[&url, &half.to_string(), "call again"]);
    let folder = dir.path().join("data");
    assert_eq!(names(&folder), ["cifar-10-binary.tar.gz.partial"]);
    let json = fetch(dir.path(), &url, &sha256(&archive)).json();
    assert_eq!((&json["downloaded"], &json["train"]["images"]), (&true.into(), &30.into()));
    assert_eq!(server.join().unwrap(), [None, Some(half)]);

    assert_eq!(names(&folder), ["cifar-10-batches-bin"]);
    let batches = folder.join("cifar-10-batches-bin");
    assert_eq!(names(&batches), ["SHA256SUMS", "data_batch_1.bin", "test_batch.bin"]);
    assert_eq!(fs::read(batches.join("data_batch_1.bin")).unwrap(), records(30));
    assert_eq!(Cifar10::open(&folder).unwrap().test.len(), 10);
    run_in(dir.path(), &["data", "verify", text(&folder), "--json"]).json();
    // A second call finds it there and asks nobody.
    assert_eq!(fetch(dir.path(), &url, &sha256(b"another")).json()["downloaded"], false);
    fetch(dir.path(), &url, "abc").refused(2, &["--sha256", "expected 64 hexadecimal digits"]);
}

#[test]
fn a_server_that_knows_no_ranges_sends_everything_again() {
    let dir = tempfile::tempdir().unwrap();
    let archive = archive(&records(30));
    let (url, server) = serve(archive.clone(), vec![Answer::CutAfter(100), Answer::Whole]);
    assert_eq!(fetch(dir.path(), &url, &sha256(&archive)).code, 1);
    fetch(dir.path(), &url, &sha256(&archive)).json();
    assert_eq!(server.join().unwrap(), [None, Some(100)]);
}

#[test]
fn archives_that_are_not_the_one_expected() {
    let dir = tempfile::tempdir().unwrap();
    let good = archive(&records(30));
    let (url, server) = serve(good.clone(), vec![Answer::Whole, Answer::NotFound]);
    let sum = sha256(b"something else");
    fetch(dir.path(), &url, &sum).refused(3, &[&url, &sum, &sha256(&good), "try again"]);
    assert!(names(&dir.path().join("data")).is_empty());
    fetch(dir.path(), &url, &sum).refused(1, &["404"]);
    server.join().unwrap();
    // The official checksum is asked for unless another is given.
    let (url, server) = serve(good.clone(), vec![Answer::Whole]);
    run_in(dir.path(), &["data", "fetch", "--url", &url]).refused(3, &["c4a38c50a1bc5f3a1c5537f2155ab9d6"]);
    server.join().unwrap();
    // With the right checksum but broken contents: nothing appears under the final name.
    let mut label = records(30);
    label[0] = 77;
    for (broken, message) in [
        (good[..good.len() / 2].to_vec(), "not a complete tar.gz archive"),
        (archive(&records(30)[..5000]), "truncated?"),
        (archive(&label), "label 77"),
    ] {
        let (url, server) = serve(broken.clone(), vec![Answer::Whole]);
        fetch(dir.path(), &url, &sha256(&broken)).refused(3, &[message]);
        server.join().unwrap();
        assert_eq!(names(&dir.path().join("data")), ["cifar-10-binary.tar.gz.partial"]);
        fs::remove_file(dir.path().join("data/cifar-10-binary.tar.gz.partial")).unwrap();
    }
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    fetch(dir.path(), &format!("http://{nobody}/"), &sum).refused(1, &["cannot fetch", "call again"]);
}
