//! `audit verify`.

use crate::cli::error::{CommandError, CommandResult};
use crate::cli::exit_code::Exit;
use crate::cli::invocation::Invocation;
use crate::cli::output::Report;
use crate::cli::text;
use crate::repository::{AuditFault, AuditVerifyError};
use serde_json::{Value, json};

/// Verifies every chain.
pub fn run(invocation: &Invocation) -> CommandResult<Report> {
    let open = invocation.open_repository()?;
    let since = open.repository.audit_remembered_since();
    let (ui, cancel) = (&*invocation.ui, &invocation.cancel);
    let verified = open
        .repository
        .verify_audit(invocation.workers(), ui, cancel);
    ui.clear();
    let report = verified?;
    let output = &invocation.output;
    let result = match report.faults.is_empty() {
        true => "none changed, none missing".to_owned(),
        false => text::counted(report.faults.len() as u64, "fault"),
    };
    output.line(&format!(
        "verified {} in {} by {}: {result}",
        text::counted(report.records, "record"),
        text::counted(report.chains, "chain"),
        text::counted(report.writers.len() as u64, "credential"),
    ));
    match since {
        Some(since) => output.say(&format!(
            "compared with {} that this host has seen since {}",
            text::counted(report.remembered, "record"),
            invocation.moment(since)
        )),
        None => output.remark(
            "This host has seen none of them before: that the newest were taken away would not be \
             noticed now, but from now on",
        ),
    }
    if report.revoked > 0 {
        output.remark(&format!(
            "{} by credentials that were revoked since: believe them only as far as others confirm them",
            text::counted(report.revoked, "record")
        ));
    }
    for fault in &report.faults {
        output.line(&format!("FAULT  {}", text::line(&fault.to_string())));
        output.object("audit-fault", describe(fault));
    }
    let summary = Report::with(json!({
        "records": report.records,
        "chains": report.chains,
        "writers": report.writers.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "records_revoked": report.revoked,
        "records_remembered": report.remembered,
        "faults": report.faults.len(),
    }));
    if report.faults.is_empty() {
        return Ok(summary);
    }
    output.line(
        "Somebody who can write to the storage changed it, or the storage loses data. Compare with a \
         mirror (icecore audit verify -r MIRROR) and with the lines of observe.audit; then look who \
         had access",
    );
    Ok(summary.exit(Exit::Damage))
}

fn describe(fault: &AuditFault) -> Value {
    let (kind, chain, number, record) = match fault {
        AuditFault::Edited { key, .. } => ("edited", None, None, Some(key.clone())),
        AuditFault::Broken { key } => ("broken", None, None, Some(key.clone())),
        AuditFault::Gap { chain, number } => ("gap", Some(chain), Some(number), None),
        AuditFault::Fork { chain, number } => ("fork", Some(chain), Some(number), None),
        AuditFault::Missing {
            chain, number, id, ..
        } => ("missing", Some(chain), Some(number), Some(id.to_string())),
    };
    json!({
        "fault": kind,
        "chain": chain.map(ToString::to_string),
        "number": number,
        "record": record,
        "message": fault.to_string(),
    })
}

impl From<AuditVerifyError> for CommandError {
    fn from(error: AuditVerifyError) -> Self {
        match error {
            AuditVerifyError::Store(error) => error.into(),
            AuditVerifyError::Interrupted(error) => error.into(),
        }
    }
}
