//! Arguments that settings, which are written as TOML, cannot hold: which one it is.

use crate::run::exit::Failure;

/// The failure that names the argument, if there is one.
pub(super) fn named() -> Option<anyhow::Error> {
    not_text().or_else(too_large)
}

/// Of an argument that is no text: settings are kept as text.
fn not_text() -> Option<anyhow::Error> {
    let argument = std::env::args_os().find(|argument| argument.to_str().is_none())?;
    let text = format!(
        "`{}` is not valid UTF-8: the settings of a run are kept as text; rename the file or folder",
        argument.to_string_lossy()
    );
    Some(Failure::Usage(text).into())
}

/// Of a number that is none of TOML's, which end at 2^63.
fn too_large() -> Option<anyhow::Error> {
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
