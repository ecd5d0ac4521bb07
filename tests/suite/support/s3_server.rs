//! A real S3 server in this process, on loopback: `s3s-fs`, which checks signatures and checksums.

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use s3s::auth::SimpleAuth;
use s3s::dto::{
    DeleteObjectInput, DeleteObjectOutput, GetObjectInput, GetObjectOutput, HeadObjectInput,
    HeadObjectOutput, ListObjectsV2Input, ListObjectsV2Output, PutObjectInput, PutObjectOutput,
};
use s3s::service::S3ServiceBuilder;
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};
use s3s_fs::FileSystem;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

/// The credentials that the server knows. The secret must appear nowhere.
pub const KEY_ID: &str = "AKIAICECORETEST";
pub const SECRET: &str = "never-shown-s3-battery-staple";

/// A server with its buckets in a temporary directory. Stopped when dropped.
pub struct S3Server {
    address: SocketAddr,
    directory: TempDir,
    /// Dropped last: the connections end with it.
    _runtime: Runtime,
}

impl S3Server {
    /// Starts one with the bucket `bucket`.
    pub fn start() -> Self {
        Self::start_with(None)
    }

    /// Starts one that speaks TLS with the certificate of `tests/suite/s3/tls`.
    pub fn start_encrypted() -> Self {
        Self::start_with(Some(tls()))
    }

    fn start_with(tls: Option<TlsAcceptor>) -> Self {
        let directory = TempDir::new().unwrap();
        std::fs::create_dir(directory.path().join("bucket")).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let objects = Objects {
            inner: FileSystem::new(directory.path()).unwrap(),
            directory: directory.path().to_owned(),
        };
        let mut service = S3ServiceBuilder::new(objects);
        service.set_auth(SimpleAuth::from_single(KEY_ID, SECRET));
        let service = service.build();
        let listener = runtime
            .block_on(TcpListener::bind(("127.0.0.1", 0)))
            .unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move {
            let http = Builder::new(TokioExecutor::new());
            while let Ok((socket, _)) = listener.accept().await {
                // Without it an answer in two parts waits for the client's late acknowledgement.
                socket.set_nodelay(true).unwrap();
                let (http, service, tls) = (http.clone(), service.clone(), tls.clone());
                // A connection that breaks off is the client's concern.
                tokio::spawn(async move {
                    match tls {
                        Some(tls) => {
                            let socket = TokioIo::new(tls.accept(socket).await.ok()?);
                            http.serve_connection(socket, service).await.ok()
                        }
                        None => {
                            let socket = TokioIo::new(socket);
                            http.serve_connection(socket, service).await.ok()
                        }
                    }
                });
            }
        });
        Self {
            address,
            directory,
            _runtime: runtime,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The location of a prefix in its bucket.
    pub fn location(&self, prefix: &str) -> String {
        location(self.address, "bucket", prefix)
    }

    /// Where an object lies.
    pub fn object(&self, key: &str) -> PathBuf {
        self.directory.path().join("bucket").join(key)
    }

    /// Makes another bucket.
    pub fn make_bucket(&self, name: &str) {
        std::fs::create_dir(self.directory.path().join(name)).unwrap();
    }
}

/// The directories of `s3s-fs` are no objects, as they are not in a bucket; and it keeps all storage
/// classes alike.
struct Objects {
    inner: FileSystem,
    directory: PathBuf,
}

impl Objects {
    fn refuse_directory(&self, bucket: &str, key: &str) -> S3Result<()> {
        match self.directory.join(bucket).join(key).is_dir() {
            true => Err(s3_error!(NoSuchKey)),
            false => Ok(()),
        }
    }
}

#[async_trait::async_trait]
impl S3 for Objects {
    async fn put_object(
        &self,
        mut request: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        request.input.storage_class = None;
        self.inner.put_object(request).await
    }

    async fn get_object(
        &self,
        request: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        self.refuse_directory(&request.input.bucket, &request.input.key)?;
        self.inner.get_object(request).await
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        self.refuse_directory(&request.input.bucket, &request.input.key)?;
        self.inner.head_object(request).await
    }

    async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let input = &request.input;
        if self.refuse_directory(&input.bucket, &input.key).is_err() {
            return Ok(S3Response::new(DeleteObjectOutput::default()));
        }
        self.inner.delete_object(request).await
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        self.inner.list_objects_v2(request).await
    }
}

fn tls() -> TlsAcceptor {
    let certificate = include_bytes!("../s3/tls/cert.pem");
    let key = include_bytes!("../s3/tls/key.pem");
    let chain = CertificateDer::pem_slice_iter(certificate).map(Result::unwrap);
    let key = PrivateKeyDer::from_pem_slice(key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.collect(), key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// A prefix of a bucket behind an address.
pub fn location(address: SocketAddr, bucket: &str, prefix: &str) -> String {
    format!("s3://{bucket}/{prefix}?endpoint=http://{address}&region=us-east-1")
}
