//! One mail over SMTP.

use crate::notify::{ATTEMPT_MAX, SendError};
use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{Message, SmtpTransport, Transport};
use zeroize::Zeroizing;

/// How the connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// TLS from the first byte.
    Tls,
    /// TLS asked for before anything is said; a server that has none is refused.
    StartTls,
    /// None: to a server on this host only.
    Plain,
}

/// A mail and the way to its server.
#[derive(Debug)]
pub struct Letter<'a> {
    /// The server's name or address.
    pub host: &'a str,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub security: Security,
    /// User and password.
    pub login: Option<(Zeroizing<String>, Zeroizing<String>)>,
    /// Sender.
    pub from: &'a str,
    /// Receivers.
    pub to: &'a [String],
    /// Subject.
    pub subject: &'a str,
    /// Text.
    pub text: &'a str,
}

/// Sends a mail.
pub fn send_mail(letter: &Letter<'_>) -> Result<(), SendError> {
    let bad = |error: &dyn std::error::Error| SendError(crate::explain::explain(error));
    let mailbox = |address: &str| address.parse::<Mailbox>().map_err(|error| bad(&error));
    // A line break would begin another header.
    let subject: String = letter.subject.chars().filter(|c| !c.is_control()).collect();
    let mut message = Message::builder()
        .from(mailbox(letter.from)?)
        .subject(subject)
        .header(ContentType::TEXT_PLAIN);
    for to in letter.to {
        message = message.to(mailbox(to)?);
    }
    let message = message
        .body(letter.text.to_owned())
        .map_err(|error| bad(&error))?;
    let tls = match letter.security {
        Security::Plain => Tls::None,
        security => {
            let parameters = TlsParameters::new(letter.host.to_owned());
            let parameters = parameters.map_err(|error| bad(&error))?;
            match security {
                Security::Tls => Tls::Wrapper(parameters),
                _ => Tls::Required(parameters),
            }
        }
    };
    let mut transport = SmtpTransport::builder_dangerous(letter.host)
        .port(letter.port)
        .tls(tls)
        .timeout(Some(ATTEMPT_MAX));
    if let Some((user, password)) = &letter.login {
        let credentials = Credentials::new(user.to_string(), password.to_string());
        transport = transport.credentials(credentials);
    }
    let sent = transport.build().send(&message);
    sent.map(drop).map_err(|error| {
        let secrets = letter.login.as_ref();
        let secrets = secrets.map_or_else(Vec::new, |(user, password)| {
            vec![password.as_str(), user.as_str()]
        });
        SendError::without(crate::explain::explain(&error), &secrets)
    })
}
