//! Where settings come from, and which go first.

use clap::Parser;
use serde::Deserialize;

use super::*;

#[derive(Args, Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Settings {
    #[arg(long, default_value_t = 0.1)]
    lr: f64,
    #[arg(long, default_value_t = 24)]
    epochs: usize,
    #[arg(long)]
    decay_all: bool,
    #[arg(long)]
    data: Option<PathBuf>,
    #[arg(long)]
    resume: Option<PathBuf>,
}

#[derive(Parser)]
struct Cli {
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    settings: Settings,
}

fn resolve(arguments: &[&str], config: Option<&Path>) -> Result<(Settings, u64)> {
    let matches = <Cli as clap::CommandFactory>::command().get_matches_from([&["cli"], arguments].concat());
    let cli = Cli::from_arg_matches(&matches)?;
    let sources = Sources::new("train", &matches, config)?;
    Ok((sources.resolve(cli.settings)?, sources.seed(cli.seed)?))
}

#[test]
fn the_command_line_goes_before_the_file_and_the_file_before_defaults() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.toml");
    fs::write(&file, "verb = \"train\"\nseed = 7\nlr = 0.2\nepochs = 3\n").unwrap();
    let (settings, seed) = resolve(&["--epochs", "5"], Some(&file)).unwrap();
    assert_eq!((settings.lr, settings.epochs, seed), (0.2, 5, 7));
    assert_eq!(resolve(&["--seed", "9"], Some(&file)).unwrap().1, 9);
    assert_eq!(resolve(&[], None).unwrap().0.epochs, 24);
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.toml");
    let message = |text: &str| {
        fs::write(&file, text).unwrap();
        let message = resolve(&[], Some(&file)).unwrap_err().to_string();
        assert!(message.contains("c.toml"), "{message}");
        message
    };
    assert!(message("learning_rate = 1").contains("unknown field `learning_rate`"));
    assert!(message("epochs = \"three\"").contains("expected"));
    assert!(message("lr = 0.1\nepochs =").contains("line 2"));
    assert!(message("verb = \"qat\"").contains("of `qat`, not of `train`"));
    assert!(message("seed = -1").contains("-1"));
}

#[test]
fn resuming_takes_the_settings_of_the_run_and_refuses_others() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().to_str().unwrap();
    let text = "verb = \"train\"\nseed = 7\nlr = 0.2\nepochs = 3\ndecay_all = true\n";
    fs::write(dir.path().join(FILE_NAME), text).unwrap();
    let (settings, seed) = resolve(&["--resume", run, "--lr", "0.2"], None).unwrap();
    assert_eq!((settings.lr, settings.epochs, settings.decay_all, seed), (0.2, 3, true, 7));
    assert_eq!(settings.resume.as_deref(), Some(dir.path()));
    let message = |arguments: &[&str]| resolve(&[&["--resume", run], arguments].concat(), None).unwrap_err();
    let text = message(&["--lr", "0.3"]).to_string();
    assert!(text.contains("`lr` is 0.3 here and 0.2 in") && text.contains(FILE_NAME), "{text}");
    let here = resolve(&["--resume", run, "--data", "d"], None).unwrap().0;
    assert_eq!((here.data.as_deref(), here.lr), (Some(Path::new("d")), 0.2)); // the same files may lie elsewhere
    assert!(message(&["--seed", "8"]).to_string().contains("`seed` is 8 here and 7"));
}

#[test]
fn a_run_is_repeated_by_its_command() {
    let (mut settings, _) = resolve(&["--epochs", "5", "--decay-all"], None).unwrap();
    settings.data = Some("d".into());
    let text = command("train", 2, &settings).unwrap();
    assert_eq!(text, "cli train --seed 2 --data d --decay-all --epochs 5");
    let text = to_text("train", 2, &settings).unwrap();
    assert!(text.contains("epochs = 5\n") && text.contains("verb = \"train\"\n"), "{text}");
}
