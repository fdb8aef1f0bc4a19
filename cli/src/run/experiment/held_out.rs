//! Training images that are kept apart, for choices.
//!
//! Whoever compares recipes, or the epochs of one, on the test images has chosen on them, and what the chosen network then
//! gets there flatters it. Images held out of the training set are for choosing; the test images are looked at once, at
//! the end. They are drawn without the run's seed, so that every run and every seed holds out the same ones.

use anyhow::Result;
use engine::rng::{Purpose, Rng};
use models::data::loader::Loader;

use super::Setup;
use crate::run::exit::Failure;

impl Setup {
    /// Takes `count` training images out of training.
    ///
    /// # Errors
    /// If none would be left.
    pub fn holding_out(mut self, count: Option<usize>) -> Result<Self> {
        let Some(count) = count else { return Ok(self) };
        let images = self.train.len();
        if count >= images {
            let text = format!("--hold-out {count}: there are only {images} training images");
            return Err(Failure::Usage(text).into());
        }
        let (rest, apart) = split(self.train, count);
        let held_out = Loader::evaluation(&self.data.train, self.test.batch_size, self.network.normalization);
        (self.train, self.held_out) = (rest, Some(held_out.over(apart)));
        Ok(self)
    }

    /// What epochs are compared on: the images held out, or, where there are none, the test images.
    pub fn choosing(&self) -> &Loader {
        self.held_out.as_ref().unwrap_or(&self.test)
    }
}

/// The images without `count` of them, and these; both in the order of their numbers.
fn split(mut images: Vec<usize>, count: usize) -> (Vec<usize>, Vec<usize>) {
    Rng::at(0, Purpose::Subset, 1, 0).shuffle(&mut images);
    let mut apart = images.split_off(images.len() - count);
    images.sort_unstable();
    apart.sort_unstable();
    (images, apart)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_is_on_one_side_and_both_sides_are_drawn_from_everywhere() {
        let (rest, apart) = split((0..1000).collect(), 100);
        assert_eq!((rest.len(), apart.len()), (900, 100));
        let mut all = [rest, apart.clone()].concat();
        all.sort_unstable();
        assert_eq!(all, (0..1000).collect::<Vec<_>>());
        for hundred in 0..10 {
            let drawn = apart.iter().filter(|&&image| image / 100 == hundred).count();
            assert!((3..=20).contains(&drawn), "{drawn} of the hundred number {hundred}");
        }
        assert_eq!(split((0..1000).collect(), 100).1, apart);
    }
}
