//! A second S3 server, for what the first does not have: versions, locks, storage classes. `moto`, in
//! Python, a process of its own.
//!
//! Known to differ from real servers: it checks neither signatures nor checksums, lets anybody in
//! without credentials, lets the retention of an object be shortened, and tells times in seconds.

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use tokio::runtime::Runtime;

use super::python::python;
use super::s3_server::{KEY_ID, SECRET, location};

/// A client that may do everything.
pub fn administrator(endpoint: &str, id: &str, secret: &str) -> Client {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .endpoint_url(endpoint)
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new(id, secret, None, None, "test"))
        .force_path_style(true)
        .build();
    Client::from_conf(config)
}

/// The server. Stopped when dropped.
pub struct Moto {
    child: Child,
    address: SocketAddr,
    runtime: Runtime,
    /// What an administrator of the buckets uses.
    pub client: Client,
}

impl Moto {
    /// Starts one without buckets, on a port that was free.
    pub fn start() -> Self {
        let mut child = Command::new(python("import moto.server"))
            .args([
                "-B",
                "-u",
                "-m",
                "moto.server",
                "-H",
                "127.0.0.1",
                "-p",
                "0",
            ])
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| {
                let (_, rest) = line.split_once("Running on http://")?;
                rest.trim().parse::<SocketAddr>().ok()
            })
            .expect("moto says where it listens");
        // What it says of every request must go somewhere.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        Self {
            child,
            address,
            runtime,
            client: administrator(&format!("http://{address}"), KEY_ID, SECRET),
        }
    }

    /// Waits for a call of the administrator.
    pub fn wait<T>(&self, call: impl Future<Output = T>) -> T {
        self.runtime.block_on(call)
    }

    /// Makes a bucket.
    pub fn make_bucket(&self, name: &str) {
        let request = self.client.create_bucket().bucket(name);
        self.wait(request.send()).unwrap();
    }

    /// Makes a bucket that keeps versions.
    pub fn make_versioned_bucket(&self, name: &str) {
        self.make_bucket(name);
        let enabled = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled);
        let request = self.client.put_bucket_versioning().bucket(name);
        let request = request.versioning_configuration(enabled.build());
        self.wait(request.send()).unwrap();
    }

    /// Makes a bucket whose objects can be locked.
    pub fn make_locking_bucket(&self, name: &str) {
        let request = self.client.create_bucket().bucket(name);
        let request = request.object_lock_enabled_for_bucket(true);
        self.wait(request.send()).unwrap();
    }

    /// The location of a prefix.
    pub fn location(&self, bucket: &str, prefix: &str) -> String {
        location(self.address, bucket, prefix)
    }

    /// The keys that a listing of the bucket shows.
    pub fn keys(&self, bucket: &str) -> Vec<String> {
        let pages = self
            .client
            .list_objects_v2()
            .bucket(bucket)
            .into_paginator();
        let pages = self
            .wait(pages.send().collect::<Result<Vec<_>, _>>())
            .unwrap();
        let objects = pages.iter().flat_map(|page| page.contents());
        objects
            .map(|object| object.key().unwrap().to_owned())
            .collect()
    }

    /// How many versions the bucket keeps of objects whose keys begin so, markers not counted.
    pub fn versions(&self, bucket: &str, prefix: &str) -> usize {
        let request = self.client.list_object_versions();
        let answer = self
            .wait(request.bucket(bucket).prefix(prefix).send())
            .unwrap();
        assert_ne!(answer.is_truncated(), Some(true));
        answer.versions().len()
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}
