//! What is left out of a capture of files, and why.
//!
//! Rules are globs in order, a part of what `.gitignore` knows:
//!
//! | pattern | matches |
//! |---|---|
//! | `node_modules` | any file or directory of that name, at any depth (no slash: the name alone) |
//! | `*.pyc`, `[Tt]emp?`, `{a,b}` | the same with wildcards; `*` and `?` never match a slash |
//! | `app/logs/*.log` | a path inside the capture, from its root's name on, or from below a root |
//! | `logs/**/*.gz`, `cache/**` | `**` stands for any number of directories |
//! | `/srv/app/tmp` | an absolute path on the captured host |
//! | `build/` | directories only |
//! | `!keep.log` | takes back what earlier rules left out; the last rule that matches decides |
//! | `\!odd`, `\#odd`, `a\*b` | a backslash makes the next character ordinary |
//!
//! What is below an excluded directory is not looked at, so a `!` rule cannot bring it back. A root
//! is never excluded: it was asked for by name. A reason may be given to every rule; it is stored
//! with the exclusion.
//!
//! An exclude file has one rule a line. Blank lines and lines that start with `#` are passed over,
//! but `# reason: TEXT` gives its text to the rules that follow, until a blank line or the next
//! reason, and `GLOB  # TEXT` (white space on both sides of the `#`) gives it to that rule alone.

use globset::{Candidate, GlobBuilder, GlobSet, GlobSetBuilder};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Name of the file that marks a cache directory.
pub(crate) const CACHE_TAG_NAME: &[u8] = b"CACHEDIR.TAG";

/// How a cache directory's mark begins (<https://bford.info/cachedir/>).
pub(crate) const CACHE_TAG_SIGNATURE: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// Largest exclude file, bytes.
const EXCLUDE_FILE_BYTES_MAX: u64 = 4 << 20;

/// Most rules; each costs memory and time on every entry.
const RULES_MAX: usize = 10_000;

/// Why a set of rules was refused.
#[derive(Debug, thiserror::Error)]
pub enum ExcludeError {
    /// A pattern is no glob.
    #[error("cannot use {pattern:?} as an exclude pattern")]
    Pattern {
        /// As it was written.
        pattern: String,
        /// What is wrong with it.
        #[source]
        source: globset::Error,
    },
    /// A pattern matches nothing or everything by accident.
    #[error("cannot use {0:?} as an exclude pattern: nothing is left of it without its slashes")]
    Empty(String),
    /// A marker is not a plain file name.
    #[error("cannot look for {0:?} in directories: it is not a file name")]
    Marker(String),
    /// More rules than are allowed.
    #[error("cannot use more than {RULES_MAX} exclude patterns")]
    TooMany,
    /// An exclude file could not be read.
    #[error("cannot read exclude file {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// One rule, as reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExcludeRule {
    /// The pattern as it was written.
    pub pattern: String,
    /// Why it is there.
    pub reason: Option<String>,
    includes: bool,
    directories_only: bool,
}

/// What a rule's pattern is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
    Name,
    Path,
    Absolute,
}

/// Collects rules.
#[derive(Debug, Default)]
pub struct ExcludeRulesBuilder {
    rules: Vec<ExcludeRule>,
    globs: Vec<(Subject, globset::Glob)>,
    cache_directories: bool,
    markers: Vec<Vec<u8>>,
}

impl ExcludeRulesBuilder {
    /// Adds one rule after the others.
    pub fn rule(&mut self, pattern: &str, reason: Option<&str>) -> Result<(), ExcludeError> {
        if self.rules.len() >= RULES_MAX {
            return Err(ExcludeError::TooMany);
        }
        let (includes, body) = match pattern.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, pattern),
        };
        let directories_only = body.ends_with('/');
        let body = body.trim_end_matches('/');
        let body = body.strip_prefix("./").unwrap_or(body);
        if body.is_empty() {
            return Err(ExcludeError::Empty(pattern.to_owned()));
        }
        let subject = if body.starts_with('/') {
            Subject::Absolute
        } else if body.contains('/') {
            Subject::Path
        } else {
            Subject::Name
        };
        let glob = GlobBuilder::new(body)
            .literal_separator(true)
            .backslash_escape(true)
            .build()
            .map_err(|source| ExcludeError::Pattern {
                pattern: pattern.to_owned(),
                source,
            })?;
        self.globs.push((subject, glob));
        self.rules.push(ExcludeRule {
            pattern: pattern.to_owned(),
            reason: reason.map(str::to_owned),
            includes,
            directories_only,
        });
        Ok(())
    }

    /// Adds the rules of an exclude file's text (see the module's description).
    pub fn lines(&mut self, text: &str) -> Result<(), ExcludeError> {
        let mut reason: Option<&str> = None;
        for line in text.lines().map(str::trim) {
            if line.is_empty() {
                reason = None;
            } else if let Some(comment) = line.strip_prefix('#') {
                if let Some(given) = comment.trim_start().strip_prefix("reason:") {
                    reason = Some(given.trim());
                }
            } else {
                let (pattern, own) = split_reason(line);
                self.rule(pattern, own.or(reason))?;
            }
        }
        Ok(())
    }

    /// Adds the rules of an exclude file.
    pub fn file(&mut self, path: &Path) -> Result<(), ExcludeError> {
        let mut text = String::new();
        let fail = |source| ExcludeError::File {
            path: path.to_owned(),
            source,
        };
        let length = std::fs::File::open(path)
            .and_then(|file| {
                file.take(EXCLUDE_FILE_BYTES_MAX + 1)
                    .read_to_string(&mut text)
            })
            .map_err(fail)?;
        if length as u64 > EXCLUDE_FILE_BYTES_MAX {
            return Err(fail(std::io::Error::other("it is larger than 4 MiB")));
        }
        self.lines(&text)
    }

    /// Leaves out directories that hold a valid `CACHEDIR.TAG`, the tag included.
    pub fn cache_directories(&mut self) {
        self.cache_directories = true;
    }

    /// Leaves out directories that hold anything of this name.
    pub fn if_present(&mut self, name: &[u8]) -> Result<(), ExcludeError> {
        if name.is_empty()
            || name == b"."
            || name == b".."
            || name.contains(&b'/')
            || name.contains(&0)
        {
            return Err(ExcludeError::Marker(
                String::from_utf8_lossy(name).into_owned(),
            ));
        }
        self.markers.push(name.to_vec());
        Ok(())
    }

    /// Compiles the rules.
    pub fn build(self) -> Result<ExcludeRules, ExcludeError> {
        Ok(ExcludeRules {
            names: Matcher::new(&self.globs, Subject::Name)?,
            paths: Matcher::new(&self.globs, Subject::Path)?,
            absolutes: Matcher::new(&self.globs, Subject::Absolute)?,
            rules: self.rules,
            cache_directories: self.cache_directories,
            markers: self.markers,
        })
    }
}

/// Cuts `GLOB  # TEXT` apart.
fn split_reason(line: &str) -> (&str, Option<&str>) {
    let starts = line.match_indices('#').map(|(position, _)| position);
    for position in starts {
        let (before, after) = (&line[..position], &line[position + 1..]);
        let is_alone = before.ends_with(char::is_whitespace)
            && (after.is_empty() || after.starts_with(char::is_whitespace));
        if is_alone && !before.trim().is_empty() {
            let reason = after.trim();
            return (before.trim(), (!reason.is_empty()).then_some(reason));
        }
    }
    (line, None)
}

/// The globs with one subject, and which rules they belong to.
#[derive(Debug, Clone, Default)]
struct Matcher {
    set: GlobSet,
    rules: Vec<usize>,
}

impl Matcher {
    fn new(globs: &[(Subject, globset::Glob)], subject: Subject) -> Result<Self, ExcludeError> {
        let mut builder = GlobSetBuilder::new();
        let mut rules = Vec::new();
        for (number, (_, glob)) in globs.iter().enumerate().filter(|(_, (s, _))| *s == subject) {
            builder.add(glob.clone());
            rules.push(number);
        }
        let set = builder.build().map_err(|source| ExcludeError::Pattern {
            pattern: source.glob().unwrap_or("all patterns together").to_owned(),
            source,
        })?;
        Ok(Self { set, rules })
    }

    /// The last rule that matches and passes `admits`.
    fn last(&self, subject: &[u8], admits: impl Fn(usize) -> bool) -> Option<usize> {
        if self.rules.is_empty() {
            return None;
        }
        self.set
            .matches_candidate(&Candidate::from_bytes(subject))
            .into_iter()
            .filter_map(|matched| self.rules.get(matched).copied())
            .filter(|rule| admits(*rule))
            .max()
    }
}

/// One entry, as rules look at it. All paths are raw bytes.
#[derive(Debug, Clone, Copy)]
pub struct Subjects<'a> {
    /// Path inside the capture, from the root's name on.
    pub path: &'a [u8],
    /// Length of the root's name in `path`, bytes.
    pub root_length: usize,
    /// Path on the captured host.
    pub absolute: &'a [u8],
    /// Whether it is a directory.
    pub is_directory: bool,
}

/// Compiled rules. The default leaves nothing out.
#[derive(Debug, Clone, Default)]
pub struct ExcludeRules {
    rules: Vec<ExcludeRule>,
    names: Matcher,
    paths: Matcher,
    absolutes: Matcher,
    cache_directories: bool,
    markers: Vec<Vec<u8>>,
}

impl ExcludeRules {
    /// Starts an empty set.
    pub fn builder() -> ExcludeRulesBuilder {
        ExcludeRulesBuilder::default()
    }

    /// The rule that leaves an entry out, if any.
    pub fn excluding(&self, entry: Subjects<'_>) -> Option<&ExcludeRule> {
        if self.rules.is_empty() {
            return None;
        }
        let admits = |rule: usize| {
            self.rules
                .get(rule)
                .is_some_and(|rule| entry.is_directory || !rule.directories_only)
        };
        let name = entry
            .path
            .rsplit(|byte| *byte == b'/')
            .next()
            .unwrap_or(entry.path);
        let below_root = entry.path.get(entry.root_length + 1..).unwrap_or_default();
        let last = [
            self.names.last(name, admits),
            self.paths.last(entry.path, admits),
            self.paths.last(below_root, admits),
            self.absolutes.last(entry.absolute, admits),
        ]
        .into_iter()
        .flatten()
        .max()?;
        self.rules.get(last).filter(|rule| !rule.includes)
    }

    /// Whether directories marked as caches are left out.
    pub fn skips_cache_directories(&self) -> bool {
        self.cache_directories
    }

    /// Names whose presence leaves a directory out.
    pub fn markers(&self) -> &[Vec<u8>] {
        &self.markers
    }
}

#[cfg(test)]
mod tests;
