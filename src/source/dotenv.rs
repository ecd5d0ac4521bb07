//! `.env` files: `NAME=VALUE` lines, read and written. Values are never shown.
//!
//! Reading: an optional `export `, white space around the name and the `=`, then
//! - an unquoted value up to the end of the line or a `#` after white space; no escapes;
//! - `'...'`: taken as it is, line breaks included;
//! - `"..."`: `\n`, `\r`, `\t`, `\\`, `\"`, `\$` and `` \` `` are unescaped, any other backslash
//!   stays, line breaks are kept.
//!
//! Nothing is expanded: `$HOME` is five characters. Writing uses the simplest form that both this
//! reader and a POSIX shell (except for `\n`, `\r` in double quotes) read back as the same bytes.

use std::fmt;
use zeroize::Zeroizing;

/// Longest name, bytes.
const NAME_BYTES_MAX: usize = 512;

/// One variable. Its value is not shown by `Debug` and erased when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Variable {
    /// Letters, digits, `_`, `.` and `-`, not starting with a digit.
    pub name: String,
    /// Any bytes but NUL.
    pub value: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=<{} bytes>", self.name, self.value.len())
    }
}

/// What is wrong with a `.env` text. Never contains a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DotenvError {
    /// A line without a name and `=`.
    #[error("cannot read line {line} of the .env text: it is not NAME=VALUE")]
    NoAssignment {
        /// Counted from 1.
        line: usize,
    },
    /// A quote that never ends.
    #[error("cannot read {name} in line {line} of the .env text: its quote does not end")]
    OpenQuote {
        /// Counted from 1.
        line: usize,
        /// Whose value it is.
        name: String,
    },
    /// Something other than a comment after a closing quote.
    #[error("cannot read {name} in line {line} of the .env text: something follows its quote")]
    AfterQuote {
        /// Counted from 1.
        line: usize,
        /// Whose value it is.
        name: String,
    },
    /// A value no environment variable can have.
    #[error("cannot use {name} in line {line} of the .env text: it contains a NUL byte")]
    Nul {
        /// Counted from 1.
        line: usize,
        /// Whose value it is.
        name: String,
    },
}

/// Whether a variable can have this name here.
pub fn is_name(name: &str) -> bool {
    let is_first = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
    name.len() <= NAME_BYTES_MAX
        && name.as_bytes().first().is_some_and(is_first)
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

/// Reads all variables, in order; a name may come more than once, and the last one counts.
pub fn parse(text: &[u8]) -> Result<Vec<Variable>, DotenvError> {
    let mut reader = Reader {
        rest: text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text),
        line: 1,
    };
    let mut variables = Vec::new();
    while reader.skip_to_assignment() {
        let line = reader.line;
        let name = reader.name()?;
        let value = reader.value(&name)?;
        if value.contains(&0) {
            return Err(DotenvError::Nul { line, name });
        }
        variables.push(Variable { name, value });
    }
    Ok(variables)
}

struct Reader<'t> {
    rest: &'t [u8],
    line: usize,
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r')
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    fn take(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        self.line += usize::from(*first == b'\n');
        Some(*first)
    }

    fn skip_blanks(&mut self) {
        while self.peek().is_some_and(is_blank) {
            self.take();
        }
    }

    fn skip_line(&mut self) {
        while self.take().is_some_and(|byte| byte != b'\n') {}
    }

    /// Passes over empty lines and comments; whether anything follows.
    fn skip_to_assignment(&mut self) -> bool {
        loop {
            self.skip_blanks();
            match self.peek() {
                None => return false,
                Some(b'#' | b'\n') => self.skip_line(),
                Some(_) => return true,
            }
        }
    }

    /// The name and everything up to the value.
    fn name(&mut self) -> Result<String, DotenvError> {
        let failure = DotenvError::NoAssignment { line: self.line };
        let end = self
            .rest
            .iter()
            .position(|byte| matches!(byte, b'=' | b'\n'))
            .filter(|end| self.rest[*end] == b'=')
            .ok_or_else(|| failure.clone())?;
        let text = std::str::from_utf8(&self.rest[..end]).map_err(|_| failure.clone())?;
        let text = text.trim();
        let name = match text.strip_prefix("export") {
            Some(rest) if rest.starts_with([' ', '\t']) => rest.trim_start(),
            _ => text,
        };
        if !is_name(name) {
            return Err(failure);
        }
        let name = name.to_owned();
        self.rest = &self.rest[end + 1..];
        Ok(name)
    }

    fn value(&mut self, name: &str) -> Result<Zeroizing<Vec<u8>>, DotenvError> {
        self.skip_blanks();
        match self.peek() {
            Some(quote @ (b'"' | b'\'')) => {
                let line = self.line;
                self.take();
                let value = self.quoted(quote).ok_or_else(|| DotenvError::OpenQuote {
                    line,
                    name: name.to_owned(),
                })?;
                self.skip_blanks();
                if !matches!(self.peek(), None | Some(b'\n' | b'#')) {
                    return Err(DotenvError::AfterQuote {
                        line: self.line,
                        name: name.to_owned(),
                    });
                }
                self.skip_line();
                Ok(value)
            }
            _ => Ok(self.unquoted()),
        }
    }

    /// Up to the closing quote; `None` when there is none.
    fn quoted(&mut self, quote: u8) -> Option<Zeroizing<Vec<u8>>> {
        let mut value = Zeroizing::new(Vec::new());
        loop {
            match self.take()? {
                byte if byte == quote => return Some(value),
                b'\\' if quote == b'"' => match self.take()? {
                    b'n' => value.push(b'\n'),
                    b'r' => value.push(b'\r'),
                    b't' => value.push(b'\t'),
                    byte @ (b'\\' | b'"' | b'$' | b'`') => value.push(byte),
                    other => value.extend_from_slice(&[b'\\', other]),
                },
                byte => value.push(byte),
            }
        }
    }

    fn unquoted(&mut self) -> Zeroizing<Vec<u8>> {
        let mut value = Zeroizing::new(Vec::new());
        let mut after_blank = true;
        while let Some(byte) = self.peek() {
            if byte == b'\n' || (byte == b'#' && after_blank) {
                break;
            }
            after_blank = is_blank(byte);
            value.push(byte);
            self.take();
        }
        self.skip_line();
        while value.last().copied().is_some_and(is_blank) {
            value.pop();
        }
        value
    }
}

/// Writes variables, one a line, so that [`parse`] gives them back.
pub fn write(variables: &[Variable]) -> Zeroizing<Vec<u8>> {
    // Reserved at once: a growing buffer would leave copies of secrets behind.
    let length = variables
        .iter()
        .map(|variable| variable.name.len() + 2 * variable.value.len() + 4)
        .sum();
    let mut text = Zeroizing::new(Vec::with_capacity(length));
    for variable in variables {
        text.extend_from_slice(variable.name.as_bytes());
        text.push(b'=');
        write_value(&mut text, &variable.value);
        text.push(b'\n');
    }
    text
}

fn write_value(text: &mut Vec<u8>, value: &[u8]) {
    let is_plain = |byte: &u8| {
        byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'_' | b'-' | b'.' | b'/' | b':' | b'@' | b'%' | b'+' | b','
            )
    };
    if !value.is_empty() && value.iter().all(is_plain) {
        text.extend_from_slice(value);
    } else if value
        .iter()
        .all(|byte| !matches!(byte, b'\'' | b'\n' | b'\r'))
    {
        text.push(b'\'');
        text.extend_from_slice(value);
        text.push(b'\'');
    } else {
        text.push(b'"');
        for byte in value {
            match byte {
                b'\n' => text.extend_from_slice(b"\\n"),
                b'\r' => text.extend_from_slice(b"\\r"),
                b'\\' | b'"' | b'$' | b'`' => text.extend_from_slice(&[b'\\', *byte]),
                other => text.push(*other),
            }
        }
        text.push(b'"');
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use proptest::prelude::{Strategy, any, prop, proptest};

    fn read(text: &str) -> Vec<(String, String)> {
        parse(text.as_bytes())
            .unwrap()
            .into_iter()
            .map(|v| (v.name, String::from_utf8_lossy(&v.value).into_owned()))
            .collect()
    }

    #[test]
    fn what_people_write() {
        let text = "# comment\r\n\nA=1\r\nexport B = two words  # comment\nC=a#b\n\
                    D='x # $y\nz' # c\nE=\"q\\\"\\n\\$H\\w\"\nF=\nG=''\nexporter=1\nH = #all comment\nI=last";
        let expected = [
            ("A", "1"),
            ("B", "two words"),
            ("C", "a#b"),
            ("D", "x # $y\nz"),
            ("E", "q\"\n$H\\w"),
            ("F", ""),
            ("G", ""),
            ("exporter", "1"),
            ("H", ""),
            ("I", "last"),
        ];
        let expected: Vec<_> = expected.map(|(n, v)| (n.to_owned(), v.to_owned())).into();
        assert_eq!(read(text), expected);
    }

    #[test]
    fn errors_name_the_line_and_never_the_value() {
        let cases = [
            (
                "A=1\nhunter2\n",
                "cannot read line 2 of the .env text: it is not NAME=VALUE",
            ),
            (
                "1A=hunter2",
                "cannot read line 1 of the .env text: it is not NAME=VALUE",
            ),
            (
                "A='hunter2",
                "cannot read A in line 1 of the .env text: its quote does not end",
            ),
            (
                "A='x\ny' hunter2",
                "cannot read A in line 2 of the .env text: something follows its quote",
            ),
            (
                "A=hunter2\0",
                "cannot use A in line 1 of the .env text: it contains a NUL byte",
            ),
        ];
        for (text, message) in cases {
            assert_eq!(parse(text.as_bytes()).unwrap_err().to_string(), message);
        }
        let variable = &parse(b"A=hunter2").unwrap()[0];
        assert_eq!(format!("{variable:?}"), "A=<7 bytes>");
    }

    fn variable() -> impl Strategy<Value = Variable> {
        let value = prop::collection::vec(1u8..=255, 0..40);
        let telling = "[ #'\"$`\\\\\n\r\ta=]{0,12}".prop_map(String::into_bytes);
        let value = prop::strategy::Union::new([value.boxed(), telling.boxed()]);
        ("[A-Za-z_][A-Za-z0-9_.-]{0,8}", value).prop_map(|(name, value)| Variable {
            name,
            value: Zeroizing::new(value),
        })
    }

    proptest! {
        #[test]
        fn written_is_read_back(variables in prop::collection::vec(variable(), 0..6)) {
            assert_eq!(parse(&write(&variables)).unwrap(), variables);
        }

        #[test]
        fn any_bytes_are_safe(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }
    }
}
