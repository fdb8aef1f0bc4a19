//! What is subtracted from pixels and what they are divided by before a network sees them.

use std::{fmt, str::FromStr};

use crate::{
    Error, Result,
    data::cifar10::{CHANNELS, ImageSet, PLANE},
};

/// Mean and standard deviation per channel (R, G, B) of pixels in `[0, 1]`: part of a trained network as
/// much as its weights, so it is stored in the checkpoint's metadata and honoured on load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalization {
    /// Subtracted.
    pub mean: [f32; CHANNELS],
    /// Divided by; positive.
    pub std: [f32; CHANNELS],
}

impl Normalization {
    /// What the course's loaders use. (The deviation is that of single images, averaged.)
    pub const COURSE: Self = Self { mean: [0.4914, 0.4822, 0.4465], std: [0.2023, 0.1994, 0.2010] };
    /// The training set's true deviation over all pixels.
    pub const TRUE: Self = Self { mean: [0.4914, 0.4822, 0.4465], std: [0.2470, 0.2435, 0.2616] };
    /// ImageNet's, which many published CIFAR checkpoints use.
    pub const IMAGENET: Self = Self { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };

    /// Mean and deviation over all pixels of the images `indices`; a channel that never varies has the deviation 1. Sums
    /// are of integers, so that no order matters.
    pub fn of(set: &ImageSet, indices: impl Iterator<Item = usize>) -> Self {
        let (mut sums, mut squares, mut pixels) = ([0u64; CHANNELS], [0u64; CHANNELS], 0);
        for index in indices {
            for (c, plane) in set.image(index).chunks_exact(PLANE).enumerate() {
                sums[c] += plane.iter().map(|&p| u64::from(p)).sum::<u64>();
                squares[c] += plane.iter().map(|&p| u64::from(p).pow(2)).sum::<u64>();
            }
            pixels += PLANE;
        }
        let mean = |sum: u64| sum as f64 / pixels.max(1) as f64;
        let deviation = |c: usize| {
            let variance = mean(squares[c]) - mean(sums[c]).powi(2);
            if variance > 0.0 { variance.sqrt() / 255.0 } else { 1.0 }
        };
        Self {
            mean: std::array::from_fn(|c| (mean(sums[c]) / 255.0) as f32),
            std: std::array::from_fn(|c| deviation(c) as f32),
        }
    }

    /// `(pixel / 255 - mean) / std` of channel `c`.
    pub fn apply(&self, c: usize, pixel: u8) -> f32 {
        (f32::from(pixel) / 255.0 - self.mean[c]) / self.std[c]
    }

    /// [`Self::apply`] of every channel and pixel value: a byte has only 256.
    pub fn table(&self) -> PixelTable {
        std::array::from_fn(|c| std::array::from_fn(|pixel| self.apply(c, pixel as u8)))
    }
}

/// The normalised value of each channel and pixel value.
pub type PixelTable = [[f32; 256]; CHANNELS];

impl Default for Normalization {
    fn default() -> Self {
        Self::COURSE
    }
}

/// `mean,mean,mean/std,std,std`, read back exactly by [`FromStr`].
impl fmt::Display for Normalization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ([m0, m1, m2], [s0, s1, s2]) = (self.mean, self.std);
        write!(f, "{m0},{m1},{m2}/{s0},{s1},{s2}")
    }
}

impl FromStr for Normalization {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let three = |part: &str| -> Option<[f32; CHANNELS]> {
            let values: Option<Vec<f32>> = part.split(',').map(|v| v.trim().parse().ok()).collect();
            values?.try_into().ok()
        };
        text.split_once('/')
            .and_then(|(mean, std)| Some(Self { mean: three(mean)?, std: three(std)? }))
            .filter(|n| {
                n.mean.iter().all(|m| m.is_finite()) && n.std.iter().all(|s| s.is_finite() && *s > 0.0)
            })
            .ok_or_else(|| {
                Error::Value(format!(
                    "normalisation `{text}`: expected mean,mean,mean/std,std,std with positive deviations, \
                     as in `{}`",
                    Self::COURSE
                ))
            })
    }
}
