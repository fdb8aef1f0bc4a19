//! How a camera was held: the orientation that it notes in a picture's EXIF data (tag 274), 1 to 8.
//!
//! | value | the picture is seen after |
//! |---|---|
//! | 1 | nothing |
//! | 2, 4 | a flip left to right, top to bottom |
//! | 3 | half a turn |
//! | 5, 7 | a flip over the diagonal, over the other diagonal |
//! | 6, 8 | a quarter turn to the right, to the left |

use crate::data::cifar10::{CHANNELS, SIDE};

/// An orientation: first perhaps rows and columns change places, then perhaps both are flipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Orientation {
    transpose: bool,
    /// Of the picture as it is stored.
    flip_x: bool,
    flip_y: bool,
}

impl Orientation {
    /// The orientation in EXIF data, whatever else in it is damaged; upright if there is none, or nonsense.
    pub(super) fn of_exif(data: Option<&[u8]>) -> Self {
        let read = |data: &[u8]| {
            // Some programs write the name that JPEG files have before it into PNG files too.
            let data = data.strip_prefix(b"Exif\0\0").unwrap_or(data);
            let exif = exif::Reader::new().continue_on_error(true).read_raw(data.to_vec());
            let exif = exif.or_else(|error| error.distill_partial_result(|_| ())).ok()?;
            exif.get_field(exif::Tag::Orientation, exif::In::PRIMARY)?.value.get_uint(0)
        };
        let (transpose, flip_x, flip_y) = match data.and_then(read) {
            Some(2) => (false, true, false),
            Some(3) => (false, true, true),
            Some(4) => (false, false, true),
            Some(5) => (true, false, false),
            Some(6) => (true, false, true),
            Some(7) => (true, true, true),
            Some(8) => (true, true, false),
            _ => (false, false, false),
        };
        Self { transpose, flip_x, flip_y }
    }

    /// Whether columns and rows of the stored picture are seen in reverse order.
    pub(super) fn flips(self) -> (bool, bool) {
        (self.flip_x, self.flip_y)
    }

    /// `pixels [32][32][3]` as they are seen.
    pub(super) fn apply(self, pixels: &[u8]) -> Vec<u8> {
        let flip = |flipped: bool, i: usize| if flipped { SIDE - 1 - i } else { i };
        let source = |y: usize, x: usize| {
            let (y, x) = if self.transpose { (x, y) } else { (y, x) };
            (flip(self.flip_y, y) * SIDE + flip(self.flip_x, x)) * CHANNELS
        };
        let places = (0..SIDE).flat_map(|y| (0..SIDE).map(move |x| (y, x)));
        places.flat_map(|(y, x)| pixels[source(y, x)..][..CHANNELS].iter().copied()).collect()
    }
}
