//! The arena: buffers of dropped tensors, kept for the next tensor of the same length.
//!
//! A training step asks for the same lengths in every step, so after the first one every request is
//! served from here and nothing is allocated. Recycled buffers hold stale numbers; only
//! [`Tensor::scratch`](crate::Tensor::scratch) hands them out as they are.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};

/// Buffers shorter than this go back to the allocator, which is as fast for them.
const SMALLEST_KEPT: usize = 1024;

static FREE: LazyLock<Mutex<HashMap<usize, Vec<Vec<f32>>>>> = LazyLock::new(Mutex::default);

/// A buffer of `len` numbers: recycled with stale contents where there is one, else new and zero.
pub(crate) fn take(len: usize) -> Vec<f32> {
    if len >= SMALLEST_KEPT
        && let Some(buffer) =
            FREE.lock().expect("no panic while the arena is locked").get_mut(&len).and_then(Vec::pop)
    {
        return buffer;
    }
    vec![0.0; len]
}

/// Gives a buffer back.
pub(crate) fn give(buffer: Vec<f32>) {
    let len = buffer.len();
    if len >= SMALLEST_KEPT && buffer.capacity() == len {
        FREE.lock().expect("no panic while the arena is locked").entry(len).or_default().push(buffer);
    }
}

/// Returns every kept buffer to the allocator (between phases that use different batch sizes).
pub fn clear() {
    FREE.lock().expect("no panic while the arena is locked").clear();
}

/// Bytes kept for reuse at the moment.
pub fn kept_bytes() -> usize {
    let free = FREE.lock().expect("no panic while the arena is locked");
    free.iter().map(|(len, buffers)| len * buffers.len() * size_of::<f32>()).sum()
}
