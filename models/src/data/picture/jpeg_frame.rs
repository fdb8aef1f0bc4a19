//! What a JPEG file says of its components before the library decodes it.
//!
//! The library (zune-jpeg 0.5.15) answers some rare files with colours that are not theirs, and no error. They are found by
//! their headers and refused:
//!
//! - without progression, components in scans of their own (`SOS` lists fewer than `SOF` does) where one has more rows than
//!   another;
//! - brightness, the first component, with fewer columns than a colour;
//! - a `JFIF` marker, by which the colours are brightness and two differences, beside an `Adobe` one that says they are not;
//! - no end marker: the rows that are missing would be grey.

/// A component of the frame: how many samples of it there are to a block's width and height.
type Sampling = (u8, u8);

/// Refuses what the library would answer with other colours, by the headers of a JPEG file. Headers that cannot be read are left to
/// the library, which says better what is wrong with them.
///
/// # Errors
/// Saying what is beyond it.
pub(super) fn check(bytes: &[u8]) -> Result<(), String> {
    match Headers::read(bytes) {
        None => Ok(()),
        Some(headers) if !headers.ends => Err("it has no end marker".into()),
        Some(headers) => {
            headers.beyond_the_library().map_or(Ok(()), |what| Err(format!("{what}; save it again as PNG")))
        }
    }
}

/// What stands before the first scan, and whether there is an end behind it.
struct Headers {
    /// Of a picture without progression; progressive ones are decoded rightly or refused.
    frame: Vec<Sampling>,
    /// Components of the first scan.
    scanned: usize,
    jfif: bool,
    /// An Adobe marker says that colours are red, green and blue.
    adobe_plain: bool,
    ends: bool,
}

impl Headers {
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut headers =
            Self { frame: Vec::new(), scanned: 0, jfif: false, adobe_plain: false, ends: false };
        let mut at = 2; // behind the start of the picture
        loop {
            let (&0xff, &marker) = (bytes.get(at)?, bytes.get(at + 1)?) else { return None };
            if marker == 0xff {
                at += 1; // filled up
                continue;
            }
            let len = usize::from(u16::from_be_bytes([*bytes.get(at + 2)?, *bytes.get(at + 3)?]));
            let segment = bytes.get(at + 4..at + 2 + len)?;
            at += 2 + len;
            match marker {
                0xe0 => headers.jfif |= segment.starts_with(b"JFIF\0"),
                0xee if segment.starts_with(b"Adobe") => headers.adobe_plain = segment.get(11) == Some(&0),
                0xc0 | 0xc1 => {
                    let components = segment.get(6..)?.chunks_exact(3);
                    headers.frame = components.map(|c| (c[1] >> 4, c[1] & 15)).collect();
                }
                0xda => {
                    headers.scanned = usize::from(*segment.first()?);
                    // Among the codes of pixels a byte ff is followed by 00, or by a marker.
                    headers.ends = bytes[at..].windows(2).any(|pair| pair == [0xff, 0xd9]);
                    return Some(headers);
                }
                _ => {}
            }
        }
    }

    fn beyond_the_library(&self) -> Option<&'static str> {
        let Self { frame, scanned, jfif, adobe_plain, .. } = self;
        let (heights, widths) = (frame.iter().map(|f| f.1), frame.iter().map(|f| f.0));
        if *jfif && *adobe_plain {
            Some("its JFIF and Adobe markers contradict each other about the colours")
        } else if *scanned < frame.len() && heights.clone().max() != heights.min() {
            Some("scans of single components with different numbers of rows are not read")
        } else if frame.first().map(|f| f.0) < widths.max() {
            Some("colours with more columns than the brightness are not read")
        } else {
            None
        }
    }
}
