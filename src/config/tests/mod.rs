#![allow(clippy::unwrap_used)]

mod broken;

use crate::config::{
    Config, IfAbsent, JobKind, NotifyKind, Secret, Severity, SourceKind, Verify, WalMode,
};
use crate::units::Span;
use std::path::PathBuf;
use std::time::Duration;

const PORTAL: &str = r#"
version  = 1
name     = "portal"
timezone = "Asia/Almaty"
env_files = [".env.production"]

[repository.local]
url = "/var/backups/portal"
key = { file = "/etc/icecore/host.key" }
max_size = "300 GiB"

[repository.nas]
url = "/mnt/nas/portal"
key = { command = ["vault", "kv", "get", "-field=key", "kv/backup"] }
if_absent = "warn"

[repository.offsite]
url = "s3://portal-backup/icecore?region=eu-central-003&endpoint=https://s3.example.com"
credentials = { id = { env = "B2_KEY_ID" }, secret = { env = "B2_APP_KEY" } }
key  = { file = "/etc/icecore/write-only.key" }
lock = { mode = "compliance", keep = "30d" }

[source.db]
type = "postgres"
url  = { env = "DATABASE_URL" }
mode = "physical"
wal  = "stream"
expect = { "public.users" = { min_rows = 1, max_drop = "20%" } }
labels = { sensitivity = "critical" }

[source.cache]
type = "redis"
url  = "redis://127.0.0.1:6379"

[source.app]
type = "files"
paths = ["/srv/app", ".env"]
exclude = [{ glob = "node_modules", reason = "npm ci" }, "*.tmp"]

[job.portal]
sources      = ["db", "cache"]
repositories = ["local", "nas", "offsite"]
schedule = "0 * * * *"
timeout  = "40m"
retry    = { times = 3, wait = "2m" }
goals    = { rpo = "5m", rto = "15m" }
verify   = "read-back"
keep     = { hourly = 48, daily = 14, weekly = 8, monthly = 12, min = "7d" }
prune_by = { offsite = "maintenance" }
restore.stop   = [["systemctl", "stop", "portal"]]
restore.start  = [["systemctl", "start", "portal"]]
restore.health = { http = "http://127.0.0.1:3000/health", within = "60s" }
drill = { schedule = "Sun 03:00", query = { db = "select count(*) > 0 from users" }, command = ["npm", "run", "test"] }

[job.maintenance]
kind = "prune"
repositories = ["offsite"]
check = { every = "1d", read_data = "1/7" }
keep = "forever"

[notify.ops]
on  = ["warning", "critical", "completed", "restore"]
url = { env = "BACKUP_WEBHOOK_URL" }

[observe]
metrics = "/var/lib/node_exporter/icecore.prom"
prefix  = "portal"
audit   = "/var/log/icecore/audit.log"
"#;

#[test]
fn a_whole_file_is_read() {
    let config = Config::parse(PORTAL).unwrap();
    assert_eq!(config.name.as_deref(), Some("portal"));
    let zone = config.timezone.unwrap();
    assert_eq!(zone.iana_name(), Some("Asia/Almaty"));
    let local = &config.repositories["local"];
    assert_eq!(local.max_size, Some(300 << 30));
    let key = PathBuf::from("/etc/icecore/host.key");
    assert_eq!(local.key, Some(Secret::File(key)));
    assert_eq!(config.repositories["nas"].if_absent, IfAbsent::Warn);
    let SourceKind::Postgres { wal, physical, .. } = &config.sources["db"].kind else {
        panic!("it is a server");
    };
    assert_eq!((*wal, *physical), (WalMode::Stream, true));
    let SourceKind::Files { exclude, .. } = &config.sources["app"].kind else {
        panic!("these are files");
    };
    assert_eq!(exclude[0].reason.as_deref(), Some("npm ci"));
    assert_eq!(
        (exclude[1].glob.as_str(), &exclude[1].reason),
        ("*.tmp", &None)
    );
    let job = &config.jobs["portal"];
    assert_eq!(job.repositories, ["local", "nas", "offsite"]);
    assert_eq!(job.verify, Verify::ReadBack);
    assert_eq!(job.retry.wait, Duration::from_secs(120));
    let keep = job.keep.as_ref().unwrap();
    assert_eq!(
        (keep.keep_hourly, keep.min),
        (Some(48), Some(Span::days(7)))
    );
    assert_eq!(job.restore.stop[0][0], "systemctl");
    assert_eq!(job.drill.as_ref().unwrap().query.len(), 1);
    assert_eq!(config.jobs["maintenance"].kind, JobKind::Prune);
    assert!(
        config.jobs["maintenance"]
            .keep
            .as_ref()
            .unwrap()
            .keep_forever
    );
    let ops = &config.notify["ops"];
    assert!(ops.on.contains(&Severity::Restore));
    assert!(
        matches!(&ops.kind, NotifyKind::Webhook(Secret::Env(name)) if name == "BACKUP_WEBHOOK_URL")
    );
}

#[test]
fn every_mistake_is_told_in_the_order_of_the_file() {
    let text = "version = 1\nnmae = \"x\"\n[job.a]\nsources = [\"db\"]\nrepositories = [\"l\"]\n";
    let error = Config::parse(text).unwrap_err();
    let places: Vec<_> = error.faults.iter().map(|fault| fault.line).collect();
    assert_eq!(places, [2, 4, 5]);
    assert_eq!(error.to_string(), "the configuration has 3 mistakes");
}

#[test]
fn no_mistake_repeats_a_secret() {
    let texts = [
        "key = \"hunter2\"",
        "key = { env = \"hunter2=1\" }",
        "key = { file = 5, hunter3 = 1 }",
        "url = \"s3://user:hunter2@bucket/x\"",
        "credentials = { id = \"hunter2\", secret = \"hunter2\" }",
    ];
    for text in texts {
        let text = format!("version = 1\n[repository.r]\n{text}\n");
        let error = Config::parse(&text).unwrap_err();
        for fault in &error.faults {
            assert!(!fault.to_string().contains("hunter2"), "{fault}");
        }
    }
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "(?s).{0,200}") {
        let _ = Config::parse(&text);
    }

    #[test]
    fn a_file_with_a_changed_byte_is_read_or_refused(place in 0..PORTAL.len(), letter in "[ -~\n]") {
        let mut text = PORTAL.to_owned();
        text.replace_range(place..place + 1, &letter);
        if let Err(error) = Config::parse(&text) {
            assert!(!error.faults.is_empty());
        }
    }
}
