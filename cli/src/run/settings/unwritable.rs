//! Arguments that settings, which are written as TOML, cannot hold: which one it is.

use crate::run::exit::Failure;

/// Refuses an argument that is no text: settings and results name files as text.
///
/// # Errors
/// If there is one; the message names it.
pub fn expect_text() -> anyhow::Result<()> {
    let Some(argument) = std::env::args_os().find(|argument| argument.to_str().is_none()) else {
        return Ok(());
    };
    let text = format!(
        "`{}` is not valid UTF-8: settings and results name files as text; rename the file or folder",
        argument.to_string_lossy()
    );
    Err(Failure::Usage(text).into())
}

/// The failure that names a number that is none of TOML's, which end at 2^63, if there is one.
pub(super) fn named() -> Option<anyhow::Error> {
    let number = |argument: &String| {
        let number = argument.split_once('=').map_or(argument.as_str(), |(_, number)| number);
        number.parse::<u64>().is_ok_and(|number| i64::try_from(number).is_err())
    };
    let argument = std::env::args().find(number)?;
    Some(
        Failure::Usage(format!("`{argument}` is too large: the settings of a run end at {}", i64::MAX))
            .into(),
    )
}
