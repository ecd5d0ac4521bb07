//! One request to a URL.

use crate::notify::{ATTEMPT_MAX, SendError};
use std::time::Duration;
use ureq::Agent;
use ureq::http::Response;
use ureq::tls::{RootCerts, TlsConfig};

/// Longest wait for a connection.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// An agent that follows no redirection (the URL's path is a secret that its host alone may see) and
/// trusts what the system trusts.
fn agent() -> Agent {
    configured(ATTEMPT_MAX, true)
}

/// One that gives up after `within`, and goes through a proxy of the environment or not.
fn configured(within: Duration, proxied: bool) -> Agent {
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::PlatformVerifier)
        .build();
    let mut config = Agent::config_builder()
        .timeout_global(Some(within))
        .timeout_connect(Some(CONNECT_MAX.min(within)))
        .max_redirects(0)
        .http_status_as_error(false)
        .user_agent(concat!("icecore/", env!("CARGO_PKG_VERSION")))
        .tls_config(tls);
    if !proxied {
        config = config.proxy(None);
    }
    config.build().into()
}

/// Sends a JSON text.
pub fn post_json(url: &str, body: &str) -> Result<(), SendError> {
    let request = agent().post(url).header("content-type", "application/json");
    judge(url, request.send(body))
}

/// Asks for a URL.
pub fn get(url: &str) -> Result<(), SendError> {
    judge(url, agent().get(url).call())
}

/// Asks a service of one's own for a URL, and returns the status it answers with. No proxy is between.
pub fn status(url: &str, within: Duration) -> Result<u16, SendError> {
    match configured(within, false).get(url).call() {
        Ok(response) => Ok(response.status().as_u16()),
        Err(error) => Err(SendError(crate::explain::explain(&error))),
    }
}

fn judge<B>(url: &str, answer: Result<Response<B>, ureq::Error>) -> Result<(), SendError> {
    let path = url
        .split_once("://")
        .and_then(|(_, rest)| rest.split_once('/'))
        .map_or("", |(_, path)| path);
    match answer {
        Ok(response) if response.status().is_success() => Ok(()),
        Ok(response) => Err(SendError(format!("it answered {}", response.status()))),
        Err(error) => Err(SendError::without(error, &[url, path])),
    }
}
