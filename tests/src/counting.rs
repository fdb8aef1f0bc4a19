//! The system's allocator, counting. A test binary that wants to know what a call takes makes it the global one:
//! `#[global_allocator] static COUNTING: Counting = Counting;`. The counters are the process's, so such a binary measures
//! in one test.
#![allow(unsafe_code)] // an allocator is an unsafe trait to implement

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The system's allocator, counting.
pub struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
static LARGEST: AtomicUsize = AtomicUsize::new(0);
static CALLS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator as it came; counters change nothing about it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(live, Relaxed);
        LARGEST.fetch_max(layout.size(), Relaxed);
        CALLS.fetch_add(1, Relaxed);
        // SAFETY: the caller's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's contract.
        unsafe { System.dealloc(p, layout) }
    }
}

/// What was allocated while [`measure`] ran.
#[derive(Clone, Copy, Debug)]
pub struct Allocated {
    /// Bytes above those that lived before, at the highest.
    pub peak: usize,
    /// Bytes of the largest allocation.
    pub largest: usize,
    /// Number of allocations.
    pub calls: usize,
}

/// Runs `f` and says what it allocated.
pub fn measure<T>(f: impl FnOnce() -> T) -> (T, Allocated) {
    let (before, calls) = (LIVE.load(Relaxed), CALLS.load(Relaxed));
    PEAK.store(before, Relaxed);
    LARGEST.store(0, Relaxed);
    let result = f();
    let peak = PEAK.load(Relaxed).saturating_sub(before);
    (result, Allocated { peak, largest: LARGEST.load(Relaxed), calls: CALLS.load(Relaxed) - calls })
}
