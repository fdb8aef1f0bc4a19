//! From raw pixels to the network's input: normalisation and random augmentation.
//!
//! The order is torchvision's: pad the raw image with black (0) by 4 on each side, crop 32 x 32 at random,
//! flip left-right with probability 1/2, then `x = (pixel / 255 - mean) / std` per channel, then optionally
//! cutout. What is drawn for an image is a function of (seed, epoch, index) alone, so an epoch is the same
//! on any number of threads and after a resume.

use engine::{
    Tensor,
    rng::{Purpose, Rng},
};
use rayon::prelude::*;

pub use super::normalization::{Normalization, PixelTable};
use crate::data::cifar10::{CHANNELS, IMAGE_BYTES, ImageSet, PLANE, SIDE};

/// Which random changes are made to training images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Augment {
    /// Black pixels added on each side before a random 32 x 32 crop; 0 for no crop.
    pub pad: usize,
    /// Whether to flip left-right with probability 1/2.
    pub flip: bool,
    /// Side of a square set to 0 after normalisation (to the mean colour), centred anywhere in the image
    /// (DeVries and Taylor, "Improved regularization of convolutional neural networks with cutout", 2017);
    /// 0 for none.
    pub cutout: usize,
}

impl Augment {
    /// Images as they are: for evaluation.
    pub const NONE: Self = Self { pad: 0, flip: false, cutout: 0 };
    /// Pad 4, random crop, flip: the usual augmentation of CIFAR-10.
    pub const STANDARD: Self = Self { pad: 4, flip: true, cutout: 0 };

    /// What happens to image `index` in `epoch`. All numbers are drawn whether used or not, so that
    /// switching one change off leaves the others as they were.
    pub fn choose(&self, seed: u64, epoch: usize, index: usize) -> Choice {
        let mut rng = Rng::at(seed, Purpose::Augment, epoch, index);
        let row = rng.below(2 * self.pad + 1);
        let column = rng.below(2 * self.pad + 1);
        let flip = rng.chance(0.5) && self.flip;
        let centre = (rng.below(SIDE), rng.below(SIDE));
        Choice { row, column, pad: self.pad, flip, hole: (self.cutout > 0).then_some((centre, self.cutout)) }
    }
}

/// The changes drawn for one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// First row of the crop in the padded image, `0..=2 pad`.
    pub row: usize,
    /// First column of the crop in the padded image, `0..=2 pad`.
    pub column: usize,
    /// Padding on each side.
    pub pad: usize,
    /// Whether the crop is mirrored.
    pub flip: bool,
    /// Centre (row, column) and side of the cut-out square.
    pub hole: Option<((usize, usize), usize)>,
}

/// One image, CHW bytes -> HWC floats. A row of the result is black on the left, a run of source pixels, and
/// black on the right; mirrored rows are written from their end.
pub fn render(image: &[u8], choice: &Choice, table: &PixelTable, out: &mut [f32]) {
    let Choice { row, column, pad, flip, hole } = *choice;
    let black: [f32; CHANNELS] = std::array::from_fn(|c| table[c][0]);
    // Result column x shows source column x + column - pad; these are the x for which it exists.
    let first = pad.saturating_sub(column).min(SIDE);
    let end = (SIDE + pad).saturating_sub(column).min(SIDE).max(first);
    for (y, out_row) in out.chunks_exact_mut(SIDE * CHANNELS).enumerate() {
        for pixel in out_row.chunks_exact_mut(CHANNELS) {
            pixel.copy_from_slice(&black);
        }
        let source_row = (y + row).wrapping_sub(pad);
        if source_row < SIDE && first < end {
            let start = source_row * SIDE + first + column - pad;
            let planes: [&[u8]; CHANNELS] =
                std::array::from_fn(|c| &image[c * PLANE + start..][..end - first]);
            for i in 0..end - first {
                let x = if flip { SIDE - 1 - (first + i) } else { first + i };
                for c in 0..CHANNELS {
                    out_row[x * CHANNELS + c] = table[c][usize::from(planes[c][i])];
                }
            }
        }
    }
    if let Some(((centre_row, centre_column), side)) = hole {
        let span = |centre: usize| centre.saturating_sub(side / 2)..(centre + side - side / 2).min(SIDE);
        for y in span(centre_row) {
            for x in span(centre_column) {
                out[(y * SIDE + x) * CHANNELS..][..CHANNELS].fill(0.0);
            }
        }
    }
}

/// [`render`] step by step, one pixel at a time: pad, crop, flip, normalise, cut out.
pub fn render_ref(image: &[u8], choice: &Choice, normalization: &Normalization) -> Vec<f32> {
    let mut out = Vec::with_capacity(IMAGE_BYTES);
    for y in 0..SIDE {
        for x in 0..SIDE {
            let x_crop = if choice.flip { SIDE - 1 - x } else { x };
            let (sy, sx) = (y + choice.row, x_crop + choice.column); // in the padded image
            let inside = |s: usize| s >= choice.pad && s < SIDE + choice.pad;
            let cut = choice.hole.is_some_and(|((cy, cx), side)| {
                let hit = |p: usize, c: usize| p + side / 2 >= c && p < c + side - side / 2;
                hit(y, cy) && hit(x, cx)
            });
            for c in 0..CHANNELS {
                let pixel = if inside(sy) && inside(sx) {
                    image[c * PLANE + (sy - choice.pad) * SIDE + (sx - choice.pad)]
                } else {
                    0
                };
                out.push(if cut { 0.0 } else { normalization.apply(c, pixel) });
            }
        }
    }
    out
}

/// The images `indices` of `set`, augmented for `epoch` and normalised: `[N, 32, 32, 3]`, images in parallel.
///
/// # Panics
/// If an index is outside the set.
pub fn batch(
    set: &ImageSet,
    indices: &[usize],
    augment: &Augment,
    table: &PixelTable,
    seed: u64,
    epoch: usize,
) -> Tensor {
    let mut x = Tensor::scratch([indices.len(), SIDE, SIDE, CHANNELS]);
    x.data_mut().par_chunks_mut(IMAGE_BYTES).with_min_len(8).zip(indices).for_each(|(out, &index)| {
        render(set.image(index), &augment.choose(seed, epoch, index), table, out);
    });
    x
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cifar10::RECORD_BYTES;

    fn random_set(n: usize) -> ImageSet {
        let mut rng = Rng::new(1, 1);
        let bytes = (0..n * RECORD_BYTES)
            .map(|i| if i % RECORD_BYTES == 0 { 0 } else { rng.next_u32() as u8 })
            .collect();
        ImageSet::from_records("random", bytes).unwrap()
    }

    #[test]
    fn render_equals_its_reference() {
        let set = random_set(4);
        let norm = Normalization::COURSE;
        let mut out = vec![f32::NAN; IMAGE_BYTES];
        for augment in [
            Augment::NONE,
            Augment::STANDARD,
            Augment { cutout: 8, ..Augment::STANDARD },
            Augment { pad: 40, flip: true, cutout: 7 },
        ] {
            for epoch in 0..60 {
                let choice = augment.choose(3, epoch, epoch % 4);
                render(set.image(epoch % 4), &choice, &norm.table(), &mut out);
                assert_eq!(out, render_ref(set.image(epoch % 4), &choice, &norm), "{choice:?}");
            }
        }
    }

    #[test]
    fn black_padding_is_normalised_as_in_torchvision() {
        let set = random_set(1);
        let choice = Choice { row: 0, column: 0, pad: 4, flip: false, hole: None };
        let mut out = vec![0.0; IMAGE_BYTES];
        render(set.image(0), &choice, &Normalization::COURSE.table(), &mut out);
        assert_eq!(out[0], -0.4914 / 0.2023);
    }

    #[test]
    fn choices_cover_all_offsets_evenly_and_depend_on_seed_epoch_and_index() {
        let mut offsets = [0; 81];
        let mut flips = 0;
        for index in 0..16_200 {
            let choice = Augment::STANDARD.choose(11, 2, index);
            offsets[choice.row * 9 + choice.column] += 1;
            flips += i32::from(choice.flip);
        }
        assert!(offsets.iter().all(|&n: &i32| (n - 200).abs() < 70), "{offsets:?}");
        assert!((flips - 8_100).abs() < 260, "{flips}");
        let sequence = |seed, epoch, index: usize| {
            (0..8).map(|i| Augment::STANDARD.choose(seed, epoch, index + i)).collect::<Vec<_>>()
        };
        assert_eq!(sequence(1, 1, 0), sequence(1, 1, 0));
        assert_ne!(sequence(1, 1, 0), sequence(2, 1, 0));
        assert_ne!(sequence(1, 1, 0), sequence(1, 2, 0));
        assert_ne!(sequence(1, 1, 0), sequence(1, 1, 1));
    }

    #[test]
    fn an_image_does_not_depend_on_its_batch_or_the_threads() {
        let set = random_set(40);
        let table = Normalization::COURSE.table();
        let indices: Vec<usize> = (0..40).rev().collect();
        let pool = |n| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
        let run = |n, idx: &[usize]| pool(n).install(|| batch(&set, idx, &Augment::STANDARD, &table, 5, 6));
        let whole = run(1, &indices);
        assert_eq!(whole, run(3, &indices));
        assert_eq!(run(2, &[39]).data(), &whole.data()[..IMAGE_BYTES]);
    }

    #[test]
    fn normalization_survives_text_and_rejects_nonsense() {
        for norm in [Normalization::COURSE, Normalization::TRUE, Normalization::IMAGENET] {
            assert_eq!(norm.to_string().parse::<Normalization>().unwrap(), norm);
        }
        for bad in ["", "1,2,3", "1,2,3/1,2", "1,2,3/1,0,1", "1,nan,3/1,1,1", "a,b,c/1,1,1"] {
            assert!(bad.parse::<Normalization>().is_err(), "{bad}");
        }
    }
}
