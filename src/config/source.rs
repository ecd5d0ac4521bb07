//! `[source.NAME]`.

use crate::config::secret::{Secret, secret, variable};
use crate::config::value::{Problem, Table, Value};
use crate::config::{command, path, texts};
use crate::units::{Percent, parse_percent};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What is captured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// What it is.
    pub kind: SourceKind,
    /// Identity to record instead of the path.
    pub name: Option<String>,
    /// Domain it is written into.
    pub domain: Option<String>,
    /// Labels, sealed like the data.
    pub labels: BTreeMap<String, String>,
    /// Tags, for selecting and keeping.
    pub tags: BTreeMap<String, String>,
    /// What must be true of it, by table.
    pub expect: BTreeMap<String, Expectation>,
}

/// A kind of source and what it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceKind {
    /// A SQLite database.
    Sqlite {
        /// Where it is.
        path: PathBuf,
        /// Whether it is saved as VACUUM would leave it.
        compact: bool,
    },
    /// Files and trees.
    Files {
        /// Where they are; at least one.
        paths: Vec<PathBuf>,
        /// What is left out.
        exclude: Vec<Exclude>,
        /// Directories with a file of such a name are left out.
        exclude_if_present: Vec<String>,
        /// Whether directories marked with CACHEDIR.TAG are left out.
        exclude_caches: bool,
        /// Whether each path is followed on its own file system only.
        one_file_system: bool,
    },
    /// What a command prints.
    Command {
        /// The command.
        command: Vec<String>,
        /// Name of the file.
        file: String,
    },
    /// Variables.
    Environment {
        /// Their names.
        names: Vec<String>,
    },
    /// A PostgreSQL server.
    Postgres {
        /// Where it is.
        url: Secret,
        /// What its clients are run with.
        via: Vec<String>,
        /// Whether databases are dumped one by one.
        logical: bool,
        /// Whether the cluster is copied.
        physical: bool,
        /// How its WAL is kept.
        wal: WalMode,
    },
    /// A Redis server.
    Redis {
        /// Where it is.
        url: String,
        /// Its password.
        password: Option<Secret>,
    },
    /// A Prometheus server.
    Prometheus {
        /// Where it is.
        url: String,
    },
    /// Rows of a query.
    Query {
        /// The database.
        url: Secret,
        /// What is asked.
        sql: String,
    },
}

impl SourceKind {
    /// As it is written in the file.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Sqlite { .. } => "sqlite",
            Self::Files { .. } => "files",
            Self::Command { .. } => "command",
            Self::Environment { .. } => "env",
            Self::Postgres { .. } => "postgres",
            Self::Redis { .. } => "redis",
            Self::Prometheus { .. } => "prometheus",
            Self::Query { .. } => "query",
        }
    }

    /// Whether it takes something from this variable.
    pub fn takes_from(&self, variable: &str) -> bool {
        match self {
            Self::Postgres { url, .. } | Self::Query { url, .. } => {
                *url == Secret::Env(variable.to_owned())
            }
            Self::Environment { names } => names.iter().any(|name| name == variable),
            _ => false,
        }
    }

    /// Whether a change of it can be seen without capturing it.
    pub fn shows_changes(&self) -> bool {
        matches!(
            self,
            Self::Sqlite { .. } | Self::Files { .. } | Self::Environment { .. }
        )
    }

    /// Whether it comes from paths, where it can go back to.
    pub fn has_origin(&self) -> bool {
        matches!(self, Self::Sqlite { .. } | Self::Files { .. })
    }

    /// Whether this version captures it.
    pub fn is_captured(&self) -> bool {
        matches!(
            self,
            Self::Sqlite { .. }
                | Self::Files { .. }
                | Self::Command { .. }
                | Self::Environment { .. }
        )
    }
}

/// How WAL is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WalMode {
    /// Received as it is written.
    Stream,
    /// Pushed by the server, a segment at a time.
    Push,
    /// Not at all.
    None,
}

/// What is left out of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exclude {
    /// Which paths.
    pub glob: String,
    /// Why.
    pub reason: Option<String>,
}

/// What must be true of a table when it is captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expectation {
    /// It has at least so many rows.
    pub min_rows: u64,
    /// It has lost at most this share of the rows it had in the snapshot before.
    pub max_drop: Option<Percent>,
}

#[derive(Clone, Copy)]
enum Type {
    Sqlite,
    Files,
    Command,
    Environment,
    Postgres,
    Redis,
    Prometheus,
    Query,
}

pub(super) fn read(table: &mut Table<'_, '_>) -> Option<Source> {
    let kind = table.require("type", "\"sqlite\"", |value| {
        value.choice(&[
            ("sqlite", Type::Sqlite),
            ("files", Type::Files),
            ("command", Type::Command),
            ("env", Type::Environment),
            ("postgres", Type::Postgres),
            ("redis", Type::Redis),
            ("prometheus", Type::Prometheus),
            ("query", Type::Query),
        ])
    });
    let common = Common::read(table);
    let Some(kind) = kind else {
        table.leave_open();
        return None;
    };
    let kind = match kind {
        Type::Sqlite => sqlite(table),
        Type::Files => files(table),
        Type::Command => command_output(table),
        Type::Environment => environment(table),
        Type::Postgres => postgres(table),
        Type::Redis => redis(table),
        Type::Prometheus => prometheus(table),
        Type::Query => query(table),
    };
    Some(common.with(kind?))
}

struct Common {
    name: Option<String>,
    domain: Option<String>,
    labels: BTreeMap<String, String>,
    tags: BTreeMap<String, String>,
    expect: BTreeMap<String, Expectation>,
}

impl Common {
    fn read(table: &mut Table<'_, '_>) -> Self {
        Self {
            name: table.take("as", Value::text),
            domain: table.take("domain", Value::text),
            labels: table.take("labels", texts).unwrap_or_default(),
            tags: table.take("tags", texts).unwrap_or_default(),
            expect: table.take("expect", expectations).unwrap_or_default(),
        }
    }

    fn with(self, kind: SourceKind) -> Source {
        Source {
            kind,
            name: self.name,
            domain: self.domain,
            labels: self.labels,
            tags: self.tags,
            expect: self.expect,
        }
    }
}

fn sqlite(table: &mut Table<'_, '_>) -> Option<SourceKind> {
    let path = table.require("path", "\"app.db\"", path);
    let compact = table.take("compact", Value::boolean).unwrap_or(false);
    path.map(|path| SourceKind::Sqlite { path, compact })
}

fn files(table: &mut Table<'_, '_>) -> Option<SourceKind> {
    let flag = |table: &mut Table<'_, '_>, key| table.take(key, Value::boolean).unwrap_or(false);
    let paths = table.require("paths", "[\"/srv/app\"]", |value| value.strict_list(path));
    let exclude = table.take("exclude", |value| Ok(value.list(exclude)));
    let if_present = table.take("exclude_if_present", |value| Ok(value.list(Value::text)));
    let exclude_caches = flag(table, "exclude_caches");
    let one_file_system = flag(table, "one_file_system");
    paths.map(|paths| SourceKind::Files {
        paths,
        exclude: exclude.unwrap_or_default(),
        exclude_if_present: if_present.unwrap_or_default(),
        exclude_caches,
        one_file_system,
    })
}

fn exclude(value: &Value<'_, '_>) -> Result<Exclude, Problem> {
    if value.is_text() {
        let glob = value.text()?;
        return Ok(Exclude { glob, reason: None });
    }
    let mut table = value.table()?;
    let glob = table.require("glob", "\"node_modules\"", Value::text);
    let reason = table.take("reason", Value::text);
    table.finish();
    match glob {
        Some(glob) => Ok(Exclude { glob, reason }),
        None => Err(Problem::new(format!("{} is incomplete", value.name))),
    }
}

fn command_output(table: &mut Table<'_, '_>) -> Option<SourceKind> {
    let command = table.require("command", "[\"pg_dump\", \"app\"]", command);
    let file = table.require("file", "\"app.sql\"", |value| {
        value.parsed(|text| match text.contains(['/', '\0']) {
            true => Err(Problem::new(format!("{text:?} is no file name"))),
            false => Ok(text.to_owned()),
        })
    });
    command
        .zip(file)
        .map(|(command, file)| SourceKind::Command { command, file })
}

fn environment(table: &mut Table<'_, '_>) -> Option<SourceKind> {
    let names = table.require("names", "[\"API_KEY\"]", |value| {
        value.strict_list(|name| name.parsed(variable))
    });
    names.map(|names| SourceKind::Environment { names })
}

fn postgres(table: &mut Table<'_, '_>) -> Option<SourceKind> {
    let url = table.require("url", "{ env = \"DATABASE_URL\" }", secret);
    let via = table.take("via", command).unwrap_or_default();
    let mode = table.take("mode", |value| {
        value.choice(&[
            ("logical", (true, false)),
            ("physical", (false, true)),
            ("both", (true, true)),
        ])
    });
    let (logical, physical) = mode.unwrap_or((true, false));
    let wal = table.take("wal", |value| {
        value.choice(&[
            ("stream", WalMode::Stream),
            ("push", WalMode::Push),
            ("none", WalMode::None),
        ])
    });
    url.map(|url| SourceKind::Postgres {
        url,
        via,
        logical,
        physical,
        wal: wal.unwrap_or(WalMode::None),
    })
}

/// A URL of a server whose password is written elsewhere.
fn server(value: &Value<'_, '_>, schemes: &[&str]) -> Result<String, Problem> {
    value.parsed(|text| {
        let known = schemes.iter().any(|scheme| text.starts_with(scheme));
        if !known {
            return Err(Problem::new(format!(
                "it begins with {}",
                schemes.join(" or ")
            )));
        }
        match text.contains('@') {
            true => Err(Problem::new("a user or password is written in it")
                .help("leave it out, and write password = { env = … }")),
            false => Ok(text.to_owned()),
        }
    })
}

fn redis(table: &mut Table<'_, '_>) -> Option<SourceKind> {
    let url = table.require("url", "\"redis://127.0.0.1:6379\"", |value| {
        server(value, &["redis://", "rediss://", "unix://"])
    });
    let password = table.take("password", secret);
    url.map(|url| SourceKind::Redis { url, password })
}

fn prometheus(table: &mut Table<'_, '_>) -> Option<SourceKind> {
    let url = table.require("url", "\"http://127.0.0.1:9090\"", |value| {
        server(value, &["http://", "https://"])
    });
    url.map(|url| SourceKind::Prometheus { url })
}

fn query(table: &mut Table<'_, '_>) -> Option<SourceKind> {
    let url = table.require("url", "{ env = \"DATABASE_URL\" }", secret);
    let sql = table.require(
        "sql",
        "\"select * from signals where day = :day\"",
        Value::text,
    );
    url.zip(sql)
        .map(|(url, sql)| SourceKind::Query { url, sql })
}

fn expectations(value: &Value<'_, '_>) -> Result<BTreeMap<String, Expectation>, Problem> {
    let mut expectations = BTreeMap::new();
    for (name, entry) in value.table()?.entries() {
        let read = entry.table().map(|mut table| {
            let min_rows = table.take("min_rows", |value| value.count(0));
            let max_drop = table.take("max_drop", |value| value.parsed(parse_percent));
            table.finish();
            Expectation {
                min_rows: min_rows.map_or(0, u64::from),
                max_drop,
            }
        });
        match read {
            Ok(expectation) => drop(expectations.insert(name, expectation)),
            Err(problem) => entry.faults.add(entry.at.clone(), problem),
        }
    }
    Ok(expectations)
}
