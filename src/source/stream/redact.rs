//! Taking secrets out of what a command says.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use zeroize::Zeroizing;

/// Shorter values are left: removing every `1` or `on` would only garble the text.
const SECRET_BYTES_MIN: usize = 4;

/// What stands in a secret's place.
const MARK: &[u8] = b"***";

/// The values that must not be shown.
pub(super) struct Secrets(Vec<Zeroizing<Vec<u8>>>);

impl Secrets {
    /// All values given by environment, the passwords of URLs among the arguments and what follows
    /// the `=` of an argument that names a password, token, secret or key.
    pub(super) fn new(arguments: &[OsString], environment: &[(OsString, OsString)]) -> Self {
        let values = environment.iter().map(|(_, value)| value.as_bytes());
        let passwords = arguments
            .iter()
            .flat_map(|argument| {
                let argument = argument.as_bytes();
                [url_password(argument), assigned_secret(argument)]
            })
            .flatten();
        let mut secrets: Vec<_> = values
            .chain(passwords)
            .filter(|secret| secret.len() >= SECRET_BYTES_MIN)
            .map(|secret| Zeroizing::new(secret.to_vec()))
            .collect();
        // The longest first: one secret may contain another.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self(secrets)
    }

    /// The text without secrets.
    pub(super) fn redact(&self, text: &[u8]) -> String {
        let mut shown = Vec::with_capacity(text.len());
        let mut rest = text;
        while let Some((first, after)) = rest.split_first() {
            match self.0.iter().find(|secret| rest.starts_with(secret)) {
                Some(secret) => {
                    shown.extend_from_slice(MARK);
                    rest = &rest[secret.len()..];
                }
                None => {
                    shown.push(*first);
                    rest = after;
                }
            }
        }
        String::from_utf8_lossy(&shown).into_owned()
    }
}

/// `p` of `scheme://user:p@host`.
fn url_password(argument: &[u8]) -> Option<&[u8]> {
    let start = argument.windows(3).position(|window| window == b"://")? + 3;
    let rest = &argument[start..];
    let authority_end = rest
        .iter()
        .position(|byte| *byte == b'/')
        .unwrap_or(rest.len());
    let authority = &rest[..authority_end];
    let at = authority.iter().rposition(|byte| *byte == b'@')?;
    let colon = authority[..at].iter().position(|byte| *byte == b':')?;
    Some(&authority[colon + 1..at])
}

fn assigned_secret(argument: &[u8]) -> Option<&[u8]> {
    let equals = argument.iter().position(|byte| *byte == b'=')?;
    let name = argument[..equals].to_ascii_lowercase();
    let is_secret = [&b"pass"[..], b"token", b"secret", b"key", b"pwd"]
        .iter()
        .any(|word| name.windows(word.len()).any(|window| window == *word));
    is_secret.then(|| &argument[equals + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_passwords_and_assignments_are_hidden() {
        let arguments = [
            "postgres://u:s3cr3t@h/db",
            "--password=hunter2",
            "--table=users",
        ]
        .map(OsString::from);
        let environment = [
            ("PGPASSWORD".into(), "hunter2hunter2".into()),
            ("N".into(), "1".into()),
        ];
        let secrets = Secrets::new(&arguments, &environment);
        let shown = secrets.redact(b"u:s3cr3t hunter2 hunter2hunter2 users 1");
        assert_eq!(shown, "u:*** *** *** users 1");
    }
}
