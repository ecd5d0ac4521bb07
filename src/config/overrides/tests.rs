#![allow(clippy::unwrap_used)]

use super::{Overrides, VARIABLES, apply, cipher_of};
use crate::config::{Config, NotifyKind, Secret};
use crate::units::Span;

const FILE: &str = r#"
version = 1
[repository.local]
url = "/var/backups/app"
[repository.nas]
url = "/mnt/nas/app"
key = { command = ["vault", "kv", "get", "-field=key", "kv/backup"] }
[repository.offsite]
url = "s3://old/deep/er?region=eu&endpoint=https://s3.example.org"
key = { file = "/etc/own.key" }
[source.db]
type = "postgres"
url = { env = "DATABASE_URL" }
mode = "logical"
[job.plain]
sources = ["db"]
repositories = ["local"]
keep = { days = 14 }
[job.rules]
sources = ["db"]
repositories = ["local"]
keep = { days = 14, monthly = 12 }
"#;

fn applied(file: &str, set: &[(&str, &str)]) -> (Config, Overrides) {
    let mut config = Config::parse(file).unwrap();
    let lookup = |name: &str| {
        let found = set.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    let overrides = apply(&mut config, &lookup);
    (config, overrides)
}

#[test]
fn each_variable_that_is_set_counts_where_it_can() {
    let (config, overrides) = applied(
        FILE,
        &[
            ("BACKUP_RETENTION_DAYS", "30"),
            ("DATABASE_URL", "postgres://app:sesame@db/app"),
            ("BACKUP_DIR", "/data/backups"),
            ("BACKUP_ENCRYPTION_KEY", "/etc/host.key"),
            ("BACKUP_CIPHER", "AES-256-GCM"),
            ("BACKUP_COMPRESSION", "gzip"),
            ("BACKUP_COMPRESSION_LEVEL", "6"),
            ("BACKUP_PARALLEL_JOBS", "4"),
            ("B2_KEY_ID", "sesame"),
            ("B2_APP_KEY", "sesame"),
            ("B2_BUCKET", "new"),
            ("B2_PREFIX", "/here/"),
            ("NAS_MOUNT_PATH", "/media/nas"),
            ("VAULT_ADDR", "https://vault.example.org"),
            ("VAULT_TOKEN", "sesame"),
            (
                "BACKUP_WEBHOOK_URL",
                "https://hooks.slack.com/services/sesame",
            ),
        ],
    );
    let refused: Vec<_> = overrides.all.iter().filter(|one| !one.counts).collect();
    assert!(refused.is_empty(), "{refused:#?}");
    let url = |name: &str| config.repositories[name].url.as_str();
    assert_eq!(url("local"), "/data/backups");
    assert_eq!(url("nas"), "/media/nas/app");
    assert_eq!(
        url("offsite"),
        "s3://new/here?region=eu&endpoint=https://s3.example.org"
    );
    let key = |name: &str| config.repositories[name].key.as_ref().unwrap().to_string();
    assert_eq!(key("local"), "file /etc/host.key");
    assert_eq!(
        (key("nas"), key("offsite")),
        ("command vault".to_owned(), "file /etc/own.key".to_owned())
    );
    let keep = |name: &str| config.jobs[name].keep.as_ref().unwrap().keep_within;
    assert_eq!(
        (keep("plain"), keep("rules")),
        (Some(Span::days(30)), Some(Span::days(14)))
    );
    assert_eq!(overrides.compression.as_deref(), Some("6"));
    assert_eq!(overrides.parallel, Some(4));
    let slack = NotifyKind::Slack(Secret::Env("BACKUP_WEBHOOK_URL".to_owned()));
    assert_eq!(config.notify["webhook"].kind, slack);
    let told = format!("{overrides:?}");
    assert!(!told.contains("sesame"), "{told}");
}

#[test]
fn what_cannot_count_says_what_to_write() {
    let bare = "version = 1\n";
    for variable in VARIABLES {
        let (_, overrides) = applied(bare, &[(variable, "sesame")]);
        let [one] = &overrides.all[..] else {
            panic!("{variable}: {overrides:?}")
        };
        assert!(!one.counts && one.variable == variable, "{one:?}");
        assert!(
            one.effect.len() > 20 && !one.effect.contains("sesame"),
            "{one:?}"
        );
    }
    let refused = |set: &[(&str, &str)]| {
        let (_, overrides) = applied(FILE, set);
        let refused = overrides.all.into_iter().filter(|one| !one.counts);
        refused
            .map(|one| format!("{}: {}", one.variable, one.effect))
            .collect::<Vec<_>>()
    };
    for (set, part) in [
        (
            &[("BACKUP_DIR", "/tmp/backups")][..],
            "is gone after a restart",
        ),
        (
            &[("BACKUP_DIR", "/a"), ("BACKUP_ROOT", "/b")],
            "BACKUP_ROOT: BACKUP_DIR is set too",
        ),
        (&[("B2_BUCKET", "a/b")], "B2_PREFIX"),
        (&[("B2_BUCKET", "x@evil")], "holds what no name"),
        (
            &[("BACKUP_CIPHER", "aes-256-cbc")],
            "nothing that does not authenticate",
        ),
        (
            &[
                ("BACKUP_COMPRESSION", "off"),
                ("BACKUP_COMPRESSION_LEVEL", "3"),
            ],
            "turns compression off",
        ),
        (&[("BACKUP_RETENTION_DAYS", "0")], "no number of days"),
        (
            &[("BACKUP_EMAIL_NOTIFICATIONS", "ops@example.org")],
            "[notify.mail]",
        ),
    ] {
        let refused = refused(set).join("\n");
        assert!(refused.contains(part), "{part}\n{refused}");
    }
    let two = FILE
        .replace("[repository.nas]", "[repository.other]")
        .replace("[repository.local]", "[repository.own]");
    let two = two.replace("\"local\"", "\"own\"");
    let (_, overrides) = applied(&two, &[("BACKUP_DIR", "/a")]);
    assert!(
        overrides.all[0]
            .effect
            .contains("it could mean repository.other, repository.own"),
        "{overrides:?}"
    );
    let empty = applied(FILE, &[("BACKUP_DIR", "  ")]).1;
    assert_eq!(empty, Overrides::default(), "empty is not set");
}

#[test]
fn ciphers_go_by_many_spellings() {
    for (name, cipher) in [
        ("AES-256-GCM", Some("aes-256-gcm")),
        ("aes256_gcm", Some("aes-256-gcm")),
        ("XChaCha20-Poly1305", Some("xchacha20-poly1305")),
        ("aes-256-cbc", None),
        ("none", None),
    ] {
        assert_eq!(cipher_of(name), cipher, "{name}");
    }
}
