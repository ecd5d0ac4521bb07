//! Files with a mistake, and what is said about it, word for word.

use crate::config::Config;

/// What goes before a snippet so that the rest of the file is right.
const GOOD: &str = "version = 1
[repository.local]
url = \"/backup\"
[repository.nas]
url = \"/mnt/nas\"
[source.db]
type = \"sqlite\"
path = \"app.db\"
[job.nightly]
sources = [\"db\"]
repositories = [\"local\"]
";

/// The mistakes of [`GOOD`] and then `text`, with lines counted from that text.
fn faults(text: &str) -> Vec<String> {
    let error = match Config::parse(&format!("{GOOD}{text}")) {
        Ok(_) => return Vec::new(),
        Err(error) => error,
    };
    let lines = GOOD.lines().count();
    let faults = error.faults.into_iter().map(|mut fault| {
        fault.line = fault.line.saturating_sub(lines);
        fault.to_string()
    });
    faults.collect()
}

#[test]
fn golden_messages() {
    let table = [
        (
            "shedule = \"daily 03:00\"",
            "1:1: unknown key \"shedule\" in [job.nightly]; did you mean \"schedule\"?",
        ),
        (
            "colour = 1",
            "1:1: unknown key \"colour\" in [job.nightly]; it is one of check, drill, enabled, goals, keep, kind, prune_by, repositories, restore, retry, schedule, sources, timeout, timezone, verify",
        ),
        (
            "schedule = \"daily 13am\"",
            "1:12: job.nightly.schedule: \"13am\" is no time of day; write it from 00:00 to 23:59",
        ),
        (
            "schedule = \"daily\"",
            "1:12: job.nightly.schedule: \"daily\" needs a time, as in \"daily 03:00\"",
        ),
        (
            "schedule = \"0 25 * * *\"",
            "1:12: job.nightly.schedule: \"25\" is no hour; it goes from 0 to 23",
        ),
        (
            "schedule = \"0 0 31 2 *\"",
            "1:12: job.nightly.schedule: no month that is named has such a day",
        ),
        (
            "schedule = 3",
            "1:12: job.nightly.schedule is a whole number, not text in quotes",
        ),
        (
            "timezone = \"Mars/Olympus\"",
            "1:12: job.nightly.timezone: \"Mars/Olympus\" is no time zone that is known; write its IANA name, such as Asia/Almaty or UTC",
        ),
        (
            "timeout = \"40\"",
            "1:11: job.nightly.timeout: \"40\" is not a duration: the unit is missing; write it like 90s, 1h30m, 30d, 2w, 12 months or 7y",
        ),
        (
            "timeout = \"NaN\"",
            "1:11: job.nightly.timeout: \"NaN\" is not a duration: it does not begin with a number; write it like 90s, 1h30m, 30d, 2w, 12 months or 7y",
        ),
        (
            "timeout = nan",
            "1:11: job.nightly.timeout is a number with a fraction, not text in quotes",
        ),
        (
            "timeout = \"-5m\"",
            "1:11: job.nightly.timeout: \"-5m\" is not a duration: it is negative; write it like 90s, 1h30m, 30d, 2w, 12 months or 7y",
        ),
        (
            "retry = 3",
            "1:9: job.nightly.retry is a whole number, not a table",
        ),
        (
            "retry = { wait = \"2m\" }",
            "1:9: job.nightly.retry.times is missing; write times = 3",
        ),
        (
            "retry = { times = -1 }",
            "1:19: job.nightly.retry.times is -1; it goes from 0 to 4294967295",
        ),
        (
            "verify = \"readback\"",
            "1:10: job.nightly.verify cannot be \"readback\"; did you mean \"read-back\"?",
        ),
        (
            "verify = \"always\"",
            "1:10: job.nightly.verify cannot be \"always\"; it is one of \"none\", \"structure\", \"read-back\"",
        ),
        (
            "keep = \"ever\"",
            "1:8: job.nightly.keep cannot be \"ever\"; write \"forever\", or rules: { daily = 14, min = \"7d\" }",
        ),
        (
            "keep = {}",
            "1:8: job.nightly.keep: the retention policy is empty; give at least one keep rule, or say forever",
        ),
        (
            "keep = { daily = 1.5 }",
            "1:18: job.nightly.keep.daily is a number with a fraction, not a whole number",
        ),
        (
            "keep = { dayly = 14, last = 1 }",
            "1:10: unknown key \"dayly\" in [job.nightly.keep]; did you mean \"daily\"?",
        ),
        (
            "keep = { daily = 14, min = \"90d\", max = \"30d\" }",
            "1:8: job.nightly.keep: the minimum age 90d can be longer than the maximum age 30d: both cannot hold",
        ),
        (
            "keep = { days = 14, within = \"14d\" }",
            "1:8: job.nightly.keep says days and within, which are the same",
        ),
        (
            "keep = { max = \"thirty days\" }",
            "1:16: job.nightly.keep.max: \"thirty days\" is not a duration: it does not begin with a number; write it like 90s, 1h30m, 30d, 2w, 12 months or 7y",
        ),
        (
            "goals = { rpo = \"5m\", rte = \"1h\" }",
            "1:23: unknown key \"rte\" in [job.nightly.goals]; did you mean \"rto\"?",
        ),
        (
            "prune_by = { ofsite = \"m\" }",
            "1:1: there is no [repository.ofsite]; there is local",
        ),
        (
            "drill = { query = { dd = \"select 1\" } }",
            "1:1: there is no [source.dd]; did you mean \"db\"?",
        ),
        (
            "drill = { command = \"npm test\" }",
            "1:21: job.nightly.drill.command is a line for a shell, and no shell is involved; write a list of words: [\"pg_dump\", \"--dbname\", \"app\"]",
        ),
        (
            "restore.stop = [\"systemctl\"]",
            "1:17: an element of job.nightly.restore.stop is a line for a shell, and no shell is involved; write a list of words: [\"pg_dump\", \"--dbname\", \"app\"]",
        ),
        (
            "restore.health = { within = \"60s\" }",
            "1:18: job.nightly.restore.health needs http or command, one of them",
        ),
        (
            "restore.health = { http = \"https://x\" }",
            "1:27: job.nightly.restore.health.http: it begins with http://; ask a service behind TLS with a command: [\"curl\", \"-fsS\", \"https://…\"]",
        ),
        (
            "restore.health = { http = \"http://:3000/health\" }",
            "1:27: job.nightly.restore.health.http: it names no host; write it like http://127.0.0.1:3000/health",
        ),
        (
            "restore.health = { command = [\"true\"], within = \"0s\" }",
            "1:49: job.nightly.restore.health.within is no time at all; write how long it may take to come up, such as 60s",
        ),
        (
            "check = { every = \"1d\", read_data = \"8/7\" }",
            "1:37: job.nightly.check.read_data: \"8/7\" is no share of the data; write it like 1/7, 5% or 10G",
        ),
        (
            "[job.b]\nsources = [\"dd\"]\nrepositories = [\"local\"]",
            "2:11: there is no [source.dd]; did you mean \"db\"?",
        ),
        (
            "[job.b]\nsources = []\nrepositories = [\"local\"]",
            "2:11: job.b.sources is an empty list",
        ),
        (
            "[job.b]\nsources = \"db\"\nrepositories = [\"local\"]",
            "2:11: job.b.sources is text, not a list in brackets",
        ),
        (
            "[job.b]\nsources = [\"db\"]",
            "1:6: job.b.repositories is missing; write repositories = [\"local\"]",
        ),
        (
            "[repository.bad]\nurl = \"/tmp/x\"\n[job.c]\nsources = [\"db\"]\nrepositories = [\"bad\"]",
            "2:7: repository.bad.url: what lies in /tmp/ is gone after a restart or sooner; choose a place that lasts, best on another disk",
        ),
        (
            "[job.b]\nkind = \"export\"\nsources = [\"db\"]\nrepositories = [\"local\"]",
            "1:6: job.b.to is missing; write to = \"/srv/readable\"",
        ),
        (
            "[job.b]\nkind = \"export\"\nsources = [\"db\"]\nrepositories = [\"local\"]\nto = \"x\"\nlayout = \"monthly\"",
            "6:10: job.b.layout: there is no layout \"monthly\"; it is one of year/month, year, year/month/day, flat",
        ),
        (
            "[job.b]\nkind = \"export\"\nsources = [\"db\"]\nrepositories = [\"local\"]\nto = \"x\"\nkeep = \"forever\"",
            "6:1: unknown key \"keep\" in [job.b]; it is one of enabled, kind, layout, repositories, retry, schedule, sources, timeout, timezone, to",
        ),
        (
            "[job.b]\nsources = [\"db\"]\nrepositories = [\"local\", \"local\"]",
            "3:16: job.b.repositories names \"local\" twice",
        ),
        (
            "[job.\"a b\"]\nsources = [\"db\"]\nrepositories = [\"local\"]",
            "1:6: \"a b\" is no name: up to 64 letters, digits, -, _ and ., a letter or digit first",
        ),
        (
            "[repository.again]\nurl = \"/backup/\"",
            "2:7: \"again\" is the same place as \"local\": it would count as two copies",
        ),
        (
            "[repository.c]\nurl = \"/tmp/backup\"",
            "2:7: repository.c.url: what lies in /tmp/ is gone after a restart or sooner; choose a place that lasts, best on another disk",
        ),
        (
            "[repository.c]\nkey = { file = \"k\" }",
            "1:13: repository.c.url is missing; write url = \"/mnt/backup/app\"",
        ),
        (
            "[repository.c]\nurl = \"/c\"\nkey = \"correct horse\"",
            "3:7: repository.c.key is written out, and a secret does not belong in this file; write { file = … }, { env = … }, { command = [ … ] } or { fd = … }, and change that secret",
        ),
        (
            "[repository.c]\nurl = \"/c\"\nkey = {}",
            "3:7: repository.c.key says no source; write { file = … }, { env = … }, { command = [ … ] } or { fd = … }",
        ),
        (
            "[repository.c]\nurl = \"/c\"\nkey = { env = \"K\", file = \"k\" }",
            "3:7: repository.c.key says more than one source; leave all but one out",
        ),
        (
            "[repository.c]\nurl = \"/c\"\nmax_size = \"300 Gb\"",
            "3:12: repository.c.max_size: \"300 Gb\" is not a size: \"Gb\" can mean two things; bytes have a capital B, as in MB",
        ),
        (
            "[repository.c]\nurl = \"/c\"\nif_absent = \"ignore\"",
            "3:13: repository.c.if_absent cannot be \"ignore\"; it is one of \"warn\", \"fail\"",
        ),
        (
            "[source.x]\ntype = \"postgress\"",
            "2:8: source.x.type cannot be \"postgress\"; did you mean \"postgres\"?",
        ),
        (
            "[source.x]\npath = \"x\"",
            "1:9: source.x.type is missing; write type = \"sqlite\"",
        ),
        (
            "[source.x]\ntype = \"sqlite\"",
            "1:9: source.x.path is missing; write path = \"app.db\"",
        ),
        (
            "[source.x]\ntype = \"postgres\"\nurl = \"postgres://u:p@h/d\"",
            "3:7: source.x.url is written out, and a secret does not belong in this file; write { file = … }, { env = … }, { command = [ … ] } or { fd = … }, and change that secret",
        ),
        (
            "[source.x]\ntype = \"redis\"\nurl = \"redis://:p@h\"",
            "3:7: source.x.url: a user or password is written in it; leave it out, and write password = { env = … }",
        ),
        (
            "[source.x]\ntype = \"sqlite\"\npath = \"x\"\nexpect = { t = { max_drop = \"120%\" } }",
            "4:29: source.x.expect.t.max_drop: \"120%\" is not a percentage: it is too large; write it like 5% or 0.5%, from 0% to 100%",
        ),
        (
            "[notify.x]\non = [\"criticle\"]\nurl = { env = \"U\" }",
            "2:7: an element of notify.x.on cannot be \"criticle\"; did you mean \"critical\"?",
        ),
        (
            "[notify.x]\non = [\"critical\"]",
            "1:9: notify.x.url is missing; write url = { env = \"BACKUP_WEBHOOK_URL\" }",
        ),
        (
            "[notify.x]\non = [\"critical\"]\nkind = \"email\"\nserver = \"localhost\"\nfrom = \"a@b\"\nto = \"c@d\"",
            "4:10: notify.x.server: \"localhost\" is no server with a port, such as localhost:25",
        ),
        (
            "[prices.cold]\nstorage = nan",
            "2:11: prices.cold.storage is no amount; write a number from 0, such as 0.023",
        ),
        (
            "[prices.cold]\nstorage = -0.5",
            "2:11: prices.cold.storage is no amount; write a number from 0, such as 0.023",
        ),
        (
            "[prices.cold]\nstorage = \"$0.023\"",
            "2:11: prices.cold.storage is text, not a number",
        ),
        (
            "[prices.cold]\nput = 0.01",
            "1:9: prices.cold.storage is missing; write storage = 0.023",
        ),
        (
            "[prices.cold]\nstorage = 0.004\nmin_day = 90",
            "3:1: unknown key \"min_day\" in [prices.cold]; did you mean \"min_days\"?",
        ),
        (
            "[prices.cold]\nstorage = 0.004\ngb = \"1 TB\"",
            "3:6: prices.cold.gb is no GB; write \"1 GB\" where the seller counts 1000³ bytes, \"1 GiB\" where it is 1024³",
        ),
        (
            "[repository.c]\nurl = \"/c\"\nprice = \"STANDART\"",
            "3:9: there is no [prices.STANDART]; did you mean \"STANDARD\"?",
        ),
        (
            "[observe]\nprefix = \"9lives\"",
            "2:10: observe.prefix: \"9lives\" cannot begin a metric's name: letters, digits and _, a letter first",
        ),
        (
            "[observe]\nlisten = \":80\"",
            "2:10: observe.listen: \":80\" is no address with a port, such as 127.0.0.1:9899",
        ),
        (
            "[obzerve]\nmetrics = \"m\"",
            "1:2: unknown key \"obzerve\"; did you mean \"observe\"?",
        ),
        (
            "keep = { min = \"2555d\" }\n[job.eu]\nsources = [\"db\"]\nrepositories = [\"nas\"]\nkeep = { max = \"30d\" }",
            "5:1: source \"db\" is kept at least 2555d and at most 30d, by [job.eu] and [job.nightly]: both cannot hold; put what falls under each duty into a source of its own",
        ),
    ];
    let mut wrong = Vec::new();
    for (text, message) in table {
        let found = faults(text);
        if found != [message] {
            wrong.push(format!(
                "{text}\n  expected {message}\n  found    {}",
                found.join("\n           ")
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_no_toml_or_of_another_version_is_told_with_its_place() {
    let message = |text: &str| Config::parse(text).unwrap_err().faults[0].to_string();
    assert!(message("version = 1\nname = portal\n").starts_with("2:8: not TOML: "));
    assert!(message("version = 1\n[job.a]\n[job.a]\n").starts_with("3:"));
    assert_eq!(message(""), "1:1: version is missing; write version = 1");
    assert_eq!(
        message("version = 2"),
        "1:11: version is 2; this icecore reads version 1"
    );
    assert_eq!(
        message("version = 1\njob = 5"),
        "2:7: job is not a table; write [job.NAME] on a line of its own"
    );
    assert_eq!(
        message(&"#".repeat((1 << 20) + 1)),
        "1:1: the file is longer than 1048576 bytes"
    );
}
