//! The pictures that the quantized network newly gets wrong.

use anyhow::Result;
use models::data::cifar10::{ImageSet, SIDE, interleave};
use models::data::data_set::{DataSet, Part};

use crate::report::past_run::PastRun;
use crate::report::results::{Measured, Results};
use crate::report::{Sources, thousands};
use crate::show::picture::data_uri;
use crate::show::report::Report;
use crate::show::svg::escape;

/// Pictures shown of each network.
const MOST: usize = 24;

/// The first of them, each with its class and both answers.
///
/// # Errors
/// If the data set that `sources` names is not there.
pub fn section(page: &mut Report, runs: &[PastRun], sources: &Sources) -> Result<()> {
    page.heading("Newly wrong");
    let alone = runs.len() == 1;
    let mut any = false;
    for run in runs {
        let Some(results) = &run.results else { continue };
        let Some(float) = results.networks.iter().find(|m| !m.is_quantized()) else { continue };
        for m in results.networks.iter().filter(|m| m.is_quantized() && !m.predictions.is_empty()) {
            any = true;
            page.subheading(&run.label(&m.name, alone));
            let wrong = newly_wrong(&results.labels, &float.predictions, &m.predictions);
            let right = newly_wrong(&results.labels, &m.predictions, &float.predictions).len();
            page.text(&format!(
                "Of {} images the float network knows {} that this one does not, and this one {right} that the float network does not.{}",
                thousands(results.labels.len()),
                wrong.len(),
                if wrong.len() > MOST { format!(" The first {MOST}:") } else { String::new() }
            ));
            match test_images(results, sources)? {
                Some(images) => page.pictures(&pictures(&images, results, float, m, &wrong)?),
                None => page.absent(
                    "The test images are not where the run had them, or are others now; give --data DIR.",
                ),
            }
        }
    }
    if !any {
        page.absent("No run has classified the same images with a float network and with a quantized one. `cli ptq` and `cli qat` do.");
    }
    Ok(())
}

/// The images that `before` gets right and `after` wrong.
fn newly_wrong(labels: &[u16], before: &[u16], after: &[u16]) -> Vec<usize> {
    let answers = labels.iter().zip(before.iter().zip(after)).enumerate();
    answers.filter(|(_, (label, (b, a)))| b == label && a != label).map(|(i, _)| i).collect()
}

/// The test images, if they are there, of the classes that the run has seen, and in their order.
fn test_images(results: &Results, sources: &Sources) -> Result<Option<ImageSet>> {
    let folder = sources.data.as_deref().unwrap_or(&results.data);
    let images = match DataSet::open_part(folder, Part::Test, &mut |_, _| ()) {
        Ok((images, _)) => images,
        Err(e) if sources.data.is_some() => return Err(e.into()),
        Err(_) => return Ok(None),
    };
    let same = images.classes().names() == results.classes().names()
        && images.len() >= results.labels.len()
        && results.labels.iter().enumerate().all(|(i, label)| images.label(i) == usize::from(*label));
    Ok(same.then_some(images))
}

fn pictures(
    images: &ImageSet,
    results: &Results,
    float: &Measured,
    quantized: &Measured,
    wrong: &[usize],
) -> Result<Vec<(String, String, String)>> {
    let classes = results.classes();
    let name = |class: u16| classes.names().get(usize::from(class)).map_or("?", String::as_str);
    let picture = |&i: &usize| {
        let address = data_uri(&interleave(images.image(i)), SIDE, SIDE)?;
        let label = name(results.labels[i]); // escaped with the description
        let [before, after] = [float, quantized].map(|m| escape(name(m.predictions[i])));
        let caption = format!("float: <b>{before}</b><br>quantized: <b class='wrong'>{after}</b>");
        Ok((address, format!("test image {i}: {label}"), caption))
    };
    wrong.iter().take(MOST).map(picture).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newly_wrong_is_right_before_and_wrong_after() {
        assert_eq!(newly_wrong(&[1, 1, 1, 1], &[1, 1, 2, 2], &[1, 2, 1, 3]), [1]);
    }
}
