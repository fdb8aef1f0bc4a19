//! Whether a checkpoint holds a network of this family at all, said in one sentence before any single tensor is missed.

use engine::{Shape, Tensor};

use crate::formats::layout::torch_shape;
use crate::{Checkpoint, Error, Result};

/// The first convolution's weight in PyTorch's layout.
const FIRST: [usize; 4] = [16, 3, 3, 3];

/// Refuses what cannot be a residual network for CIFAR-10: says what was found and what is needed. Networks of the family
/// that lack a tensor, or have one of another shape, pass: those who look for each tensor say so better.
///
/// # Errors
/// If a tensor that every network of the family has is not there, or one is there that none has.
pub fn expect_family(checkpoint: &Checkpoint) -> Result<()> {
    let Some(why) = foreign(checkpoint) else { return Ok(()) };
    let first_and_last = [checkpoint.tensors.first(), checkpoint.tensors.last()];
    let held = match first_and_last.map(|tensor| tensor.map(described)) {
        [Some(first), Some(last)] => {
            format!("it holds {} tensors, from {first} to {last}", checkpoint.tensors.len())
        }
        _ => "it holds no tensors".to_owned(),
    };
    let detail = format!(
        "is no residual network for CIFAR-10: {why}; {held}; needed are `conv1.weight` {}, `bn1`, stages `layer1` to \
         `layer3` of blocks with `conv1`, `bn1`, `conv2`, `bn2`, and `fc.weight` [classes, 64]",
        Shape::new(&FIRST)
    );
    Err(Error::malformed(&checkpoint.path, detail))
}

/// What gives it away; `None` for a network of the family.
fn foreign(checkpoint: &Checkpoint) -> Option<String> {
    let begins = |prefix: &str| checkpoint.tensors.iter().find(|(name, _)| name.starts_with(prefix));
    let Some(first) = checkpoint.tensor("conv1.weight") else {
        let in_blocks = begins("layer1.0.conv1.").is_some();
        return (!in_blocks)
            .then(|| "there is neither `conv1.weight` nor `layer1.0.conv1.weight`".to_owned());
    };
    if torch_shape(first.shape()).dims() != FIRST {
        return Some(format!("its `conv1.weight` is {}", torch_shape(first.shape())));
    }
    if let Some((name, _)) = begins("layer4.") {
        return Some(format!("it has a fourth stage (`{name}`), as networks for ImageNet do"));
    }
    if let Some((name, _)) = begins("layer1.0.conv3.") {
        return Some(format!("its blocks have three convolutions (`{name}`)"));
    }
    begins("layer1.0.").is_none().then(|| "it has no blocks `layer1.0`".to_owned())
}

fn described((name, tensor): &(String, Tensor)) -> String {
    format!("`{name}` {}", torch_shape(tensor.shape()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::augment::Normalization;
    use crate::{Network, Shortcut};

    fn of(tensors: &[(&str, &[usize])]) -> String {
        let tensors = tensors.iter().map(|(name, dims)| ((*name).to_owned(), Tensor::zeros(*dims))).collect();
        let checkpoint = Checkpoint { path: "some.pt".into(), tensors, ..Checkpoint::default() };
        Network::from_checkpoint(checkpoint, None).unwrap_err().to_string()
    }

    #[test]
    fn another_network_is_described() {
        let m = of(&[("features.0.weight", &[64, 3, 3, 3]), ("classifier.bias", &[1000])]);
        for part in [
            "some.pt: is no residual network",
            "neither `conv1.weight`",
            "2 tensors, from `features.0.weight` [64, 3, 3, 3] to `classifier.bias` [1000]",
            "needed are `conv1.weight` [16, 3, 3, 3]",
        ] {
            assert!(m.contains(part), "{part}: {m}");
        }
        let m = of(&[("conv1.weight", &[64, 7, 7, 3]), ("layer1.0.conv1.weight", &[1])]);
        assert!(m.contains("its `conv1.weight` is [64, 3, 7, 7]"), "{m}");
        let first: (&str, &[usize]) = ("conv1.weight", &[16, 3, 3, 3]);
        assert!(of(&[first, ("layer4.0.conv1.weight", &[1])]).contains("a fourth stage"));
        assert!(of(&[first, ("layer1.0.conv3.weight", &[1])]).contains("three convolutions"));
        assert!(of(&[first]).contains("no blocks"));
        assert!(of(&[]).contains("it holds no tensors"));
    }

    #[test]
    fn the_family_passes() {
        for (depth, shortcut) in [(8, Shortcut::A), (20, Shortcut::B)] {
            let network = Network::fresh(depth, shortcut, Normalization::TRUE, 1).unwrap();
            assert!(expect_family(&network.checkpoint(&network.params)).is_ok());
        }
    }
}
