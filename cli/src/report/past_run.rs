//! A run's folder, or its `metrics.jsonl` alone, read back. No lock is taken: a run may go on meanwhile.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use models::EpochMetrics;
use serde_json::Value;
use toml::Table;

use super::ablation::Ablation;
use super::results::Results;
use crate::run::exit::Failure;
use crate::run::run_folder::{METRICS, metrics_in};
use crate::run::settings;
use crate::show::distinct::distinct;

/// The verbs whose runs have a page in common; each other verb's own page says all there is.
const VERBS: [&str; 5] = ["train", "ptq", "qat", "search", "table"];

/// What is known of a run.
#[derive(Clone, Debug)]
pub struct PastRun {
    /// The last part of its path; more of it where several runs have that.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
    /// The verb; empty where only metrics are there.
    pub verb: String,
    /// The text of its settings; empty where only metrics are there.
    pub config: String,
    settings: Table,
    /// Its end, if it came to one.
    pub results: Option<Results>,
    /// What each correction adds, if it measured that.
    pub ablation: Option<Ablation>,
    /// Its epochs.
    pub epochs: Vec<EpochMetrics>,
    /// Of a table: its cells.
    pub cells: Vec<Value>,
    /// Of a table: the curves of its trained cells, by name.
    pub cell_epochs: Vec<(String, Vec<EpochMetrics>)>,
}

impl PastRun {
    /// Reads these runs. Those whose folders are called alike are named by more of their paths.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_all(paths: &[PathBuf]) -> Result<Vec<Self>> {
        let mut runs = paths.iter().map(|path| Self::open(path)).collect::<Result<Vec<_>>>()?;
        let places: Vec<_> = paths.iter().map(|path| (String::new(), place(path))).collect();
        runs.iter_mut().zip(distinct(&places)).for_each(|(run, name)| run.name = name);
        Ok(runs)
    }

    /// Reads the run in the folder `path`, or the metrics in the file `path`.
    ///
    /// # Errors
    /// If there is no run, a file in it is damaged, or its verb has no page in common with others.
    pub fn open(path: &Path) -> Result<Self> {
        let bad = |text: String| Err(Failure::BadInput(format!("{}: {text}", path.display())).into());
        if !path.exists() {
            return bad(
                "there is no such run; give the folder that a verb wrote with --out, or its metrics.jsonl"
                    .into(),
            );
        }
        let epochs = match path.is_dir() {
            true => metrics(path.join(METRICS))?,
            false => metrics(path.to_path_buf()).map_err(|e| {
                Failure::BadInput(format!("{e}; `report` takes a run's folder, or its {METRICS}"))
            })?,
        };
        let mut run = Self {
            name: super::file_name(&place(path)),
            folder: path.to_path_buf(),
            verb: String::new(),
            config: String::new(),
            settings: Table::new(),
            results: None,
            ablation: None,
            epochs,
            cells: Vec::new(),
            cell_epochs: Vec::new(),
        };
        if !path.is_dir() {
            if run.epochs.is_empty() {
                return bad(
                    "holds no epochs of a training run; give a run's folder or its metrics.jsonl".into()
                );
            }
            return Ok(run);
        }
        let config = path.join(settings::FILE_NAME);
        if !config.exists() {
            let mut inside = fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
            let run = inside.find(|path| path.join(settings::FILE_NAME).exists());
            let run =
                run.map_or(String::new(), |run| format!("; the folders in it do, such as {}", run.display()));
            return bad(format!("holds no run ({} is missing){run}", settings::FILE_NAME));
        }
        run.config = fs::read_to_string(&config).map_err(|e| models::Error::io("read", &config, e))?;
        run.settings = match run.config.parse() {
            Ok(table) => table,
            Err(e) => {
                let e: toml::de::Error = e;
                return bad(format!("{} is damaged: {}", settings::FILE_NAME, e.message()));
            }
        };
        run.verb = run.setting("verb").unwrap_or_default();
        if !VERBS.contains(&run.verb.as_str()) {
            let verb = &run.verb;
            return bad(format!("a run of `{verb}`; `report` takes runs of {}", VERBS.join(", ")));
        }
        run.results = Results::read(path)?;
        if run.setting("ablation").as_deref() == Some("true") {
            run.ablation = Ablation::read(path)?;
        }
        if run.verb == "table" {
            run.read_cells()?;
        }
        Ok(run)
    }

    /// A setting as text; `None` if it is not set.
    pub fn setting(&self, key: &str) -> Option<String> {
        self.settings.get(key).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    }

    /// `PTQ W4A4`, or, among several runs, `PTQ W4A4 (name of the run)`.
    pub fn label(&self, network: &str, alone: bool) -> String {
        if alone { network.to_owned() } else { format!("{network} ({})", self.name) }
    }

    fn read_cells(&mut self) -> Result<()> {
        let path = self.folder.join("table.json");
        if let Ok(text) = fs::read_to_string(&path) {
            let broken = |e| Failure::BadInput(format!("{}: {e}", path.display()));
            let mut table: Value = serde_json::from_str(&text).map_err(broken)?;
            if let Some(Value::Array(cells)) = table.get_mut("cells").map(Value::take) {
                self.cells = cells;
            }
        }
        let entries = fs::read_dir(self.folder.join("cells")).into_iter().flatten().flatten();
        let mut folders: Vec<PathBuf> =
            entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
        folders.sort();
        for folder in folders {
            let epochs = metrics(folder.join(METRICS))?;
            if !epochs.is_empty() {
                self.cell_epochs.push((super::file_name(&folder), epochs));
            }
        }
        Ok(())
    }
}

/// What a run at `path` is called by: its folder, or a file of metrics of another name without the ending.
fn place(path: &Path) -> PathBuf {
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    match real.parent() {
        _ if path.is_dir() => real,
        Some(folder) if real.ends_with(METRICS) => folder.to_path_buf(),
        _ => real.with_extension(""),
    }
}

/// The epochs in a file of metrics; a search's lines are none.
fn metrics(path: PathBuf) -> Result<Vec<EpochMetrics>> {
    Ok(metrics_in(&path)?.into_iter().filter_map(|line| serde_json::from_value(line).ok()).collect())
}
