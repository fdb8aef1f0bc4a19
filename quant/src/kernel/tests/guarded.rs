//! Memory between two pages that must not be touched: a read one byte before or behind it ends the test.

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};

use super::case::Side;

/// No page is larger on the machines the suite runs on.
const PAGE: usize = 64 << 10;

/// `len` bytes beside a page that nobody may read.
pub(super) struct Guarded {
    /// The mapping: a page, the memory's pages, a page.
    base: *mut u8,
    pages: usize,
    offset: usize,
    len: usize,
}

impl Guarded {
    /// A copy of `bytes`.
    pub fn new(bytes: &[u8], side: Side) -> Self {
        let pages = bytes.len().div_ceil(PAGE).max(1) * PAGE;
        let (none, both) = (ProtFlags::empty(), MprotectFlags::READ | MprotectFlags::WRITE);
        let total = pages + 2 * PAGE;
        // SAFETY: a new mapping overlaps nothing; the pages that are made accessible lie inside it, and so does the copy.
        let base = unsafe {
            let base = mmap_anonymous(std::ptr::null_mut(), total, none, MapFlags::PRIVATE).expect("pages");
            mprotect(base.cast::<u8>().add(PAGE).cast(), pages, both).expect("pages of this process");
            base.cast::<u8>()
        };
        let offset = PAGE + if side == Side::Start { 0 } else { pages - bytes.len() };
        // SAFETY: as above; nobody else knows of the mapping yet.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), base.add(offset), bytes.len()) };
        Self { base, pages, offset, len: bytes.len() }
    }
}

impl std::ops::Deref for Guarded {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `len` accessible bytes of a mapping that lives as long as `self`.
        unsafe { std::slice::from_raw_parts(self.base.add(self.offset), self.len) }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: the whole mapping of `new`, of which no reference is left.
        unsafe { munmap(self.base.cast(), self.pages + 2 * PAGE).expect("a mapping of this process") };
    }
}

#[test]
#[cfg(target_os = "linux")]
fn the_pages_beside_it_are_closed() {
    let maps = || std::fs::read_to_string("/proc/self/maps").unwrap();
    let rights = |maps: &str, address: usize| -> String {
        let parse = |text: &str| usize::from_str_radix(text, 16).unwrap();
        let line = maps.lines().find(|line| {
            let (from, to) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
            (parse(from)..parse(to)).contains(&address)
        });
        line.map_or_else(String::new, |line| line.split_whitespace().nth(1).unwrap().to_owned())
    };
    for (side, outside) in [(Side::Start, -1isize), (Side::End, 3)] {
        let memory = Guarded::new(&[1, 2, 3], side);
        assert_eq!(memory[..], [1, 2, 3]);
        let (maps, address) = (maps(), memory.as_ptr() as usize);
        assert_eq!(rights(&maps, address), "rw-p", "{side:?}");
        assert_eq!(rights(&maps, address.wrapping_add_signed(outside)), "---p", "{side:?}");
    }
}
