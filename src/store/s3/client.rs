//! From a location to a client: endpoint, region, credentials, certificates, time limits.
//!
//! What the location does not say comes from where every AWS tool takes it: the environment, the
//! profile, and on AWS's own machines their roles.

use crate::store::StoreErrorKind;
use crate::store::s3::S3Options;
use crate::store::s3::error::Failure;
use crate::store::s3::location::{Addressing, Endpoint, S3Location, S3LocationError};
use crate::store::s3::vendor::Vendor;
use aws_config::SdkConfig;
use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::environment::{
    EnvironmentVariableCredentialsProvider, EnvironmentVariableRegionProvider,
};
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::{ProfileFileCredentialsProvider, ProfileFileRegionProvider};
use aws_config::provider_config::ProviderConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    AppName, BehaviorVersion, Credentials, IdentityCache, Region, RequestChecksumCalculation,
    ResponseChecksumValidation, SharedCredentialsProvider, SharedHttpClient,
    StalledStreamProtectionConfig,
};
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_types::service_config::ServiceConfigKey;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The region that is signed for where nobody says another and the server is not AWS's.
const REGION_DEFAULT: &str = "us-east-1";

/// A command that gives credentials may have to ask somebody.
const CREDENTIALS_TIMEOUT: Duration = Duration::from_secs(60);

/// Attempts of one request before the layers above hear of a failure: a busy store answers
/// "slow down" now and then, and that is nobody's concern.
const ATTEMPTS: u32 = 3;

/// A client, and what was found out about its server.
pub(super) struct Connected {
    pub client: Client,
    /// The same without credentials: what anybody may ask.
    pub stranger: Client,
    pub vendor: Vendor,
    /// The server, unless it is AWS's own.
    pub endpoint: Option<Endpoint>,
}

/// Makes a client, whose requests are counted. Nothing is sent yet, except to those who give credentials.
pub(super) async fn connect(
    location: &S3Location,
    options: &S3Options,
    requests: Arc<AtomicU64>,
) -> Result<Connected, Failure> {
    let ca = location.ca.as_deref().or(options.ca.as_deref());
    let is_near = |endpoint: &Endpoint| endpoint.is_loopback();
    let near = location.endpoint.as_ref().is_some_and(is_near);
    let http = http_client(ca, near, requests)?;
    let sdk = load(location, http.clone()).await;
    let endpoint = match &location.endpoint {
        Some(endpoint) => Some(endpoint.clone()),
        None => configured_endpoint(&sdk).map_err(bad_location)?,
    };
    if let Some(endpoint) = &endpoint {
        let checked = endpoint.check_encrypted(location.allow_http);
        checked.map_err(bad_location)?;
    }
    let vendor = Vendor::of(endpoint.as_ref());
    let region = region(location, &vendor, endpoint.as_ref(), &sdk)?;
    let credentials = credentials(location, options, &vendor, &region, http).await;
    let addressing = location.addressing.unwrap_or(vendor.addressing);
    let mut config = aws_sdk_s3::config::Builder::from(&sdk);
    config.set_endpoint_url(endpoint.as_ref().map(Endpoint::to_string));
    let config = config
        .region(Region::new(region))
        .force_path_style(addressing == Addressing::Path)
        .identity_cache(
            IdentityCache::lazy()
                .load_timeout(CREDENTIALS_TIMEOUT)
                .build(),
        )
        // Checksums are ours: see `vendor` and `transfer`.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .retry_config(
            RetryConfig::standard()
                .with_max_attempts(ATTEMPTS)
                .with_initial_backoff(Duration::from_millis(200))
                .with_max_backoff(Duration::from_secs(2)),
        )
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(options.patience.connect)
                .build(),
        )
        .stalled_stream_protection(
            StalledStreamProtectionConfig::enabled()
                .grace_period(options.patience.stall)
                .build(),
        );
    let config = match AppName::new("icecore") {
        Ok(name) => config.app_name(name),
        Err(_) => config,
    };
    let stranger = config.clone().allow_no_auth();
    Ok(Connected {
        client: Client::from_conf(config.credentials_provider(credentials).build()),
        stranger: Client::from_conf(stranger.build()),
        vendor,
        endpoint,
    })
}

/// What the environment and the profile say, but for credentials.
async fn load(location: &S3Location, http: SharedHttpClient) -> SdkConfig {
    // Not the machine's own metadata service: asking for it takes seconds where there is none.
    let mut profile_region = ProfileFileRegionProvider::builder();
    if let Some(name) = &location.profile {
        profile_region = profile_region.profile_name(name);
    }
    let region = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
        .or_else(profile_region.build());
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(http)
        .no_credentials()
        .region(region);
    if let Some(name) = &location.profile {
        loader = loader.profile_name(name);
    }
    loader.load().await
}

/// `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`, or the same of the profile.
fn configured_endpoint(sdk: &SdkConfig) -> Result<Option<Endpoint>, S3LocationError> {
    let key = ServiceConfigKey::builder()
        .service_id("S3")
        .env("AWS_ENDPOINT_URL")
        .profile("endpoint_url")
        .build();
    let own = sdk
        .service_config()
        .zip(key.ok())
        .and_then(|(config, key)| config.load_config(key));
    let text = own.or_else(|| sdk.endpoint_url().map(str::to_owned));
    text.map(|text| text.parse()).transpose()
}

/// What is said, what the host says, what the environment says.
fn region(
    location: &S3Location,
    vendor: &Vendor,
    endpoint: Option<&Endpoint>,
    sdk: &SdkConfig,
) -> Result<String, Failure> {
    let said = location.region.clone().or_else(|| vendor.region(endpoint));
    let configured = || sdk.region().map(|region| region.as_ref().to_owned());
    match said.or_else(configured) {
        Some(region) => Ok(region),
        None if !vendor.is_aws() => Ok(REGION_DEFAULT.to_owned()),
        None => Err(Failure::new(
            StoreErrorKind::Unavailable,
            "nobody says in which region the bucket is",
        )
        .remedy("add region=… to the location, or set AWS_REGION")),
    }
}

async fn credentials(
    location: &S3Location,
    options: &S3Options,
    vendor: &Vendor,
    region: &str,
    http: SharedHttpClient,
) -> SharedCredentialsProvider {
    let own = options.backblaze.as_ref();
    let own = own.filter(|_| vendor.is_backblaze() && location.profile.is_none());
    if let Some((id, secret)) = options.credentials.as_ref().or(own) {
        let credentials = Credentials::new(id, secret.as_str(), None, None, "given");
        return SharedCredentialsProvider::new(credentials);
    }
    let config = ProviderConfig::without_region()
        .with_http_client(http)
        .with_region(Some(Region::new(region.to_owned())));
    let mut profile = ProfileFileCredentialsProvider::builder().configure(&config);
    if let Some(name) = &location.profile {
        profile = profile.profile_name(name);
        // What was named is what is meant, whatever else the environment offers.
        return SharedCredentialsProvider::new(profile.build());
    }
    if vendor.is_aws() {
        let chain = DefaultCredentialsChain::builder().configure(config);
        return SharedCredentialsProvider::new(chain.build().await);
    }
    let environment = EnvironmentVariableCredentialsProvider::new();
    let chain = CredentialsProviderChain::first_try("environment", environment)
        .or_else("profile", profile.build());
    SharedCredentialsProvider::new(chain)
}

/// Counts what is really sent: repetitions and pages too.
#[derive(Debug)]
struct Counting {
    inner: SharedHttpConnector,
    requests: Arc<AtomicU64>,
}

impl HttpConnector for Counting {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.inner.call(request)
    }
}

/// One client for all requests, so that connections are used again.
fn http_client(
    ca: Option<&Path>,
    near: bool,
    requests: Arc<AtomicU64>,
) -> Result<SharedHttpClient, Failure> {
    let mut trust = TrustStore::empty().with_native_roots(true);
    if let Some(path) = ca {
        trust = trust.with_pem_certificate(certificates(path)?);
    }
    let context = TlsContext::builder().with_trust_store(trust).build();
    let context = context.map_err(|error| Failure::new(StoreErrorKind::Unavailable, error))?;
    let made = OnceLock::new();
    Ok(http_client_fn(move |settings, components| {
        let make = || {
            let mut connector = Connector::builder()
                .tls_provider(Provider::Rustls(CryptoMode::Ring))
                .tls_context(context.clone())
                .connector_settings(settings.clone())
                .proxy_config(match near {
                    true => ProxyConfig::disabled(),
                    false => ProxyConfig::from_env(),
                });
            connector.set_sleep_impl(components.sleep_impl());
            SharedHttpConnector::new(Counting {
                inner: SharedHttpConnector::new(connector.build()),
                requests: Arc::clone(&requests),
            })
        };
        made.get_or_init(make).clone()
    }))
}

/// Reads certificates to trust, and looks at each: the client would panic on a bad one.
fn certificates(path: &Path) -> Result<Vec<u8>, Failure> {
    let fail = |reason: String| {
        let text = format!(
            "cannot trust the certificates in {}: {reason}",
            path.display()
        );
        Failure::new(StoreErrorKind::Unavailable, text)
            .remedy("ca= and AWS_CA_BUNDLE name a file of certificates in PEM")
    };
    let bytes = std::fs::read(path).map_err(|error| fail(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&bytes) {
        let certificate = certificate.map_err(|error| fail(error.to_string()))?;
        let added = roots.add(certificate);
        added.map_err(|error| fail(error.to_string()))?;
    }
    match roots.is_empty() {
        true => Err(fail("there are none".to_owned())),
        false => Ok(bytes),
    }
}

fn bad_location(error: S3LocationError) -> Failure {
    let remedy = match &error {
        S3LocationError::Plain(_) => {
            "use https://, or add allow-http=true to the location if everybody on the way may see \
             who stores what when (the content is encrypted all the same)"
        }
        _ => "look at AWS_ENDPOINT_URL and the profile, or give endpoint=… in the location",
    };
    Failure::new(StoreErrorKind::Unavailable, error).remedy(remedy)
}
