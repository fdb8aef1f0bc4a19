//! Exported networks in the programs they are exported for: `tests/interop/run.py` with the bundled images.
//!
//! Python is `QUANT_PYTHON`, else `python3`. Where it or a package of `tests/interop/requirements.txt` is missing, this
//! skips and says so; nothing is installed. A Python that was asked for by name must have them all.

use std::path::Path;
use std::process::Command;

/// What the script exits with if a package is missing.
const SKIPPED: i32 = 77;

#[test]
fn other_programs_load_what_is_exported_and_give_the_same_classes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace");
    let asked = std::env::var_os("QUANT_PYTHON");
    let python = asked.clone().unwrap_or_else(|| "python3".into());
    let output = Command::new(&python)
        .arg(root.join("tests/interop/run.py"))
        .args(["--cli", env!("CARGO_BIN_EXE_cli"), "--quick", "--images", "500"])
        .arg("--data")
        .arg(root.join("models/assets/cifar10-slice"))
        .output();
    let why = match &output {
        Err(e) => format!("{}: {e}", python.display()),
        Ok(output) if output.status.code() == Some(SKIPPED) => {
            String::from_utf8_lossy(&output.stderr).into_owned()
        }
        Ok(output) => {
            let shown = String::from_utf8_lossy(&output.stderr);
            eprintln!("{shown}");
            assert!(output.status.success(), "{shown}");
            assert!(shown.contains("ONNX Runtime") && shown.contains("PyTorch"), "{shown}");
            return;
        }
    };
    assert!(asked.is_none(), "QUANT_PYTHON: {why}");
    eprintln!("SKIPPED: export in ONNX Runtime and PyTorch: {}", why.trim().replace('\n', "; "));
}
