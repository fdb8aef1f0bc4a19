//! The smallest program that classifies: `classify MODEL IMAGE`, where IMAGE is a CIFAR-10 record (3,073 bytes) or a
//! binary PPM of the network's size, and MODEL what `cli ptq --policy product` saved. Nothing but this crate.

use quant::int_graph::{IntEngine, IntGraph};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(model), Some(image)) = (arguments.next(), arguments.next()) else {
        return Err("usage: classify MODEL IMAGE".into());
    };
    let (graph, _) = IntGraph::from_bytes(&std::fs::read(model)?)?;
    let engine = IntEngine::new(graph)?;

    let [height, width, channels] = engine.graph().image();
    let pixels = height * width * channels;
    let bytes = std::fs::read(image)?;
    // The last bytes are the image in both formats: a record has planes behind its label, a PPM pixels behind its header.
    let tail = bytes.len().checked_sub(pixels).map(|from| &bytes[from..]);
    let image: Vec<u8> = match tail {
        Some(samples) if bytes.starts_with(b"P6") => samples.to_vec(),
        Some(planes) if bytes.len() == pixels + 1 => {
            (0..pixels).map(|i| planes[i % channels * height * width + i / channels]).collect()
        }
        _ => return Err(format!("neither a record nor a {width}x{height} PPM").into()),
    };

    let mut logits = vec![0; engine.graph().logit_scale().len()];
    engine.classify(&mut engine.workspace(), &image, &mut logits);
    let real = engine.graph().real_logits(&logits);
    let best = (0..real.len()).max_by(|&a, &b| real[a].total_cmp(&real[b]));
    println!("class {} of logits {real:?}", best.unwrap_or(0));
    Ok(())
}
