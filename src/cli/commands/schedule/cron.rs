//! A table for cron.

use crate::cli::commands::schedule::{Plan, ScheduledFile, file_name};
use crate::cli::error::{CommandError, CommandResult};
use crate::cli::text;

/// One table with a line for each job. With a user it has the column that `/etc/cron.d` wants.
pub(super) fn table(plan: &mut Plan<'_>) -> CommandResult<Vec<ScheduledFile>> {
    let mut lines = vec![
        plan.mark(),
        "# cron does not make up for times at which the machine was off: icecore daemon and systemd's".to_owned(),
        "# timers do. What a run prints is mailed; icecore jobs and icecore status tell what came of it.".to_owned(),
        "SHELL=/bin/sh".to_owned(),
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
    ];
    let system = plan.zone.iana_name().map(str::to_owned);
    let mut zone = system.clone();
    let mut remarks = Vec::new();
    for item in &plan.items {
        let Some(cron) = item.schedule.as_cron() else {
            let left_out = format!(
                "{}: {} cannot be said in a line of cron, and is left out; icecore daemon does it",
                item.name, item.schedule
            );
            lines.push(format!("# {left_out}"));
            remarks.push(left_out);
            continue;
        };
        let own = item.zone.iana_name().map(str::to_owned);
        if own != zone {
            let name = own.as_deref().unwrap_or("UTC");
            lines.push(format!("# {}", DOUBT));
            lines.push(format!("CRON_TZ={name}"));
            zone.clone_from(&own);
        }
        if own != system {
            remarks.push(format!(
                "{}: its times are in {}, and not every cron reads CRON_TZ: {DOUBT}",
                item.name,
                own.as_deref().unwrap_or("another zone"),
            ));
        }
        let words = plan.command(item);
        let words: Vec<String> = words.iter().map(|word| text::quoted(word)).collect();
        let command = words.join(" ");
        if command.contains(char::is_control) {
            return Err(CommandError::usage(format!(
                "{}: a path in its command has a control character, which no line of cron holds",
                item.name
            ))
            .hint("rename the file or directory"));
        }
        // In a line of cron a bare % ends it.
        let command = command.replace('%', "\\%");
        let user = plan.run_as.map(|user| format!("{user} "));
        lines.push(format!("{cron} {}{command}", user.unwrap_or_default()));
    }
    plan.remarks.extend(remarks);
    Ok(vec![ScheduledFile {
        // cron leaves out files with a dot in their name.
        name: file_name(&plan.prefix()).replace('.', "-"),
        text: lines.join("\n") + "\n",
    }])
}

const DOUBT: &str =
    "cronie does, Debian's and busybox's do not and take the times for the system's";
