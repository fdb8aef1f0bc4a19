//! Pictures as PNG: a file's bytes, or the text of an address inside a page.

use anyhow::Result;

/// `width x height` pixels of red, green and blue as the bytes of a PNG file.
///
/// # Errors
/// If the pixels are not so many.
pub fn png_file(rgb: &[u8], width: usize, height: usize) -> Result<Vec<u8>> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width as u32, height as u32);
    encoder.set_color(png::ColorType::Rgb); // of eight bits a sample, its default
    encoder.set_compression(png::Compression::High);
    encoder.write_header()?.write_image_data(rgb)?;
    Ok(file)
}

/// The same as a `data:` address.
///
/// # Errors
/// As [`png_file`].
pub fn data_uri(rgb: &[u8], width: usize, height: usize) -> Result<String> {
    Ok(format!("data:image/png;base64,{}", base64(&png_file(rgb, width, height)?)))
}

/// Three bytes as four characters (RFC 4648).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = group.iter().enumerate().fold(0u32, |bits, (i, b)| bits | u32::from(*b) << (16 - 8 * i));
        for i in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * i)) as usize & 63];
            text.push(if i <= group.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_the_standards_examples() {
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn a_picture_is_a_png() {
        let address = data_uri(&[255, 0, 0, 0, 255, 0], 2, 1).unwrap();
        assert!(address.starts_with("data:image/png;base64,iVBORw0KGgo"), "{address}");
        assert!(data_uri(&[0; 5], 2, 1).is_err());
    }
}
