//! Running the real program.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use engine::Tensor;
use models::data::augment::Normalization;
use models::data::cifar10::{ImageSet, RECORD_BYTES};
use models::data::loader::Loader;
use models::{Checkpoint, Network, Shortcut};

/// The program, away from whatever the environment says.
pub fn cli(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cli"));
    command.args(arguments);
    for name in [
        "QUANT_ISA",
        "QUANT_ASSETS",
        "http_proxy",
        "HTTP_PROXY",
        "https_proxy",
        "HTTPS_PROXY",
        "all_proxy",
        "ALL_PROXY",
    ] {
        command.env_remove(name);
    }
    command
}

/// What a call printed and returned.
#[derive(Debug)]
pub struct Result {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Result {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

impl Result {
    /// The JSON object on stdout, which must be all there is.
    pub fn json(&self) -> serde_json::Value {
        assert_eq!(self.code, 0, "{self:?}");
        assert_eq!(self.stdout.lines().count(), 1, "{self:?}");
        let value: serde_json::Value = serde_json::from_str(&self.stdout).expect("JSON");
        assert!(value.is_object());
        value
    }

    /// Asserts that the call failed with this code and one line that holds these texts.
    pub fn refused(&self, code: i32, texts: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        assert!(self.stdout.is_empty() && !self.stderr.contains("panicked"), "{self:?}");
        let errors: Vec<&str> = self.stderr.lines().filter(|l| l.starts_with("error: ")).collect();
        assert_eq!(errors.len(), 1, "{self:?}");
        for text in texts {
            assert!(errors[0].contains(text), "`{text}` is not in {self:?}");
        }
    }
}

/// Runs the program in `folder`.
pub fn run_in(folder: &Path, arguments: &[&str]) -> Result {
    cli(arguments).current_dir(folder).output().expect("the program starts").into()
}

/// A small network in a file. It gives the [`records`] several classes.
pub fn network(folder: &Path) -> PathBuf {
    changed_network(folder, "network.safetensors", |_| ())
}

/// A small network in a file, after `change`.
pub fn changed_network(folder: &Path, name: &str, change: impl FnOnce(&mut Checkpoint)) -> PathBuf {
    let mut network = Network::fresh(8, Shortcut::B, Normalization::COURSE, 5).unwrap();
    spread_answers(&mut network);
    let mut checkpoint = network.checkpoint(&network.params);
    change(&mut checkpoint);
    let path = folder.join(name);
    checkpoint.write(&path).unwrap();
    path
}

/// Takes from each logit its mean over the first records. A network whose weights are random gives every picture the same class
/// otherwise, and accuracies would be those of the labels, whatever is computed.
fn spread_answers(network: &mut Network) {
    let set = ImageSet::from_records("records", records(20)).unwrap();
    let x = Loader::evaluation(&set, 20, network.normalization).epoch(0).next().unwrap().x;
    let logits = network.graph.infer(&network.params, x, &mut engine::Float).unwrap();
    let bias = network.params.get_mut("fc.bias").unwrap().data_mut();
    for (class, bias) in bias.iter_mut().enumerate() {
        *bias -= logits.data().iter().skip(class).step_by(10).sum::<f32>() / 20.0;
    }
}

/// The tensor of this name in a checkpoint.
pub fn tensor<'a>(checkpoint: &'a mut Checkpoint, name: &str) -> &'a mut Tensor {
    &mut checkpoint.tensors.iter_mut().find(|(n, _)| n == name).unwrap().1
}

/// Records with labels 0..=9 over and over: noise, in each plane about a brightness of its own that changes with the label and from
/// record to record.
pub fn records(count: usize) -> Vec<u8> {
    let mut state = 1u32;
    let mut bytes: Vec<u8> = (0..count * RECORD_BYTES)
        .map(|at| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (record, byte) = (at / RECORD_BYTES, at % RECORD_BYTES);
            let plane = byte.saturating_sub(1) / 1024;
            let level = (record % 10 * [25, 70, 110][plane] + record / 10 * 37) % 192;
            (level as u32 + (state >> 26)) as u8
        })
        .collect();
    bytes.chunks_mut(RECORD_BYTES).enumerate().for_each(|(i, record)| record[0] = (i % 10) as u8);
    bytes
}

/// A folder with these training and test records.
pub fn data(folder: &Path, train: &[u8], test: &[u8]) -> PathBuf {
    let folder = folder.join("data");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("data_batch_1.bin"), train).unwrap();
    std::fs::write(folder.join("test_batch.bin"), test).unwrap();
    folder
}

/// A path as text.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// The folder of data and checkpoints that is shared during development; `None` elsewhere.
pub fn shared() -> Option<PathBuf> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared"));
    if folder.join("data").exists() && folder.join("pretrained").exists() {
        return Some(folder);
    }
    eprintln!("SKIPPED: no data and checkpoints at {}", folder.display());
    None
}

/// Starts the program in `folder`; its notes can be read from `stderr`.
pub fn start(folder: &Path, arguments: &[&str]) -> Child {
    cli(arguments).current_dir(folder).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits until `file` exists, while the program runs.
pub fn wait_for(child: &mut Child, file: &Path) {
    wait_until(child, &format!("there is {}", file.display()), || file.exists());
}

/// Starts the program in `folder`, waits until it writes `file` anew, and so was not refused, and kills it.
pub fn start_until_written(folder: &Path, arguments: &[&str], file: &str) {
    let path = folder.join(file);
    let written = || std::fs::metadata(&path).and_then(|file| file.modified()).ok();
    let before = written();
    let mut child = start(folder, arguments);
    wait_until(&mut child, &format!("{file} is another"), || written() != before);
    child.kill().unwrap();
    child.wait().unwrap();
}

fn wait_until(child: &mut Child, what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert_eq!(child.try_wait().unwrap(), None, "the program ended before {what}");
        assert!(start.elapsed() < Duration::from_secs(120), "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Sends a signal, by the name that `kill` takes.
pub fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status();
    assert!(status.expect("`kill` is there").success());
}
