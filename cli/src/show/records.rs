//! Draws `docs/search/records.svg`, of chapter 6, from the measurements in `docs/search/records.jsonl`; only as a test, which
//! sees to it that the drawing shows what the measurements say. `BLESS=1` in the environment draws it anew.

use serde::Deserialize;

use crate::show::axis::Axis;
use crate::show::front::published;
use crate::show::objective::Objective;
use crate::show::published::RESNET20;
use crate::show::svg::{Frame, SERIES};

/// A line of the measurements.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Measured {
    /// How the network was made.
    by: String,
    /// Its weights, (6a).
    kib: f64,
    /// Accuracy on all test images, in integers.
    top1: f64,
}

#[test]
fn records_are_drawn_as_they_were_measured() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/search");
    let lines = std::fs::read_to_string(format!("{folder}/records.jsonl")).unwrap();
    let measured: Vec<Measured> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let others = || RESNET20.iter().filter(|p| p.kib < 120.0);
    let x = measured.iter().map(|m| m.kib).chain(others().map(|p| p.kib));
    let y = measured.iter().map(|m| m.top1).chain(others().map(|p| p.top1));
    let mut frame = Frame::new(
        "small ResNet-20s",
        Axis::over(Objective::Bytes.axis(), x).headroom().footroom(),
        Axis::over("top-1 of all test images, in integers, %", y).headroom().footroom(),
    );
    let mut names: Vec<&str> = measured.iter().map(|m| m.by.as_str()).collect();
    names.dedup();
    for (name, class) in names.iter().zip(SERIES) {
        let points: Vec<_> = measured.iter().filter(|m| m.by == *name).map(|m| (m.kib, m.top1)).collect();
        frame.line(&front(&points), class);
        for (kib, top1) in points {
            frame.dot(kib, top1, 3.5, class, &format!("{name}: {kib:.1} KiB, {top1:.2}%"));
        }
        frame.legend(name, class);
    }
    published(&mut frame, &others().copied().collect::<Vec<_>>());
    let (drawn, path) = (frame.finish().file(), format!("{folder}/records.svg"));
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &drawn).unwrap();
    }
    assert!(std::fs::read_to_string(&path).unwrap() == drawn, "{path}: draw it anew with BLESS=1");
}

/// What no smaller network beats, by size.
fn front(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut by_size = points.to_vec();
    by_size.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut best = f64::NEG_INFINITY;
    by_size.retain(|&(_, top1)| {
        let better = top1 > best;
        best = best.max(top1);
        better
    });
    by_size
}
