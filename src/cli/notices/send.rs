//! One message to one receiver, in the form it takes.

use crate::cli::commands::snapshot::capture::host_name;
use crate::cli::error::CommandError;
use crate::cli::notices::Notices;
use crate::config::{Mail, MailSecurity, Notify, NotifyKind};
use crate::notice::payload::{Teller, ping};
use crate::notice::{Delivery, Notice};
use crate::notify::{Letter, Security, get, post_json, run, send_mail};
use crate::source::stream::hide_secrets;
use std::net::IpAddr;
use std::process::Command;

/// PagerDuty's own address; accounts in Europe have another one.
const PAGERDUTY: &str = "https://events.pagerduty.com/v2/enqueue";

/// Port of mail over TLS.
const TLS_PORT: u16 = 465;

impl Notices<'_> {
    /// Tries once. The error names no secret.
    pub(super) fn send(&self, delivery: &Delivery) -> Result<(), String> {
        match self.targets().get(&delivery.target) {
            Some(notify) => self.send_to(&delivery.target, notify, &delivery.notice),
            None => Ok(()),
        }
    }

    /// Tries once to tell one receiver.
    pub fn send_to(&self, name: &str, notify: &Notify, notice: &Notice) -> Result<(), String> {
        let teller = Teller {
            name: self.configuration.name().to_owned(),
            host: host_name(),
        };
        let secret = |secret, what: &str| {
            let read = self
                .configuration
                .secret(secret, &format!("{what} of notify.{name}"));
            read.map_err(|error: CommandError| error.message())
        };
        let sent = match &notify.kind {
            NotifyKind::Webhook(url) => {
                post_json(&secret(url, "the URL")?, &teller.object(notice).to_string())
            }
            NotifyKind::Slack(url) => {
                post_json(&secret(url, "the URL")?, &teller.slack(notice).to_string())
            }
            NotifyKind::Ping(url) => match ping(notice) {
                Some(word) => get(&format!(
                    "{}{word}",
                    secret(url, "the URL")?.trim_end_matches('/')
                )),
                None => Ok(()),
            },
            NotifyKind::PagerDuty { key, url } => {
                let key = secret(key, "the routing key")?;
                match teller.pagerduty(notice, &key) {
                    Some(event) => {
                        post_json(url.as_deref().unwrap_or(PAGERDUTY), &event.to_string())
                    }
                    None => Ok(()),
                }
            }
            NotifyKind::Email(mail) => {
                let login = mail.login.as_ref().map(|(user, password)| {
                    Ok::<_, String>((secret(user, "the user")?, secret(password, "the password")?))
                });
                let (host, port, security) = server(mail, login.is_some())?;
                let (subject, text) = (teller.title(notice), teller.text(notice));
                send_mail(&Letter {
                    host,
                    port,
                    security,
                    login: login.transpose()?,
                    from: &mail.from,
                    to: &mail.to,
                    subject: &subject,
                    text: &text,
                })
            }
            NotifyKind::Command(words) => {
                let Some((program, arguments)) = words.split_first() else {
                    return Err("the command is empty".to_owned());
                };
                let mut command = Command::new(program);
                hide_secrets(command.args(arguments));
                run(&mut command, &teller.object(notice).to_string())
            }
        };
        sent.map_err(|error| error.to_string())
    }
}

/// Where the mail server is, and how the connection to it is protected: nothing goes in clear to another
/// host, a password least of all.
fn server(mail: &Mail, has_login: bool) -> Result<(&str, u16, Security), String> {
    let (host, port) = mail.server.rsplit_once(':').unwrap_or((&mail.server, "25"));
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = port
        .parse()
        .map_err(|_| format!("{} has no port", mail.server))?;
    let address = host.parse::<IpAddr>();
    let is_here = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    let security = match (mail.security, is_here) {
        (Some(MailSecurity::Tls), _) => Security::Tls,
        (Some(MailSecurity::StartTls), _) => Security::StartTls,
        (Some(MailSecurity::None), _) if has_login && !is_here => {
            return Err("tls = \"none\" would send the password in clear".to_owned());
        }
        (Some(MailSecurity::None), _) => Security::Plain,
        (None, _) if port == TLS_PORT => Security::Tls,
        (None, true) => Security::Plain,
        (None, false) => Security::StartTls,
    };
    Ok((host, port, security))
}
