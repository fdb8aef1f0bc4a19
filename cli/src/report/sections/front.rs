//! What a search has found: size against accuracy.

use crate::report::past_run::PastRun;
use crate::report::results::{FinishedPoint, Front, FrontPoint};
use crate::show::axis::Axis;
use crate::show::report::Report;
use crate::show::svg::{Frame, Plot};

/// A plot for each search, with details on every point.
pub fn section(page: &mut Report, runs: &[PastRun]) {
    page.heading("Size against accuracy");
    let fronts: Vec<(&PastRun, &Front)> = runs
        .iter()
        .filter_map(|run| Some((run, run.results.as_ref()?.front.as_ref()?)))
        .filter(|(_, front)| !front.points.is_empty())
        .collect();
    if fronts.is_empty() {
        page.absent("No run has searched. `cli search` finds a bit width for each layer and the front of size and accuracy.");
        return;
    }
    for (run, front) in fronts {
        page.plot(&plot(&run.name, front));
        page.note("Point at a network, or reach it with the tab key, to see the bits of its layers. Searched on: the images that the search looked at; not seen: the others.");
        page.details("All numbers", false, |page| {
            let row = |p: &FrontPoint| {
                let size = format!("{:.1}", front.minimize.of(p.bytes, p.operations));
                vec![size, format!("{:.2}", p.top1_val), format!("{:.2}", p.top1_test), p.bits.join(" ")]
            };
            let head = [front.minimize.unit(), "searched on %", "not seen %", "bits of each layer"];
            page.table(&head, &front.points.iter().map(row).collect::<Vec<_>>());
        });
        if !front.finished.is_empty() {
            page.note("With all corrections: networks of the front that were corrected by what learns too, which candidates are not.");
        }
    }
}

fn plot(name: &str, front: &Front) -> Plot {
    let (objective, unit) = (front.minimize, front.minimize.unit());
    let bits = |bits: &[String]| {
        let named = front.layers.iter().zip(bits).map(|(layer, b)| format!("{layer} {b}"));
        named.collect::<Vec<_>>().join(", ")
    };
    let size = |p: &FrontPoint| objective.of(p.bytes, p.operations);
    let finished: Vec<(f64, &FinishedPoint)> =
        front.finished.iter().map(|p| (objective.of(p.bytes, p.operations), p)).collect();
    // Far below nothing is to be seen.
    let wanted = front.bound.accuracy(front.points.iter().map(|p| (size(p), p.top1_val)));
    let lowest = front.search_floor.unwrap_or(wanted).min(wanted) - 5.0;
    let points: Vec<_> =
        front.points.iter().filter(|p| p.top1_val >= lowest || p.top1_test >= lowest).collect();
    let sizes = points.iter().map(|p| size(p)).chain(finished.iter().map(|(size, _)| *size));
    let x = Axis::over(objective.axis(), sizes).headroom().footroom();
    let both = points.iter().flat_map(|p| [p.top1_val, p.top1_test]);
    let both = both.chain(finished.iter().map(|(_, p)| p.top1_val)).chain([wanted]);
    let mut frame =
        Frame::new(&format!("The front of {name}"), x, Axis::over("top-1, %", both).headroom().footroom());
    for (what, class, value) in [
        ("searched on", "s0", (|p| p.top1_val) as fn(&FrontPoint) -> f64),
        ("not seen", "s2", |p| p.top1_test),
    ] {
        frame.line(&points.iter().map(|p| (size(p), value(p))).collect::<Vec<_>>(), class);
        frame.legend(what, class);
        for p in &points {
            let detail = format!("{:.1} {unit}, {what} {:.2}%; bits: {}", size(p), value(p), bits(&p.bits));
            frame.dot(size(p), value(p), 4.0, &format!("{class} stop"), &detail);
        }
    }
    for (size, p) in &finished {
        let detail =
            format!("{size:.1} {unit}, with all corrections {:.2}%; bits: {}", p.top1_val, bits(&p.bits));
        frame.dot(*size, p.top1_val, 5.0, "s3 stop", &detail);
    }
    if !finished.is_empty() {
        frame.legend("with all corrections, searched on", "s3");
    }
    front.bound.draw(&mut frame, "s1");
    frame.finish()
}
