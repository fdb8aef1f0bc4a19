//! `table`: cells are computed once, kept, and only the missing ones are filled in.

mod common;

use common::run_in;

#[test]
fn a_table_is_filled_cell_by_cell_and_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("table");
    let run = |arguments: &[&str]| run_in(dir.path(), arguments).json();
    let arguments = ["--json", "table", "--bits", "W4A4,W2A2", "--modes", "ptq", "--test-limit", "64"];
    let first = run(&[&arguments[..], &["--out", "table", "--calibration-images", "64"]].concat());
    let cells = first["cells"].as_array().unwrap();
    assert_eq!(cells.len(), 4);
    for cell in cells {
        for key in ["bits", "mode", "method", "top1", "seed", "model"] {
            assert!(!cell[key].is_null(), "{key} of {cell}");
        }
        assert!(dir.path().join(cell["model"].as_str().unwrap()).exists());
    }
    // One cell is lost, another one is marked: the lost one is computed again, the marked one is read back.
    let cell = |name: &str| folder.join(format!("cells/{name}.json"));
    std::fs::remove_file(cell("PTQ_W2A2_symmetric")).unwrap();
    let marked = std::fs::read_to_string(cell("PTQ_W4A4_sawb")).unwrap();
    let top1 = format!("\"top1\": {}", first["cells"][0]["top1"]);
    std::fs::write(cell("PTQ_W4A4_sawb"), marked.replacen(&top1, "\"top1\": 12.5", 1)).unwrap();
    let second = run(&["--json", "table", "--resume", "table"]);
    assert_eq!(second["cells"][0]["top1"], 12.5);
    assert_eq!(second["cells"][3], first["cells"][3]);
    assert!(std::fs::read_to_string(folder.join("table.md")).unwrap().contains("12.50"));
}
