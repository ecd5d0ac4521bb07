//! What a failed request means: to the retry, and to the user.

use crate::store::{ObjectError, StoreErrorKind};
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use std::error::Error;

/// Longest text of a server that is repeated, characters.
const QUOTE_MAX: usize = 300;

/// A request that failed.
#[derive(Debug)]
pub(super) struct Failure {
    /// What it means.
    pub kind: StoreErrorKind,
    /// Why.
    pub cause: Box<dyn Error + Send + Sync>,
    /// What to do about it, where that is known.
    pub remedy: Option<String>,
    /// There was no connection at all.
    pub is_unreachable: bool,
    /// The condition under which something was asked for does not hold.
    pub is_precondition: bool,
    /// A success that cannot be read.
    pub is_nonsense: bool,
}

impl Failure {
    /// A failure without a remedy.
    pub fn new(kind: StoreErrorKind, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            kind,
            cause: cause.into(),
            remedy: None,
            is_unreachable: false,
            is_precondition: false,
            is_nonsense: false,
        }
    }

    /// One that may succeed when tried again.
    pub fn transient(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(StoreErrorKind::Transient, cause)
    }

    /// The same with what to do about it.
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Whether the object is not there.
    pub fn is_not_found(&self) -> bool {
        self.kind == StoreErrorKind::NotFound
    }

    /// What the server calls a refusal.
    pub fn code_of<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Option<&str> {
        match error {
            SdkError::ServiceError(service) => service.err().code(),
            _ => None,
        }
    }

    /// Whether there is no right to it.
    pub fn is_denied(&self) -> bool {
        self.kind == StoreErrorKind::PermissionDenied
    }

    /// From what the SDK says.
    pub fn of_request<E>(error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        if let Some(failure) = credentials_failure(&error) {
            return failure;
        }
        match &error {
            SdkError::ServiceError(service) => {
                let answer = Answer {
                    status: service.raw().status().as_u16(),
                    code: service.err().code().unwrap_or_default(),
                    message: service.err().message().unwrap_or_default(),
                    region: service.raw().headers().get("x-amz-bucket-region"),
                };
                answer.failure()
            }
            // Not S3's XML: a proxy's page, or an answer that broke off.
            SdkError::ResponseError(_) => {
                let status = error.raw_response().map_or(0, |raw| raw.status().as_u16());
                let kind = kind_of_status(status).unwrap_or(StoreErrorKind::Transient);
                let text = format!("the answer makes no sense: {}", root_cause(&error));
                Self {
                    is_nonsense: (200..300).contains(&status),
                    ..Self::new(kind, text)
                }
            }
            SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) => connection_failure(&error),
            _ => Self::new(StoreErrorKind::Unavailable, root_cause(&error)),
        }
    }
}

impl From<ObjectError> for Failure {
    fn from(error: ObjectError) -> Self {
        Self::new(error.kind(), error)
    }
}

/// A server's refusal.
struct Answer<'a> {
    status: u16,
    code: &'a str,
    message: &'a str,
    region: Option<&'a str>,
}

impl Answer<'_> {
    fn failure(&self) -> Failure {
        use StoreErrorKind::{Full, NoStore, NotFound, PermissionDenied, Transient, Unavailable};
        let say = |kind| Failure::new(kind, self.text());
        match self.code {
            "NoSuchBucket" => say(NoStore).remedy(
                "make the bucket with the vendor's own tools, or look at the location and its endpoint",
            ),
            "NoSuchKey" | "NotFound" => ObjectError::Missing.into(),
            "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken" | "ExpiredToken"
            | "TokenRefreshRequired" | "InvalidClientTokenId" => say(PermissionDenied).remedy(
                "look at the credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile",
            ),
            "RequestTimeTooSkewed" => {
                say(PermissionDenied).remedy("set this machine's clock: it is more than 15 minutes off")
            }
            "PreconditionFailed" | "ConditionalRequestConflict" => Failure {
                is_precondition: true,
                ..say(Unavailable)
            },
            "InvalidObjectState" => say(Unavailable).remedy(
                "it is in a cold storage class: icecore restore --thaw standard asks for what it needs \
                 and waits; for other commands ask the vendor (aws s3api restore-object), wait, and run \
                 it again",
            ),
            "QuotaExceeded" | "InsufficientCapacity" | "XMinioStorageFull" | "StorageFull" => {
                say(Full)
            }
            // What was sent is not what arrived, or something took too long.
            "BadDigest" | "InvalidDigest" | "XAmzContentSHA256Mismatch" | "IncompleteBody"
            | "RequestTimeout" | "SlowDown" | "Throttling" | "ThrottlingException"
            | "TooManyRequests" | "InternalError" | "ServiceUnavailable" | "OperationAborted" => {
                say(Transient)
            }
            "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException"
            | "Redirect" | "TemporaryRedirect" => say(Unavailable).remedy(match self.region {
                Some(region) => format!("the bucket is in another region: add region={region} to the location"),
                None => "the bucket is in another region: add region=… to the location, or look at its endpoint"
                    .to_owned(),
            }),
            _ => match kind_of_status(self.status).unwrap_or(Unavailable) {
                NotFound => ObjectError::Missing.into(),
                PermissionDenied => say(PermissionDenied).remedy(
                    "these credentials may not do this here: look at their rights to the bucket and \
                     prefix (list, get, put; delete for prune)",
                ),
                kind => Failure {
                    is_nonsense: self.status < 300,
                    ..say(kind)
                },
            },
        }
    }

    fn text(&self) -> String {
        let (status, code) = (self.status, quote(self.code));
        match (code.is_empty(), self.message.is_empty()) {
            (true, true) => format!("the server answered with status {status}"),
            (true, false) => format!("{} (status {status})", quote(self.message)),
            (false, true) => format!("{code} (status {status})"),
            (false, false) => format!("{code}: {} (status {status})", quote(self.message)),
        }
    }
}

fn kind_of_status(status: u16) -> Option<StoreErrorKind> {
    match status {
        401 | 403 => Some(StoreErrorKind::PermissionDenied),
        404 => Some(StoreErrorKind::NotFound),
        507 => Some(StoreErrorKind::Full),
        501 => Some(StoreErrorKind::Unavailable),
        // A success that cannot be read is an answer that was spoiled on its way.
        200..=299 | 408 | 425 | 429 | 500..=599 => Some(StoreErrorKind::Transient),
        300..=499 => Some(StoreErrorKind::Unavailable),
        _ => None,
    }
}

/// There are no credentials, or those who should give them did not.
fn credentials_failure(error: &(dyn Error + 'static)) -> Option<Failure> {
    let mut current = Some(error);
    while let Some(cause) = current {
        if let Some(found) = cause.downcast_ref::<CredentialsError>() {
            let text = match found {
                CredentialsError::CredentialsNotLoaded(_) => {
                    "there are no credentials for the bucket".to_owned()
                }
                CredentialsError::ProviderTimedOut(_) => {
                    "the credentials for the bucket did not come in time".to_owned()
                }
                _ => format!("no credentials for the bucket: {}", root_cause(found)),
            };
            let remedy = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (for Backblaze B2 also \
                          B2_KEY_ID and B2_APP_KEY), or name a profile: AWS_PROFILE, or profile=… in \
                          the location";
            return Some(Failure::new(StoreErrorKind::PermissionDenied, text).remedy(remedy));
        }
        current = cause.source();
    }
    None
}

/// No connection, or a lost one.
fn connection_failure(error: &(dyn Error + 'static)) -> Failure {
    let root = root_cause(error);
    let whole = chain(error);
    if whole.contains("certificate") {
        let text = format!("the server's certificate is not trusted: {root}");
        return Failure::new(StoreErrorKind::Unavailable, text).remedy(
            "look at the endpoint; name the authority of a private server with ca=FILE, or \
             AWS_CA_BUNDLE (of a container: install ca-certificates)",
        );
    }
    if whole.contains("received corrupt message") || whole.contains("InvalidContentType") {
        let text = format!("the server speaks no TLS: {root}");
        return Failure::new(StoreErrorKind::Unavailable, text)
            .remedy("look at the endpoint: perhaps it begins with http://");
    }
    let is_unreachable = ["connect error", "connect timeout", "dns error"]
        .iter()
        .any(|sign| whole.contains(sign));
    let what = match is_unreachable {
        true => "the server cannot be reached",
        false => "the connection broke off",
    };
    Failure {
        is_unreachable,
        ..Failure::transient(format!("{what}: {root}"))
    }
}

/// The innermost cause: what the layers above it say is about the SDK.
pub(super) fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut current = error;
    while let Some(source) = current.source() {
        current = source;
    }
    quote(&current.to_string())
}

fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut current = error.source();
    while let Some(cause) = current {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        current = cause.source();
    }
    text
}

/// One line of a stranger's text, not too long.
fn quote(text: &str) -> String {
    let shown = text.chars().take(QUOTE_MAX);
    shown
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::{Answer, kind_of_status, quote};
    use crate::store::StoreErrorKind::{
        Full, NoStore, NotFound, PermissionDenied, Transient, Unavailable,
    };

    #[test]
    fn answers_are_told_apart() {
        for (status, code, kind, remedy) in [
            (404, "NoSuchKey", NotFound, ""),
            (404, "", NotFound, ""),
            (404, "NoSuchBucket", NoStore, "make the bucket"),
            (403, "AccessDenied", PermissionDenied, "rights"),
            (
                403,
                "InvalidAccessKeyId",
                PermissionDenied,
                "AWS_ACCESS_KEY_ID",
            ),
            (403, "RequestTimeTooSkewed", PermissionDenied, "clock"),
            (403, "InvalidObjectState", Unavailable, "restore"),
            (403, "QuotaExceeded", Full, ""),
            (507, "", Full, ""),
            (400, "BadDigest", Transient, ""),
            (400, "RequestTimeout", Transient, ""),
            (429, "", Transient, ""),
            (500, "InternalError", Transient, ""),
            (503, "SlowDown", Transient, ""),
            (501, "NotImplemented", Unavailable, ""),
            (301, "PermanentRedirect", Unavailable, "region=eu-west-1"),
            (400, "MalformedXML", Unavailable, ""),
        ] {
            let answer = Answer {
                status,
                code,
                message: "",
                region: Some("eu-west-1"),
            };
            let failure = answer.failure();
            assert_eq!(failure.kind, kind, "{status} {code}");
            let given = failure.remedy.unwrap_or_default();
            assert!(given.contains(remedy), "{status} {code}: {given}");
            assert_eq!(given.is_empty(), remedy.is_empty(), "{status} {code}");
        }
        assert_eq!(kind_of_status(200), Some(Transient));
        assert_eq!(kind_of_status(100), None);
    }

    #[test]
    fn a_strangers_text_stays_on_its_line() {
        let long = format!("a\nb\u{1b}[31m{}", "x".repeat(1000));
        let quoted = quote(&long);
        assert!(quoted.starts_with("a b [31m") && quoted.len() == 300);
    }
}
