//! One sentence from an error and its causes.

use std::error::Error;

/// Joins an error and its causes with colons. An error's text never repeats its cause, so the
/// chain reads as one sentence; a cause that says nothing new is left out.
pub fn explain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let part = error.to_string();
        if !text.ends_with(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
        cause = error.source();
    }
    text
}
