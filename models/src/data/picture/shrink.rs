//! A picture of any size as 32 x 32 pixels.

use super::{MAX_PIXELS, MAX_SIDE, Orientation, Picture};
use crate::data::cifar10::{CHANNELS, IMAGE_BYTES, SIDE};

/// Averages areas, a row at a time: only the sums are kept.
pub(super) struct Shrink {
    width: usize,
    height: usize,
    /// Side of the square.
    side: usize,
    rows: usize,
    orientation: Orientation,
    sums: Vec<u64>,
}

impl Shrink {
    pub(super) fn new(
        width: usize,
        height: usize,
        orientation: Orientation,
    ) -> std::result::Result<Self, String> {
        if width == 0 || height == 0 {
            return Err(format!("{width}x{height} pixels"));
        }
        if width.max(height) > MAX_SIDE || width * height > MAX_PIXELS {
            let most = format!("at most {MAX_SIDE} a side and {MAX_PIXELS} altogether are read");
            return Err(format!("{width}x{height} pixels; {most}"));
        }
        Ok(Self { width, height, side: width.min(height), rows: 0, orientation, sums: vec![0; IMAGE_BYTES] })
    }

    /// Which of the 32 results a place of the square belongs to, and how much of it, in 32nds of a pixel.
    fn shares(&self, place: usize) -> impl Iterator<Item = (usize, u64)> + use<> {
        let (side, from, to) = (self.side, place * SIDE, (place + 1) * SIDE);
        (from / side..=(to - 1) / side).map(move |i| {
            let overlap = to.min((i + 1) * side) - from.max(i * side);
            (i, overlap as u64)
        })
    }

    /// The next row of the picture, from the top.
    pub(super) fn push(&mut self, row: &[u8]) {
        // The square is the middle one of the picture as it will be seen: an odd margin is cut accordingly.
        let (flip_x, flip_y) = self.orientation.flips();
        let top = (self.height - self.side + usize::from(flip_y)) / 2;
        let left = (self.width - self.side + usize::from(flip_x)) / 2;
        let y = self.rows;
        self.rows += 1;
        if !(top..top + self.side).contains(&y) {
            return;
        }
        for x in 0..self.side {
            let pixel = &row[(left + x) * CHANNELS..][..CHANNELS];
            for (i, tall) in self.shares(y - top) {
                for (j, wide) in self.shares(x) {
                    let sums = &mut self.sums[(i * SIDE + j) * CHANNELS..][..CHANNELS];
                    for (sum, &sample) in sums.iter_mut().zip(pixel) {
                        *sum += tall * wide * u64::from(sample);
                    }
                }
            }
        }
    }

    pub(super) fn finish(self) -> std::result::Result<Picture, String> {
        if self.rows < self.height {
            return Err(format!("{} rows of {}", self.rows, self.height));
        }
        let area = (self.side * self.side) as u64;
        let pixels: Vec<u8> = self.sums.iter().map(|sum| ((sum + area / 2) / area) as u8).collect();
        Ok(Picture { pixels: self.orientation.apply(&pixels), width: self.width, height: self.height })
    }
}
