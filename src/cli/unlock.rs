//! Where passphrases and keys come from. At most one source; the secret itself never appears on a
//! command line, in a message or in the log.

use crate::cli::arguments::global::UnlockArguments;
use crate::cli::error::{CommandError, CommandResult, ErrorKind};
use crate::cli::files::{refuse_existing, write_private};
use crate::cli::words;
use crate::crypto::SecretBytes;
use crate::env::Entropy;
use crate::format::slot::Unlock;
use crate::monitor::Monitor;
use std::ffi::OsString;
use std::fs::File;
use std::io::{IsTerminal, Read};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use zeroize::Zeroizing;

/// Longest passphrase or key text, bytes.
const SECRET_BYTES_MAX: usize = 64 << 10;

/// How a key file's one line begins.
const KEY_PREFIX: &[u8] = b"icecore-key-1:";

/// Bytes of a key.
const KEY_BYTES: usize = 32;

/// A shorter passphrase is worth a remark.
const PASSPHRASE_SHORT: usize = 12;

/// Secret-bearing variables, which programs started from here do not inherit.
const SECRET_VARIABLES: [&str; 4] = [
    "ICECORE_PASSPHRASE",
    "ICECORE_NEW_PASSPHRASE",
    "ICECORE_FROM_PASSPHRASE",
    "ICECORE_TO_PASSPHRASE",
];

/// What was given, in any form.
#[derive(Default)]
pub struct Given {
    /// The passphrase itself, from the environment.
    pub variable: Option<(&'static str, OsString)>,
    /// A file with a passphrase.
    pub passphrase_file: Option<PathBuf>,
    /// A command that prints one.
    pub passphrase_command: Option<String>,
    /// A descriptor to read one from.
    pub descriptor: Option<u32>,
    /// A key file.
    pub key_file: Option<PathBuf>,
    /// The value of a variable that the configuration names.
    pub value: Option<Zeroizing<Vec<u8>>>,
    /// A command of the configuration that prints it.
    pub words: Option<Vec<String>>,
    /// What that command finds in its environment besides.
    pub variables: Vec<(OsString, OsString)>,
}

/// What is asked on a terminal when nothing was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prompt {
    /// The passphrase, once.
    Existing,
    /// The passphrase of one more repository, which is named.
    Other(&'static str),
    /// A new passphrase, twice.
    New,
}

/// A terminal prompt's guard: while it lives, Ctrl-C ends the program at once.
pub type PromptGuard<'a> = &'a dyn Fn(bool);

impl Given {
    /// From the options and `ICECORE_PASSPHRASE`.
    pub fn to_open(arguments: &UnlockArguments) -> Self {
        Self {
            variable: variable("ICECORE_PASSPHRASE"),
            passphrase_file: arguments.passphrase_file.clone(),
            passphrase_command: arguments.passphrase_command.clone(),
            descriptor: arguments.passphrase_fd,
            key_file: arguments.key_file.clone(),
            ..Self::default()
        }
    }

    /// The names of what was given.
    fn names(&self) -> Vec<&'static str> {
        let names = [
            self.variable.as_ref().map(|(name, _)| *name),
            self.passphrase_file.as_ref().map(|_| "a passphrase file"),
            self.passphrase_command
                .as_ref()
                .map(|_| "a passphrase command"),
            self.descriptor.map(|_| "a passphrase descriptor"),
            self.key_file.as_ref().map(|_| "a key file"),
            self.value.as_ref().map(|_| "a variable"),
            self.words.as_ref().map(|_| "a command"),
        ];
        names.into_iter().flatten().collect()
    }

    /// Whether anything was given.
    pub fn is_empty(&self) -> bool {
        self.names().is_empty()
    }

    /// Reads the secret. `repository` is the directory a key file must not lie in.
    pub fn read(
        self,
        prompt: Prompt,
        repository: Option<&Path>,
        monitor: &dyn Monitor,
        guard: PromptGuard<'_>,
    ) -> CommandResult<Unlock> {
        let names = self.names();
        if names.len() > 1 {
            return Err(CommandError::usage(format!(
                "more than one way to unlock was given: {}",
                names.join(", ")
            ))
            .hint("options and variables count alike: leave all but one out"));
        }
        if let Some(path) = &self.key_file {
            return read_key_file(path, repository);
        }
        let secret = match self.text(repository, monitor)? {
            Some(secret) => secret,
            None => ask(prompt, guard)?,
        };
        from_text(&secret, prompt, monitor)
    }

    /// The secret as it was written, whatever it is for; `None` if nothing says where it is.
    pub fn text(
        self,
        repository: Option<&Path>,
        monitor: &dyn Monitor,
    ) -> CommandResult<Option<Zeroizing<Vec<u8>>>> {
        Ok(Some(if let Some((_, value)) = self.variable {
            Zeroizing::new(value.into_vec())
        } else if let Some(value) = self.value {
            value
        } else if let Some(path) = &self.passphrase_file {
            refuse_inside(path, repository)?;
            read_passphrase_file(path, monitor)?
        } else if let Some(command) = &self.passphrase_command {
            let words = words::split(command).map_err(|error| {
                CommandError::usage(format!("cannot use the passphrase command: {error}"))
            })?;
            run_command(&words, &[])?
        } else if let Some(words) = &self.words {
            run_command(words, &self.variables)?
        } else if let Some(descriptor) = self.descriptor {
            read_descriptor(descriptor)?
        } else {
            return Ok(None);
        }))
    }
}

/// A variable that is set and not empty.
pub fn variable(name: &'static str) -> Option<(&'static str, OsString)> {
    let value = std::env::var_os(name)?;
    (!value.is_empty()).then_some((name, value))
}

/// A passphrase, or a key where the text is one.
fn from_text(text: &[u8], prompt: Prompt, monitor: &dyn Monitor) -> CommandResult<Unlock> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    if text.starts_with(KEY_PREFIX) {
        return Ok(Unlock::Key(parse_key(text)?));
    }
    if text.is_empty() {
        return Err(CommandError::new(ErrorKind::Key, "the passphrase is empty")
            .hint("an empty secret is what a mistyped variable or path looks like"));
    }
    if prompt == Prompt::New && text.len() < PASSPHRASE_SHORT {
        monitor.warn(&format!(
            "the passphrase has only {} bytes: whoever copies the repository can try guesses",
            text.len()
        ));
    }
    Ok(Unlock::Passphrase(SecretBytes::new(text.to_vec())))
}

fn parse_key(text: &[u8]) -> CommandResult<SecretBytes> {
    let bad = || {
        CommandError::new(ErrorKind::Key, "this is not an icecore key")
            .hint("a key is one line, icecore-key-1: and 64 hexadecimal digits")
    };
    let digits = text.strip_prefix(KEY_PREFIX).ok_or_else(bad)?;
    let digits = digits.trim_ascii();
    if digits.len() != 2 * KEY_BYTES {
        return Err(bad());
    }
    let mut key = Vec::with_capacity(KEY_BYTES);
    for pair in digits.chunks_exact(2) {
        let digit = |byte: u8| char::from(byte).to_digit(16).ok_or_else(bad);
        let value = digit(pair[0])? << 4 | digit(pair[1])?;
        key.push(u8::try_from(value).map_err(|_| bad())?);
    }
    Ok(SecretBytes::new(key))
}

fn read_bounded(reader: impl Read, what: &str) -> CommandResult<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(SECRET_BYTES_MAX + 1));
    let limit = SECRET_BYTES_MAX as u64 + 1;
    let read = reader.take(limit).read_to_end(&mut bytes);
    match read {
        Ok(length) if length <= SECRET_BYTES_MAX => Ok(bytes),
        Ok(_) => Err(CommandError::new(
            ErrorKind::Key,
            format!("{what} is longer than {SECRET_BYTES_MAX} bytes"),
        )),
        Err(error) => Err(CommandError::new(
            ErrorKind::Key,
            format!("cannot read {what}: {error}"),
        )),
    }
}

fn open_secret(path: &Path, what: &str) -> CommandResult<File> {
    File::open(path).map_err(|error| {
        CommandError::new(
            ErrorKind::Key,
            format!("cannot open the {what} {}: {error}", path.display()),
        )
    })
}

/// Whether others than the owner may read it. A container's secrets are mounted by who runs it.
pub fn is_exposed(file: &File, path: &Path) -> bool {
    let by_orchestrator = path.starts_with("/run/secrets") || path.starts_with("/var/run/secrets");
    let mode = file.metadata().map_or(0, |metadata| {
        if metadata.is_file() {
            metadata.mode()
        } else {
            0
        }
    });
    !by_orchestrator && mode & 0o077 != 0
}

fn read_passphrase_file(path: &Path, monitor: &dyn Monitor) -> CommandResult<Zeroizing<Vec<u8>>> {
    let file = open_secret(path, "passphrase file")?;
    if is_exposed(&file, path) {
        monitor.warn(&format!(
            "others may read the passphrase file {0}: chmod 600 {0}",
            path.display()
        ));
    }
    read_bounded(file, "the passphrase file")
}

fn read_key_file(path: &Path, repository: Option<&Path>) -> CommandResult<Unlock> {
    refuse_inside(path, repository)?;
    let file = open_secret(path, "key file")?;
    if is_exposed(&file, path) {
        return Err(CommandError::new(
            ErrorKind::Key,
            format!("others may read the key file {}", path.display()),
        )
        .hint(format!("chmod 600 {}", path.display())));
    }
    let text = read_bounded(file, "the key file")?;
    Ok(Unlock::Key(parse_key(&text)?))
}

/// A key beside what it locks is no lock.
pub fn refuse_inside(path: &Path, repository: Option<&Path>) -> CommandResult<()> {
    let (Some(repository), Ok(real)) = (repository, resolved(path)) else {
        return Ok(());
    };
    let Ok(repository) = repository.canonicalize() else {
        return Ok(());
    };
    if real.starts_with(&repository) {
        return Err(CommandError::usage(format!(
            "{} lies inside the repository it opens",
            path.display()
        ))
        .hint("keep the key elsewhere: whoever gets the repository must not get its key"));
    }
    Ok(())
}

/// Where a file with or about a key may not be written: beside what it opens, or over another file.
pub fn refuse_unfit(path: &Path, repository: Option<&Path>) -> CommandResult<()> {
    refuse_inside(path, repository)?;
    refuse_existing(path)
}

/// The canonical path, of the directory if the file is not there yet.
fn resolved(path: &Path) -> std::io::Result<PathBuf> {
    path.canonicalize().or_else(|_| {
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        Ok(parent
            .canonicalize()?
            .join(path.file_name().unwrap_or_default()))
    })
}

fn run_command(
    words: &[String],
    variables: &[(OsString, OsString)],
) -> CommandResult<Zeroizing<Vec<u8>>> {
    let (program, arguments) = words
        .split_first()
        .ok_or_else(|| CommandError::usage("the passphrase command is empty"))?;
    let failed = |problem: String| {
        CommandError::new(
            ErrorKind::Key,
            format!("the passphrase command {program} {problem}"),
        )
        .hint("run it by hand: it has to print the passphrase and end with status 0")
    };
    let mut process = Command::new(program);
    let variables = variables.iter().map(|(name, value)| (name, value));
    process.args(arguments).envs(variables).stdin(Stdio::null());
    for name in SECRET_VARIABLES {
        process.env_remove(name);
    }
    let mut child = process
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failed(format!("cannot be started: {error}")))?;
    let output = child.stdout.take();
    let text = output.map(|output| read_bounded(output, "the passphrase command's output"));
    let status = child
        .wait()
        .map_err(|error| failed(format!("was lost: {error}")))?;
    match (status.success(), text) {
        (true, Some(text)) => text,
        _ => Err(failed(format!("failed with {status}"))),
    }
}

fn read_descriptor(descriptor: u32) -> CommandResult<Zeroizing<Vec<u8>>> {
    if descriptor == 0 {
        return read_bounded(std::io::stdin().lock(), "standard input");
    }
    // Opened by name: taking over a number that somebody else owns is not safe.
    let path = PathBuf::from(format!("/proc/self/fd/{descriptor}"));
    let file = File::open(&path).map_err(|error| {
        CommandError::new(
            ErrorKind::Key,
            format!("cannot read file descriptor {descriptor}: {error}"),
        )
        .hint("pass it open, such as: icecore … --passphrase-fd 3 3< FILE")
    })?;
    read_bounded(file, "the file descriptor")
}

fn ask(prompt: Prompt, guard: PromptGuard<'_>) -> CommandResult<Zeroizing<Vec<u8>>> {
    if !std::io::stdin().is_terminal() {
        return Err(CommandError::new(ErrorKind::Key, "no passphrase or key was given")
            .hint("give --passphrase-file, --passphrase-command or --key-file, or set one of their variables"));
    }
    let read = |text: &str| {
        guard(true);
        let answer = rpassword::prompt_password(text);
        guard(false);
        answer
            .map(Zeroizing::new)
            .map_err(|error| CommandError::new(ErrorKind::Key, format!("cannot ask: {error}")))
    };
    let first = read(&match prompt {
        Prompt::Existing => "passphrase: ".to_owned(),
        Prompt::Other(which) => format!("passphrase of {which}: "),
        Prompt::New => "new passphrase: ".to_owned(),
    })?;
    if prompt == Prompt::New && *read("again: ")? != *first {
        return Err(CommandError::new(
            ErrorKind::Key,
            "the two passphrases differ",
        ));
    }
    Ok(Zeroizing::new(first.as_bytes().to_vec()))
}

/// Writes a new key file: one line, for the owner only, never over an existing file.
pub fn generate_key_file(path: &Path, entropy: &dyn Entropy) -> CommandResult<()> {
    let key = Zeroizing::new(entropy.array::<KEY_BYTES>()?);
    let mut line = Zeroizing::new(KEY_PREFIX.to_vec());
    for byte in key.iter() {
        line.extend_from_slice(format!("{byte:02x}").as_bytes());
    }
    line.push(b'\n');
    write_private(path, &line)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::monitor::Silent;

    #[test]
    fn text_is_a_passphrase_or_a_key() {
        let read = |text: &[u8]| from_text(text, Prompt::Existing, &Silent);
        let exposed = |text: &[u8]| match read(text).unwrap() {
            Unlock::Passphrase(secret) => secret.expose().to_vec(),
            Unlock::Key(secret) => [b"key ", secret.expose()].concat(),
        };
        assert_eq!(exposed(b"horse\n"), b"horse");
        assert_eq!(exposed(b"horse\r\n"), b"horse");
        assert_eq!(exposed(b" horse\n\n"), b" horse\n");
        let key = [KEY_PREFIX, "0a".repeat(32).as_bytes(), b"\n"].concat();
        assert_eq!(exposed(&key), [&b"key "[..], &[10; 32]].concat());
        assert!(read(b"\n").is_err());
        assert!(read(b"icecore-key-1:0a").is_err());
        let not_hex = [KEY_PREFIX, "0g".repeat(32).as_bytes()].concat();
        assert!(read(&not_hex).is_err());
    }
}
