//! The arena: buffers of dropped tensors, kept for the next tensor of the same length.
//!
//! A training step asks for the same lengths in every step, so after the first one every request is
//! served from here and nothing is allocated. Recycled buffers hold stale numbers; only
//! [`Tensor::scratch`](crate::Tensor::scratch) hands them out as they are.
//!
//! Plain: the allocator. What a recycled buffer holds must not matter, and no test that compares two runs would pass if
//! it did.
//!
//! Buffers begin at a cache line: a vector of 16 floats that crosses two lines costs two accesses, and the
//! allocator puts large blocks 16 bytes behind one.

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::sync::{LazyLock, Mutex};

use bytemuck::{Pod, Zeroable};

/// Floats of a cache line.
const LINE: usize = 16;

/// Buffers shorter than this many lines go back to the allocator, which is as fast for them.
const SMALLEST_KEPT: usize = 64;

/// One cache line.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([f32; LINE]);

static FREE: LazyLock<Mutex<HashMap<usize, Vec<Vec<Line>>>>> = LazyLock::new(Mutex::default);

/// `len` floats that begin at a cache line; returns to the arena when dropped.
#[derive(Default)]
pub(crate) struct Floats {
    lines: Vec<Line>,
    len: usize,
}

impl Floats {
    /// A buffer of `len` numbers: recycled with stale contents where there is one, else new and zero.
    pub(crate) fn take(len: usize) -> Self {
        let count = len.div_ceil(LINE);
        let recycled = (count >= SMALLEST_KEPT)
            .then(|| FREE.lock().expect("no panic while the arena is locked").get_mut(&count)?.pop())
            .flatten();
        Self { lines: recycled.unwrap_or_else(|| vec![Line::zeroed(); count]), len }
    }
}

impl Deref for Floats {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &bytemuck::cast_slice(&self.lines)[..self.len]
    }
}

impl DerefMut for Floats {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..self.len]
    }
}

impl Drop for Floats {
    fn drop(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        if lines.len() >= SMALLEST_KEPT {
            let mut free = FREE.lock().expect("no panic while the arena is locked");
            free.entry(lines.len()).or_default().push(lines);
        }
    }
}

/// Returns every kept buffer to the allocator (between phases that use different batch sizes).
pub fn clear() {
    FREE.lock().expect("no panic while the arena is locked").clear();
}

/// Bytes kept for reuse at the moment.
pub fn kept_bytes() -> usize {
    let free = FREE.lock().expect("no panic while the arena is locked");
    free.iter().map(|(lines, buffers)| lines * buffers.len() * size_of::<Line>()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_begin_at_a_cache_line_and_have_their_length() {
        for len in [0, 1, 17, 5000] {
            let buffer = Floats::take(len);
            assert_eq!((buffer.len(), buffer.as_ptr() as usize % 64), (len, 0));
        }
    }

    #[test]
    fn a_dropped_buffer_comes_back() {
        let mut buffer = Floats::take(77_775);
        buffer.fill(3.0);
        drop(buffer);
        // Another length of as many lines; no other test uses it.
        assert_eq!(Floats::take(77_770)[..], [3.0; 77_770]);
    }
}
