//! Made-up samples to study quantizers on, and made-up images to calibrate with when no data may be used.
//!
//! The two data sets of calibration experiments are A, normal, and B, Laplace: weights and activations of
//! trained networks lie between the two. All samples depend on the seed alone.

use std::{f64::consts::PI, fmt, str::FromStr};

use engine::{
    Tensor,
    rng::{Purpose, Rng, ln},
};

use crate::{
    Error, Result,
    data::augment::Normalization,
    data::cifar10::{CHANNELS, ImageSet, PLANE, RECORD_BYTES, SIDE},
};

/// Samples of a data set unless the user says otherwise.
pub const DEFAULT_SAMPLES: usize = 100_000;

/// A distribution, in its standard position and scale. (Every scale rule is equivariant: `k` times the samples
/// have `k` times the scale, so one scale stands for all.)
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Distribution {
    /// Density `exp(-x^2/2) / sqrt(2 pi)`: data set A.
    Normal,
    /// Density `exp(-|x|) / 2`: data set B, with heavier tails.
    Laplace,
    /// Even on `[-1, 1)`.
    Uniform,
    /// Density `x^(shape-1) exp(-x) / Gamma(shape)` on `x > 0`, `shape >= 1`: like activations after a ReLU.
    Gamma {
        /// Greater for a more symmetric density; 1 is the exponential distribution.
        shape: f64,
    },
    /// Density proportional to `exp(kappa cos x)` on `[-pi, pi)`, `0 <= kappa <= 100`: a bell without tails.
    VonMises {
        /// Greater for a narrower bell; 0 is uniform.
        kappa: f64,
    },
}

impl Distribution {
    /// Data set A.
    pub const A: Self = Self::Normal;
    /// Data set B.
    pub const B: Self = Self::Laplace;

    /// `count` independent samples, `[count]`.
    pub fn samples(&self, count: usize, seed: u64) -> Tensor {
        // Each distribution has a stream of its own (in the place of the epoch).
        let stream = match self {
            Self::Normal => 0,
            Self::Laplace => 1,
            Self::Uniform => 2,
            Self::Gamma { .. } => 3,
            Self::VonMises { .. } => 4,
        };
        let mut rng = Rng::at(seed, Purpose::Synthetic, stream, 0);
        Tensor::from_fn([count], |_| self.sample(&mut rng) as f32)
    }

    /// One sample.
    fn sample(&self, rng: &mut Rng) -> f64 {
        match *self {
            Self::Normal => rng.normal_f64(),
            Self::Laplace => {
                // the inverse of the distribution function: -ln(1 - u) is exponential, the sign is a coin's
                let magnitude = -ln(1.0 - rng.uniform_f64());
                if rng.chance(0.5) { magnitude } else { -magnitude }
            }
            Self::Uniform => 2.0 * rng.uniform_f64() - 1.0,
            Self::Gamma { shape } => gamma(shape, rng),
            Self::VonMises { kappa } => loop {
                // rejection under the uniform density: accept x with probability exp(kappa (cos x - 1))
                let x = PI * (2.0 * rng.uniform_f64() - 1.0);
                if ln(1.0 - rng.uniform_f64()) < kappa * (cos(x) - 1.0) || kappa == 0.0 {
                    return x;
                }
            },
        }
    }

    fn check(self) -> Result<Self> {
        match self {
            Self::Gamma { shape } if !(1.0..=1e6).contains(&shape) => {
                Err(Error::Value(format!("gamma:{shape}: the shape must be in 1..=1000000")))
            }
            Self::VonMises { kappa } if !(0.0..=100.0).contains(&kappa) => {
                Err(Error::Value(format!("von_mises:{kappa}: kappa must be in 0..=100")))
            }
            valid => Ok(valid),
        }
    }
}

/// Marsaglia and Tsang, "A simple method for generating gamma variables" (2000): `d v` with `v = (1 + c z)^3`,
/// `z` normal, `d = shape - 1/3`, `c = 1 / sqrt(9 d)`, is almost gamma; a little rejection makes it exact.
fn gamma(shape: f64, rng: &mut Rng) -> f64 {
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let z = rng.normal_f64();
        let root = 1.0 + c * z;
        let v = root * root * root;
        let u = 1.0 - rng.uniform_f64();
        if v > f64::MIN_POSITIVE && ln(u) < 0.5 * z * z + d - d * v + d * ln(v) {
            return d * v;
        }
    }
}

/// Cosine of `|x| <= pi` by its Taylor series up to `x^30` (error below `1e-15`), the same on every machine.
fn cos(x: f64) -> f64 {
    let x2 = x * x;
    (1..=15).rev().fold(1.0, |sum, k| 1.0 - sum * x2 / f64::from((2 * k - 1) * (2 * k)))
}

/// `normal`, `laplace`, `uniform`, `gamma:SHAPE`, `von_mises:KAPPA`.
impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Normal => write!(f, "normal"),
            Self::Laplace => write!(f, "laplace"),
            Self::Uniform => write!(f, "uniform"),
            Self::Gamma { shape } => write!(f, "gamma:{shape}"),
            Self::VonMises { kappa } => write!(f, "von_mises:{kappa}"),
        }
    }
}

/// As printed; `A` and `B` name the two data sets, and a parameter left out is 2 for gamma, 1 for von Mises.
impl FromStr for Distribution {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let unknown = || {
            Error::Value(format!(
                "distribution `{text}` is unknown; there are A, B, normal, laplace, uniform, gamma:SHAPE, von_mises:KAPPA"
            ))
        };
        let (name, parameter) = match text.split_once(':') {
            Some((name, parameter)) => (name, Some(parameter.parse::<f64>().map_err(|_| unknown())?)),
            None => (text, None),
        };
        let distribution = match (name, parameter) {
            ("A" | "normal", None) => Self::Normal,
            ("B" | "laplace", None) => Self::Laplace,
            ("uniform", None) => Self::Uniform,
            ("gamma", shape) => Self::Gamma { shape: shape.unwrap_or(2.0) },
            ("von_mises", kappa) => Self::VonMises { kappa: kappa.unwrap_or(1.0) },
            _ => return Err(unknown()),
        };
        distribution.check()
    }
}

/// `count` images of Gaussian noise whose pixels have the mean and deviation of `statistics` per channel, as raw
/// bytes (so that they pass through the same input quantization as photographs), all with label 0. Give the
/// statistics of real pixels: [`Normalization::TRUE`].
///
/// `octaves = 1` is white noise, every pixel on its own. More octaves add noise that is constant over squares of
/// 2, 4, 8, ... pixels, each with the same variance; six octaves approach the `1/f` amplitude spectrum of
/// photographs (Field 1987) and so reach activation ranges nearer to theirs than white noise does.
///
/// # Errors
/// If `count` is 0 or above 10,000, or `octaves` is outside 1..=6.
pub fn noise_images(count: usize, octaves: usize, statistics: &Normalization, seed: u64) -> Result<ImageSet> {
    if !(1..=6).contains(&octaves) {
        return Err(Error::Value(format!("{octaves} octaves of noise: 1..=6 fit into 32 x 32 pixels")));
    }
    let mut records = vec![0; count * RECORD_BYTES];
    for (index, record) in records.chunks_exact_mut(RECORD_BYTES).enumerate() {
        let mut rng = Rng::at(seed, Purpose::Synthetic, 5, index);
        for (c, plane) in record[1..].chunks_exact_mut(PLANE).enumerate().take(CHANNELS) {
            let mut sum = [0.0; PLANE]; // of `octaves` standard normals: variance `octaves`
            for octave in 0..octaves {
                let cells = SIDE >> octave;
                let noise: Vec<f64> = (0..cells * cells).map(|_| rng.normal_f64()).collect();
                for (i, sum) in sum.iter_mut().enumerate() {
                    *sum += noise[((i / SIDE) >> octave) * cells + ((i % SIDE) >> octave)];
                }
            }
            let unit = f64::from(statistics.std[c]) / (octaves as f64).sqrt();
            for (pixel, sum) in plane.iter_mut().zip(sum) {
                *pixel =
                    (255.0 * (f64::from(statistics.mean[c]) + unit * sum)).round().clamp(0.0, 255.0) as u8;
            }
        }
    }
    ImageSet::from_records("synthetic images", records)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(d: Distribution) -> (f64, f64, f64) {
        let x = d.samples(DEFAULT_SAMPLES, 1);
        let n = x.len() as f64;
        let mean = x.data().iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        let central = |p| x.data().iter().map(|&v| (f64::from(v) - mean).powi(p)).sum::<f64>() / n;
        (mean, central(2), central(4) / central(2).powi(2))
    }

    #[test]
    fn moments_are_the_distributions() {
        // mean, variance, kurtosis; the von Mises variance and kurtosis by numerical integration below
        let (z, w): (Vec<f64>, Vec<f64>) = (0..100_000)
            .map(|i| PI * (2.0 * (f64::from(i) + 0.5) / 1e5 - 1.0))
            .map(|x| (x, x.cos().exp()))
            .unzip();
        let expect = |p| z.iter().zip(&w).map(|(x, w)| x.powi(p) * w).sum::<f64>() / w.iter().sum::<f64>();
        let (v, k) = (expect(2), expect(4) / expect(2).powi(2));
        for (d, mean, variance, kurtosis) in [
            (Distribution::A, 0.0, 1.0, 3.0),
            (Distribution::B, 0.0, 2.0, 6.0),
            (Distribution::Uniform, 0.0, 1.0 / 3.0, 1.8),
            (Distribution::Gamma { shape: 2.0 }, 2.0, 2.0, 6.0),
            (Distribution::Gamma { shape: 1.0 }, 1.0, 1.0, 9.0),
            (Distribution::VonMises { kappa: 1.0 }, 0.0, v, k),
            (Distribution::VonMises { kappa: 0.0 }, 0.0, PI * PI / 3.0, 1.8),
        ] {
            let (m, v, k) = moments(d);
            assert!((m - mean).abs() < 0.02, "{d}: mean {m}");
            assert!((v / variance - 1.0).abs() < 0.03, "{d}: variance {v}, {variance}");
            assert!((k / kurtosis - 1.0).abs() < 0.1, "{d}: kurtosis {k}, {kurtosis}");
        }
    }

    #[test]
    fn cosine_is_accurate() {
        for i in -1000..=1000 {
            let x = PI * f64::from(i) / 1000.0;
            assert!((cos(x) - x.cos()).abs() < 1e-14, "{x}");
        }
    }

    #[test]
    fn samples_depend_on_the_seed_and_lengthen_without_changing() {
        let d = Distribution::B;
        assert_eq!(d.samples(100, 5).data(), &d.samples(200, 5).data()[..100]);
        assert_ne!(d.samples(100, 5), d.samples(100, 6));
    }

    #[test]
    fn names_are_read_as_printed() {
        for text in ["normal", "laplace", "uniform", "gamma:2.5", "von_mises:1"] {
            assert_eq!(text.parse::<Distribution>().unwrap().to_string(), text);
        }
        assert_eq!("A".parse::<Distribution>().unwrap(), Distribution::Normal);
        for bad in ["", "cauchy", "gamma:0.5", "gamma:x", "von_mises:-1", "von_mises:nan", "normal:3"] {
            assert!(bad.parse::<Distribution>().is_err(), "{bad}");
        }
    }

    #[test]
    fn noise_has_the_statistics_asked_for_and_octaves_correlate_neighbours() {
        let statistics = Normalization { mean: [0.5, 0.45, 0.4], std: [0.1, 0.12, 0.08] };
        let correlation = |octaves| {
            let set = noise_images(60, octaves, &statistics, 3).unwrap();
            let mut neighbours = 0.0;
            for c in 0..CHANNELS {
                let pixels: Vec<f64> = (0..60)
                    .flat_map(|i| set.image(i)[c * PLANE..][..PLANE].iter().map(|&p| f64::from(p) / 255.0))
                    .collect();
                let (n, m) = (pixels.len() as f64, f64::from(statistics.mean[c]));
                let mean = pixels.iter().sum::<f64>() / n;
                let variance = pixels.iter().map(|p| (p - m).powi(2)).sum::<f64>() / n;
                assert!((mean - m).abs() < 0.03, "{mean}");
                assert!((variance.sqrt() / f64::from(statistics.std[c]) - 1.0).abs() < 0.1, "{variance}");
                neighbours += pixels.windows(2).map(|p| (p[0] - m) * (p[1] - m)).sum::<f64>() / n / variance;
            }
            neighbours / 3.0
        };
        assert!(correlation(1).abs() < 0.02);
        assert!(correlation(6) > 0.6);
        assert!(noise_images(1, 0, &statistics, 0).is_err() && noise_images(1, 7, &statistics, 0).is_err());
        assert!(noise_images(0, 1, &statistics, 0).is_err());
    }
}
