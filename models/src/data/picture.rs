//! Picture files as images of 32 x 32 pixels: PNG, JPEG and PNM, told apart by their first bytes.
//!
//! The rule, for pictures of another size: the largest square in the middle is kept, and each of the 32 x 32 pixels is
//! the average of the area of the square that it covers, in integers, rounded half up. A picture of 32 x 32 pixels is
//! left as it is. The orientation that a camera notes is honoured; transparency and colour profiles are ignored; 16-bit
//! samples of a PNG lose their lower half.

mod jpeg_frame;
mod orientation;
mod pnm;
mod shrink;

use std::io::Cursor;
use std::path::Path;

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use crate::data::cifar10::CHANNELS;
use crate::formats::mmap::Bytes;
use crate::{Error, Result};
use orientation::Orientation;
use shrink::Shrink;

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
    /// Portable anymaps: bitmaps, grey maps and pixmaps, in text (`P1` to `P3`) or binary (`P4` to `P6`).
    Pnm,
}

impl Format {
    /// The format of a file that begins so.
    pub fn detect(head: &[u8]) -> Option<Self> {
        match head {
            [0x89, b'P', b'N', b'G', ..] => Some(Self::Png),
            [0xff, 0xd8, 0xff, ..] => Some(Self::Jpeg),
            [b'P', b'1'..=b'6', b'\n' | b' ' | b'\r' | b'\t' | b'#', ..] => Some(Self::Pnm),
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
        Some(Format::Pnm) => pnm::decode(bytes).map_err(|e| format!("not a complete PNM picture ({e})")),
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
    let orientation = Orientation::of_exif(exif_of_png(bytes));
    let mut shrink = Shrink::new(width, height, orientation)?;
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

/// The contents of the first `eXIf` chunk. It may stand behind the pixels, where the library has not been yet when the
/// orientation is needed.
fn exif_of_png(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes.get(8..)?; // behind the signature
    loop {
        let (head, behind) = rest.split_at_checked(8)?;
        let len = u32::from_be_bytes(head[..4].try_into().ok()?) as usize;
        if head.ends_with(b"eXIf") {
            return behind.get(..len);
        }
        rest = behind.get(len.checked_add(4)?..)?; // and behind the checksum
    }
}

fn jpeg(bytes: &[u8]) -> std::result::Result<Picture, String> {
    jpeg_frame::check(bytes)?;
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(MAX_SIDE)
        .set_max_height(MAX_SIDE)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(|e| format!("{e:?}"))?;
    let (width, height) = decoder.dimensions().ok_or("no dimensions")?;
    let orientation = Orientation::of_exif(decoder.exif().map(Vec::as_slice));
    let mut shrink = Shrink::new(width, height, orientation)?;
    let samples = decoder.decode().map_err(|e| format!("{e:?}"))?;
    samples.chunks_exact(width * CHANNELS).for_each(|row| shrink.push(row));
    shrink.finish()
}

#[cfg(test)]
mod tests;
