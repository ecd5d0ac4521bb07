//! Commands given as one text, taken apart without a shell.

/// A text that is not a plain command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WordsError {
    /// Nothing is in it.
    #[error("the command is empty")]
    Empty,
    /// A quote is not closed, or a backslash ends the text.
    #[error("the command's quoting does not end")]
    Open,
    /// Something that only a shell understands.
    #[error(
        "the command has {0:?} in it, which only a shell understands, and there is none; \
         quote it, or write a script"
    )]
    Shell(char),
}

/// Splits a command at spaces. Single quotes keep everything, double quotes everything but `\"` and
/// `\\`, a backslash outside of quotes the next character.
pub fn split(text: &str) -> Result<Vec<String>, WordsError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            ' ' | '\t' | '\n' => words.extend(word.take()),
            '\'' => loop {
                match characters.next().ok_or(WordsError::Open)? {
                    '\'' => {
                        word.get_or_insert_default();
                        break;
                    }
                    other => word.get_or_insert_default().push(other),
                }
            },
            '"' => quoted(&mut characters, word.get_or_insert_default())?,
            '\\' => {
                let next = characters.next().ok_or(WordsError::Open)?;
                word.get_or_insert_default().push(next);
            }
            '|' | '&' | ';' | '<' | '>' | '(' | ')' | '$' | '`' | '*' | '?' | '#' => {
                return Err(WordsError::Shell(character));
            }
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    match words.first().is_none_or(String::is_empty) {
        true => Err(WordsError::Empty),
        false => Ok(words),
    }
}

fn quoted(characters: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), WordsError> {
    loop {
        match characters.next().ok_or(WordsError::Open)? {
            '"' => return Ok(()),
            '\\' => match characters.next().ok_or(WordsError::Open)? {
                escaped @ ('"' | '\\') => word.push(escaped),
                other => word.extend(['\\', other]),
            },
            character @ ('$' | '`') => return Err(WordsError::Shell(character)),
            other => word.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_and_quoted_words() {
        let table: [(&str, &[&str]); 5] = [
            (
                "vault read  -field=p secret/x",
                &["vault", "read", "-field=p", "secret/x"],
            ),
            ("cat '/a b/$c'", &["cat", "/a b/$c"]),
            (r#"x "a \"b\" \n" ''"#, &["x", r#"a "b" \n"#, ""]),
            (r"a\ b c", &["a b", "c"]),
            ("a'b'\"c\"", &["abc"]),
        ];
        for (text, words) in table {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(split(text), Ok(words), "{text}");
        }
    }

    #[test]
    fn what_needs_a_shell_is_refused() {
        for text in [
            "a | b", "a && b", "a $HOME", "a `b`", "a > b", "a \"$b\"", "a *",
        ] {
            assert!(matches!(split(text), Err(WordsError::Shell(_))), "{text}");
        }
        assert_eq!(split("a 'b"), Err(WordsError::Open));
        assert_eq!(split("a \\"), Err(WordsError::Open));
        assert_eq!(split("  "), Err(WordsError::Empty));
        assert_eq!(split("''"), Err(WordsError::Empty));
    }
}
