//! Padded copies of images, in a buffer of the thread.

use std::cell::RefCell;

use crate::arena::Floats;

/// The padding and extent of one image `[h, w, c]` to be copied into a larger one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Padding {
    /// Rows of the image.
    pub h: usize,
    /// Pixels of a row.
    pub w: usize,
    /// Floats of a pixel.
    pub c: usize,
    /// Zero pixels above and to the left.
    pub before: usize,
    /// Zero pixels below and to the right.
    pub after: [usize; 2],
}

impl Padding {
    /// Floats of a padded row.
    pub(crate) fn row(&self) -> usize {
        (self.before + self.w + self.after[1]) * self.c
    }

    /// Floats of the padded image.
    pub(crate) fn len(&self) -> usize {
        (self.before + self.h + self.after[0]) * self.row()
    }

    /// Copies `x [h, w, c]` into the middle of `padded` and writes the zeros around it.
    pub(crate) fn copy(&self, x: &[f32], padded: &mut [f32]) {
        let (row, left) = (self.row(), self.before * self.c);
        let (top, rest) = padded[..self.len()].split_at_mut(self.before * row);
        let (middle, bottom) = rest.split_at_mut(self.h * row);
        top.fill(0.0);
        bottom.fill(0.0);
        let width = self.w * self.c;
        for (to, from) in middle.chunks_exact_mut(row).zip(x.chunks_exact(width)) {
            to[..left].fill(0.0);
            to[left..left + width].copy_from_slice(from);
            to[left + width..].fill(0.0);
        }
    }
}

/// Calls `f` with `len` floats of unspecified contents that belong to this thread until it returns. `f` may call it
/// again: every depth of nesting has a buffer of its own, which grows to the largest length asked for.
pub(crate) fn with_scratch<R>(len: usize, f: impl FnOnce(&mut [f32]) -> R) -> R {
    thread_local!(static IDLE: RefCell<Vec<Floats>> = const { RefCell::new(Vec::new()) });
    let mut buffer = IDLE.with_borrow_mut(Vec::pop).unwrap_or_default();
    if buffer.len() < len {
        buffer = Floats::take(len);
    }
    let result = f(&mut buffer[..len]);
    IDLE.with_borrow_mut(|idle| idle.push(buffer));
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_stands_in_the_middle_of_zeros() {
        let padding = Padding { h: 1, w: 2, c: 1, before: 1, after: [0, 1] };
        let mut padded = [9.0; 8];
        padding.copy(&[5.0, 6.0], &mut padded);
        assert_eq!(padded, [0.0, 0.0, 0.0, 0.0, 0.0, 5.0, 6.0, 0.0]);
    }
}
