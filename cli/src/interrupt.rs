//! Ctrl-C: a verb that can save finishes its step, saves and exits with 130; a second Ctrl-C ends it at once.

use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::exit::Failure;

static ASKED: AtomicBool = AtomicBool::new(false);
static HANDLER: Once = Once::new();

/// From here on the verb polls [`requested`]; before, Ctrl-C ends the process as usual.
pub fn handle() {
    HANDLER.call_once(|| {
        let set = ctrlc::set_handler(|| {
            if ASKED.swap(true, Ordering::SeqCst) {
                std::process::exit(130);
            }
            eprintln!("finishing the step and saving; once more to stop at once");
        });
        if let Err(e) = set {
            eprintln!("Ctrl-C will not save: {e}");
        }
    });
}

/// Whether Ctrl-C was pressed.
pub fn requested() -> bool {
    ASKED.load(Ordering::SeqCst)
}

/// The error to return once everything is saved; `resume` is the command that continues.
pub fn stopped(resume: &str) -> Failure {
    Failure::Interrupted(format!("everything is saved; continue with `{resume}`"))
}
