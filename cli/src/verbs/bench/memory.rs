//! Whether a measurement's numbers fit into memory, asked before the first of them is allocated: the system would
//! otherwise end this program, or another one, when they are written.

use std::fs;

use anyhow::Result;

use crate::run::exit::Failure;

/// Taken for the memory of a system that does not tell.
const UNKNOWN: u128 = 8 << 30;

/// Refuses to allocate more than is free.
///
/// # Errors
/// If `needed` bytes are not there; `what` needs them.
pub fn check(what: &str, needed: u128) -> Result<()> {
    let available = available().unwrap_or(UNKNOWN);
    if needed <= available {
        return Ok(());
    }
    let gib = |bytes: u128| bytes as f64 / (1u64 << 30) as f64;
    let text = format!("{what}: needs {:.1} GiB of memory, {:.1} are free", gib(needed), gib(available));
    Err(Failure::Usage(text).into())
}

/// Bytes that can be allocated without swapping (Linux), at most what a container may have.
fn available() -> Option<u128> {
    let of_system = meminfo(&fs::read_to_string("/proc/meminfo").ok()?)?;
    // Without a limit the file says `max`, or is not there.
    let of_container = fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let of_container = of_container.and_then(|text| text.trim().parse().ok());
    Some(of_system.min(of_container.unwrap_or(of_system)))
}

/// `MemAvailable`, which is in KiB.
fn meminfo(text: &str) -> Option<u128> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(1024 * line.trim().strip_suffix("kB")?.trim().parse::<u128>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn available_memory_is_read_in_bytes() {
        let text = "MemTotal:       16384000 kB\nMemAvailable:    1000 kB\n";
        assert_eq!(meminfo(text), Some(1_024_000));
        assert_eq!(meminfo("MemTotal: 1 kB\n"), None);
        assert!(available().is_none_or(|bytes| bytes > 1 << 20), "this test runs");
    }

    #[test]
    fn what_is_not_there_is_refused_with_its_size() {
        assert!(check("a byte", 1).is_ok());
        let message = check("--shape 1,1,1", 1 << 60).unwrap_err().to_string();
        assert!(message.contains("--shape 1,1,1: needs 1073741824.0 GiB of memory"), "{message}");
    }
}
