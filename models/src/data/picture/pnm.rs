//! Portable anymaps: bitmaps (`P1`, `P4`), grey maps (`P2`, `P5`) and pixmaps (`P3`, `P6`), the first of each pair in
//! text, the second in binary.
//!
//! `P6 WIDTH HEIGHT LARGEST`, one white space, samples; bitmaps have no largest value; a `#` before the samples begins a
//! comment. Samples are scaled so that the largest value becomes 255, and take two bytes each, the high one first,
//! where it is above 255. Programs disagree about what may stand between the largest value and the first sample (a CR LF
//! counts as one end of line to some; some write a comment there), so it is the length of the file that says where the
//! samples begin, and what lies before them must be white space or a comment.

use super::Picture;
use super::shrink::Shrink;

type Result<T> = std::result::Result<T, String>;

/// The text before the samples, and the samples of a text format.
struct Words<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Words<'_> {
    fn skip(&mut self, keep: fn(&u8) -> bool) {
        self.at += self.bytes[self.at..].iter().take_while(|b| keep(b)).count();
    }

    /// White space and comments.
    fn skip_blank(&mut self) {
        loop {
            self.skip(u8::is_ascii_whitespace);
            if self.bytes.get(self.at) != Some(&b'#') {
                return;
            }
            self.skip(|b| *b != b'\n');
        }
    }

    fn number(&mut self, what: &str) -> Result<usize> {
        self.skip_blank();
        let from = self.at;
        self.skip(u8::is_ascii_digit);
        let digits = std::str::from_utf8(&self.bytes[from..self.at]).expect("digits");
        digits.parse().map_err(|_| format!("no {what}"))
    }

    /// A digit of a bitmap in text; they need no space between them.
    fn bit(&mut self) -> Option<u8> {
        self.skip_blank();
        let bit = *self.bytes.get(self.at)?;
        self.at += 1;
        matches!(bit, b'0' | b'1').then(|| bit - b'0')
    }
}

/// A picture in memory that begins with `P1` to `P6`.
pub(super) fn decode(bytes: &[u8]) -> Result<Picture> {
    let kind = bytes[1] - b'0';
    let mut words = Words { bytes, at: 2 };
    let (width, height) = (words.number("width")?, words.number("height")?);
    let largest = if matches!(kind, 1 | 4) { 1 } else { words.number("largest value")? };
    if !(1..=65_535).contains(&largest) {
        return Err(format!("the largest value is {largest}, at most 65535 is read"));
    }
    let mut shrink = Shrink::new(width, height, super::Orientation::default())?;
    let channels = if matches!(kind, 3 | 6) { 3 } else { 1 };
    let per_row = width * channels;
    let scale = |sample: usize| ((sample * 255 + largest / 2) / largest) as u8;
    // In bitmaps, 1 is black.
    let black = |bit: u8| 255 * (1 - bit);
    match kind {
        1 => {
            for _ in 0..height {
                let row: Option<Vec<u8>> = (0..width).map(|_| words.bit().map(black)).collect();
                let Some(row) = row else { break };
                push(&mut shrink, &row, 1);
            }
        }
        2 | 3 => {
            'rows: for _ in 0..height {
                let mut row = Vec::with_capacity(per_row);
                for _ in 0..per_row {
                    let Ok(sample) = words.number("sample") else { break 'rows };
                    if sample > largest {
                        return Err(format!("{sample} is above the largest value, {largest}"));
                    }
                    row.push(scale(sample));
                }
                push(&mut shrink, &row, channels);
            }
        }
        4 => {
            let stride = width.div_ceil(8);
            for line in samples(bytes, words.at, stride * height)?.chunks_exact(stride) {
                let row: Vec<u8> = (0..width).map(|x| black(line[x / 8] >> (7 - x % 8) & 1)).collect();
                push(&mut shrink, &row, 1);
            }
        }
        _ => {
            let wide = largest > 255;
            let stride = if wide { 2 * per_row } else { per_row };
            for line in samples(bytes, words.at, stride * height)?.chunks_exact(stride) {
                let row: Vec<u8> = match wide {
                    false => line.iter().map(|&v| scale(usize::from(v).min(largest))).collect(),
                    true => line
                        .chunks_exact(2)
                        .map(|v| scale(usize::from(u16::from_be_bytes([v[0], v[1]])).min(largest)))
                        .collect(),
                };
                push(&mut shrink, &row, channels);
            }
        }
    }
    shrink.finish()
}

/// The last `len` bytes, behind white space or comments from `at` on. As many as there are, if there are fewer.
fn samples(bytes: &[u8], at: usize, len: usize) -> Result<&[u8]> {
    let rest = &bytes[at.min(bytes.len())..];
    let Some(between) = rest.len().checked_sub(len).filter(|&between| between > 0) else {
        return Ok(rest.get(1..).unwrap_or(&[]));
    };
    let (gap, samples) = rest.split_at(between);
    let one_space = |gap: &[u8]| matches!(gap, [b] if b.is_ascii_whitespace()) || gap == b"\r\n";
    let comment = |gap: &[u8]| {
        let mut words = Words { bytes: gap, at: 0 };
        words.skip_blank();
        gap.contains(&b'#') && gap.ends_with(b"\n") && words.at == gap.len()
    };
    if one_space(gap) || comment(gap) {
        return Ok(samples);
    }
    let more = between - 1;
    Err(format!("the file has {more} byte{} more than its header says", if more == 1 { "" } else { "s" }))
}

fn push(shrink: &mut Shrink, row: &[u8], channels: usize) {
    match channels {
        3 => shrink.push(row),
        _ => shrink.push(&row.iter().flat_map(|&v| [v; 3]).collect::<Vec<u8>>()),
    }
}
