//! Picture files as images of 32 x 32 pixels: PNG, JPEG and PPM, told apart by their first bytes.
//!
//! The rule, for pictures of another size: the largest square in the middle is kept, and each of the 32 x 32 pixels is
//! the average of the area of the square that it covers, in integers, rounded half up. A picture of 32 x 32 pixels is
//! left as it is. Transparency, colour profiles and the orientation that a camera notes are ignored; 16-bit samples
//! lose their lower half.

use std::io::Cursor;
use std::path::Path;

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use crate::cifar10::{CHANNELS, IMAGE_BYTES, SIDE};
use crate::mmap::Bytes;
use crate::{Error, Result};

/// No side may be longer.
pub const MAX_SIDE: usize = 16_384;
/// No picture may have more pixels.
pub const MAX_PIXELS: usize = 1 << 26;

/// A picture, ready for a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// `[32][32][3]`.
    pub pixels: Vec<u8>,
    /// Of the file.
    pub width: usize,
    /// Of the file.
    pub height: usize,
}

/// A format of pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Portable network graphics.
    Png,
    /// Baseline and progressive JPEG.
    Jpeg,
    /// Portable pixmap: colours in 8 bits, binary (`P6`).
    Ppm,
}

impl Format {
    /// The format of a file that begins so.
    pub fn detect(head: &[u8]) -> Option<Self> {
        match head {
            [0x89, b'P', b'N', b'G', ..] => Some(Self::Png),
            [0xff, 0xd8, 0xff, ..] => Some(Self::Jpeg),
            [b'P', b'6', b'\n' | b' ' | b'\r' | b'\t', ..] => Some(Self::Ppm),
            _ => None,
        }
    }
}

/// Reads a picture through a memory map.
///
/// # Errors
/// If it cannot be opened, is none of the formats, is not complete, or is larger than [`MAX_SIDE`] or [`MAX_PIXELS`]
/// allow; the message names the file.
pub fn read(path: &Path) -> Result<Picture> {
    let bytes = Bytes::map(path)?;
    decode(&bytes).map_err(|detail| Error::malformed(path, detail))
}

/// A picture in memory; an error says in a few words what is wrong with it.
fn decode(bytes: &[u8]) -> std::result::Result<Picture, String> {
    match Format::detect(bytes) {
        Some(Format::Png) => png(bytes).map_err(|e| format!("not a complete PNG picture ({e})")),
        Some(Format::Jpeg) => jpeg(bytes).map_err(|e| format!("not a complete JPEG picture ({e})")),
        Some(Format::Ppm) => ppm(bytes).map_err(|e| format!("not a complete PPM picture ({e})")),
        None => Err("is not a PNG, JPEG or PPM picture".into()),
    }
}

/// A row of samples, one to four to a pixel, as red, green and blue.
fn push_samples(shrink: &mut Shrink, samples: &[u8], per_pixel: usize, row: &mut Vec<u8>) {
    row.clear();
    for pixel in samples.chunks_exact(per_pixel) {
        row.extend(if per_pixel < 3 { [pixel[0]; 3] } else { [pixel[0], pixel[1], pixel[2]] });
    }
    shrink.push(row);
}

fn png(bytes: &[u8]) -> std::result::Result<Picture, String> {
    let text = |e: png::DecodingError| e.to_string();
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().map_err(text)?;
    let info = reader.info();
    let (width, height, interlaced) = (info.width as usize, info.height as usize, info.interlaced);
    let mut shrink = Shrink::new(width, height)?;
    let (per_pixel, mut row) = (reader.output_color_type().0.samples(), Vec::new());
    if interlaced {
        // Its rows come in an order that needs the whole picture.
        let mut samples = vec![0; reader.output_buffer_size().ok_or("too large")?];
        reader.next_frame(&mut samples).map_err(text)?;
        samples
            .chunks_exact(width * per_pixel)
            .for_each(|line| push_samples(&mut shrink, line, per_pixel, &mut row));
    } else {
        while let Some(line) = reader.next_row().map_err(text)? {
            push_samples(&mut shrink, line.data(), per_pixel, &mut row);
        }
    }
    shrink.finish()
}

fn jpeg(bytes: &[u8]) -> std::result::Result<Picture, String> {
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(MAX_SIDE)
        .set_max_height(MAX_SIDE)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(|e| format!("{e:?}"))?;
    let (width, height) = decoder.dimensions().ok_or("no dimensions")?;
    let mut shrink = Shrink::new(width, height)?;
    let samples = decoder.decode().map_err(|e| format!("{e:?}"))?;
    samples.chunks_exact(width * CHANNELS).for_each(|row| shrink.push(row));
    shrink.finish()
}

/// `P6 WIDTH HEIGHT 255`, one white space, samples; a `#` in the header begins a comment.
fn ppm(bytes: &[u8]) -> std::result::Result<Picture, String> {
    let mut at = 2;
    let mut number = |what: &str| {
        let skip = |at: &mut usize, keep: fn(&u8) -> bool| {
            *at += bytes[*at..].iter().take_while(|b| keep(b)).count();
        };
        loop {
            skip(&mut at, u8::is_ascii_whitespace);
            if bytes.get(at) != Some(&b'#') {
                break;
            }
            skip(&mut at, |b| *b != b'\n');
        }
        let from = at;
        skip(&mut at, u8::is_ascii_digit);
        let digits = std::str::from_utf8(&bytes[from..at]).expect("digits");
        digits.parse::<usize>().map_err(|_| format!("no {what}"))
    };
    let (width, height, largest) = (number("width")?, number("height")?, number("largest value")?);
    if largest != 255 {
        return Err(format!("the largest value is {largest}, only 255 is read"));
    }
    let mut shrink = Shrink::new(width, height)?;
    let samples = bytes.get(at + 1..).unwrap_or(&[]);
    samples.chunks_exact(width * CHANNELS).take(height).for_each(|row| shrink.push(row));
    shrink.finish()
}

/// Averages areas, a row at a time: only the sums are kept.
struct Shrink {
    width: usize,
    height: usize,
    /// Side of the square.
    side: usize,
    rows: usize,
    sums: Vec<u64>,
}

impl Shrink {
    fn new(width: usize, height: usize) -> std::result::Result<Self, String> {
        if width == 0 || height == 0 {
            return Err(format!("{width}x{height} pixels"));
        }
        if width.max(height) > MAX_SIDE || width * height > MAX_PIXELS {
            let most = format!("at most {MAX_SIDE} a side and {MAX_PIXELS} altogether are read");
            return Err(format!("{width}x{height} pixels; {most}"));
        }
        Ok(Self { width, height, side: width.min(height), rows: 0, sums: vec![0; IMAGE_BYTES] })
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
    fn push(&mut self, row: &[u8]) {
        let (top, left) = ((self.height - self.side) / 2, (self.width - self.side) / 2);
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

    fn finish(self) -> std::result::Result<Picture, String> {
        if self.rows < self.height {
            return Err(format!("{} rows of {}", self.rows, self.height));
        }
        let area = (self.side * self.side) as u64;
        let pixels = self.sums.iter().map(|sum| ((sum + area / 2) / area) as u8).collect();
        Ok(Picture { pixels, width: self.width, height: self.height })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pixmap(width: usize, height: usize, sample: impl Fn(usize, usize, usize) -> u8) -> Vec<u8> {
        let mut bytes = format!("P6\n# a comment\n{width} {height}\n255\n").into_bytes();
        for i in 0..width * height * 3 {
            bytes.push(sample(i / 3 / width, i / 3 % width, i % 3));
        }
        bytes
    }

    fn png_of(color: png::ColorType, width: u32, height: u32, samples: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, width, height);
        encoder.set_color(color);
        encoder.write_header().unwrap().write_image_data(samples).unwrap();
        bytes
    }

    #[test]
    fn a_picture_of_the_right_size_is_left_as_it_is() {
        let sample = |y: usize, x: usize, c: usize| (y * 7 + x * 5 + c * 31) as u8;
        let bytes = pixmap(32, 32, sample);
        let samples = &bytes[bytes.len() - 3072..];
        let picture = decode(&bytes).unwrap();
        assert_eq!((picture.pixels.as_slice(), picture.width, picture.height), (samples, 32, 32));
        assert_eq!(decode(&png_of(png::ColorType::Rgb, 32, 32, samples)).unwrap(), picture);
    }

    #[test]
    fn the_middle_square_is_averaged() {
        // 3 x 3 blocks of one colour, behind a margin that must not be seen.
        let block = |y: usize, x: usize| ((y / 3) * 8 + x / 3) as u8;
        let bytes =
            pixmap(96 + 20, 96, |y, x, _| if (10..106).contains(&x) { block(y, x - 10) } else { 255 });
        let picture = decode(&bytes).unwrap();
        for (i, pixel) in picture.pixels.chunks(3).enumerate() {
            assert_eq!(pixel, [(i / 32 * 8 + i % 32) as u8; 3]);
        }
        // Sides that 32 does not divide: the mean stays.
        let bytes = pixmap(45, 45, |y, x, _| if (x + y) % 2 == 0 { 200 } else { 100 });
        let mean = decode(&bytes).unwrap().pixels.iter().map(|&p| f64::from(p)).sum::<f64>() / 3072.0;
        assert!((mean - 150.0).abs() < 1.0, "{mean}");
        assert_eq!(decode(&pixmap(1, 1, |_, _, c| c as u8 * 9)).unwrap().pixels, [0, 9, 18].repeat(1024));
    }

    #[test]
    fn grey_and_transparent_pictures_become_colours() {
        let grey = decode(&png_of(png::ColorType::Grayscale, 32, 32, &[77; 1024])).unwrap();
        assert_eq!(grey.pixels, [77; 3072]);
        let rgba = decode(&png_of(png::ColorType::Rgba, 32, 32, &[1, 2, 3, 0].repeat(1024))).unwrap();
        assert_eq!(rgba.pixels, [1, 2, 3].repeat(1024));
    }

    #[test]
    fn jpeg_baseline_progressive_and_cut_short() {
        use jpeg_encoder::{ColorType, Encoder};
        let encode = |color, progressive, samples: &[u8]| {
            let mut bytes = Vec::new();
            let mut encoder = Encoder::new(&mut bytes, 95);
            encoder.set_progressive(progressive);
            encoder.encode(samples, 64, 48, color).unwrap();
            bytes
        };
        let near = |a: &[u8], b: [u8; 3]| a.iter().zip(b).all(|(a, b)| a.abs_diff(b) <= 3);
        let rgb = [90u8, 120, 200].repeat(64 * 48);
        for progressive in [false, true] {
            let bytes = encode(ColorType::Rgb, progressive, &rgb);
            let picture = decode(&bytes).unwrap();
            assert_eq!((picture.width, picture.height), (64, 48));
            assert!(picture.pixels.chunks(3).all(|p| near(p, [90, 120, 200])), "{:?}", &picture.pixels[..3]);
            let e = decode(&bytes[..bytes.len() - 40]).unwrap_err();
            assert!(e.contains("not a complete JPEG"), "{e}");
        }
        let grey = decode(&encode(ColorType::Luma, false, &[77; 64 * 48])).unwrap();
        assert!(grey.pixels.chunks(3).all(|p| near(p, [77; 3])));
    }

    #[test]
    fn what_is_no_complete_picture_is_an_error() {
        let png = png_of(png::ColorType::Rgb, 32, 32, &[5; 3072]);
        for (bytes, text) in [
            (&b"hello"[..], "is not a PNG, JPEG or PPM picture"),
            (b"", "is not a PNG"),
            (&png[..png.len() / 2], "not a complete PNG"),
            (&png[..20], "not a complete PNG"),
            (b"\xff\xd8\xff\xe0\0\x10JFIF", "not a complete JPEG"),
            (b"P6\n32 32\n255\n123", "0 rows of 32"),
            (b"P6\n32 32", "no largest value"),
            (b"P6\n32 32\n65535\n", "only 255 is read"),
            (b"P6\n1000000 1000000\n255\n", "1000000x1000000 pixels; at most 16384"),
            (b"P6\n16384 16384\n255\n", "altogether"),
            (b"P6\n0 5\n255\n", "0x5 pixels"),
        ] {
            let e = decode(bytes).unwrap_err();
            assert!(e.contains(text), "{e}");
        }
    }
}
