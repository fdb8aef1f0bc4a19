//! Grids and quantizers as a file has them, before anything about them is believed: whoever reads one gets the errors of
//! those who make one.

use engine::Error;
use serde::Deserialize;

use super::uniform::{self, Granularity};

/// A [`Grid`](uniform::Grid) that may be none.
#[derive(Deserialize)]
pub(super) struct Grid {
    qmin: i32,
    qmax: i32,
}

impl TryFrom<Grid> for uniform::Grid {
    type Error = Error;

    fn try_from(Grid { qmin, qmax }: Grid) -> Result<Self, Error> {
        let read = Self { qmin, qmax };
        let known = (1..=16).flat_map(|bits| [true, false].map(|signed| Self::new(bits, signed)));
        if read == Self::ZERO || known.flatten().any(|grid| grid == read) {
            return Ok(read);
        }
        Err(Error::value("grid", format!("{qmin} to {qmax} are no codes of 1 to 16 bits (eq 2)")))
    }
}

/// [`QParams`](uniform::QParams) whose lists may not fit, whose scales may be anything.
#[derive(Deserialize)]
pub(super) struct QParams {
    grid: uniform::Grid,
    scale: Vec<f32>,
    zero_point: Vec<i32>,
    granularity: Granularity,
}

impl TryFrom<QParams> for uniform::QParams {
    type Error = Error;

    fn try_from(QParams { grid, scale, zero_point, granularity }: QParams) -> Result<Self, Error> {
        match (granularity, &scale[..], &zero_point[..]) {
            (Granularity::PerTensor, &[s], &[z]) => Self::per_tensor(grid, s, z),
            (Granularity::PerTensor, s, z) => {
                let detail = format!("{} scales and {} zero points for one tensor", s.len(), z.len());
                Err(Error::value("per_tensor", detail))
            }
            (Granularity::PerChannel, ..) => Self::per_channel(grid, scale, zero_point),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Grid, QParams};

    #[test]
    fn what_is_written_is_read_and_what_cannot_be_is_refused() {
        let grid = Grid::signed(4).unwrap();
        for q in [
            QParams::per_tensor(grid, 0.1, -8).unwrap(),
            QParams::per_channel(grid, vec![0.1, 3.0], vec![0, 5]).unwrap(),
            QParams::per_tensor(Grid::ZERO, 1.0, 0).unwrap(),
        ] {
            let text = serde_json::to_string(&q).unwrap();
            assert_eq!(serde_json::from_str::<QParams>(&text).unwrap(), q);
        }
        let text =
            r#"{"grid":{"qmin":-8,"qmax":7},"scale":[0.5],"zero_point":[1],"granularity":"per_tensor"}"#;
        for (from, to, why) in [
            ("", "", ""),
            ("0.5", "0.0", "must be positive and finite, got 0"),
            ("[0.5]", "[]", "0 scales and 1 zero points for one tensor"),
            ("[1]", "[1,2]", "1 scales and 2 zero points for one tensor"),
            ("[1]", "[-2147483648]", "must lie within"),
            ("per_tensor", "per_channel", ""),
            ("qmax\":7", "qmax\":-9", "-8 to -9 are no codes of 1 to 16 bits"),
        ] {
            match serde_json::from_str::<QParams>(&text.replacen(from, to, 1)) {
                Ok(_) => assert!(why.is_empty(), "{to}"),
                Err(error) => assert!(!why.is_empty() && error.to_string().contains(why), "{to}: {error}"),
            }
        }
    }
}
