//! Ctrl-C, and SIGTERM like it: the program says what it has saved and exits with 130.
//!
//! While a network trains, the step is finished and the state saved first ([`handle`], [`requested`], [`stopped`]); a
//! second Ctrl-C ends the program at once. Everywhere else what is finished has been written already, and the program
//! ends at once with the sentence that [`at_once`] was given.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, Once};

use crate::run::context::to_stderr;
use crate::run::exit::Failure;

static ASKED: AtomicBool = AtomicBool::new(false);
static HANDLER: Once = Once::new();
/// What to say before ending at once; `None` while the verb polls.
static SENTENCE: Mutex<Option<String>> = Mutex::new(None);

/// From here on the verb polls [`requested`].
pub fn handle() {
    set_sentence(None);
    install();
}

/// From here on Ctrl-C ends the program at once with `sentence`: what is saved, and how to go on.
pub fn at_once(sentence: impl Into<String>) {
    set_sentence(Some(sentence.into()));
    install();
}

fn set_sentence(sentence: Option<String>) {
    *SENTENCE.lock().expect("nobody panics while holding it") = sentence;
}

fn install() {
    HANDLER.call_once(|| {
        let set = ctrlc::set_handler(|| {
            let sentence = SENTENCE.lock().ok().and_then(|sentence| sentence.clone());
            if let Some(sentence) = sentence {
                to_stderr(format_args!("interrupted: {sentence}"));
                std::process::exit(130);
            }
            if ASKED.swap(true, Ordering::SeqCst) {
                std::process::exit(130);
            }
            to_stderr("finishing the step and saving; once more to stop at once");
        });
        if let Err(e) = set {
            to_stderr(format_args!("Ctrl-C will not save: {e}"));
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
