//! A contact sheet: many small pictures on one, as PNG.

use anyhow::Result;
use models::data::cifar10::{CHANNELS, ImageSet, SIDE, interleave};

use super::picture::png_file;

/// Pictures in a row.
const COLUMNS: usize = 10;
/// White pixels around each.
const MARGIN: usize = 2;

/// The first `most` images of `set`, ten in a row, at their own size.
///
/// # Errors
/// If they cannot be encoded.
pub fn contact_sheet(set: &ImageSet, most: usize) -> Result<Vec<u8>> {
    let shown = set.len().min(most);
    let (columns, rows) = (shown.min(COLUMNS), shown.div_ceil(COLUMNS));
    let cell = SIDE + MARGIN;
    let (width, height) = (columns * cell + MARGIN, rows * cell + MARGIN);
    let mut pixels = vec![255; width * height * CHANNELS];
    for i in 0..shown {
        let (left, top) = (MARGIN + i % COLUMNS * cell, MARGIN + i / COLUMNS * cell);
        for (y, row) in interleave(set.image(i)).chunks_exact(SIDE * CHANNELS).enumerate() {
            let start = ((top + y) * width + left) * CHANNELS;
            pixels[start..start + row.len()].copy_from_slice(row);
        }
    }
    png_file(&pixels, width, height)
}

#[cfg(test)]
mod tests {
    use models::data::augment::Normalization;
    use models::data::synthetic::noise_images;

    use super::*;

    #[test]
    fn every_image_stands_at_its_place() {
        let set = noise_images(12, 4, &Normalization::TRUE, 1).unwrap();
        let png = contact_sheet(&set, 11).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(png)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.height), (342, 70));
        let pixel = |x: usize, y: usize| &pixels[(y * 342 + x) * 3..][..3];
        assert_eq!(pixel(0, 0), [255; 3]);
        // Image 10 begins the second row; there is no image 11.
        let last = interleave(set.image(10));
        assert_eq!(pixel(2, 36), &last[..3]);
        assert_eq!(pixel(33, 67), &last[last.len() - 3..]);
        assert_eq!(pixel(36, 36), [255; 3]);
    }
}
