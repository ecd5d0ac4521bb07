//! Bytes to and from a bucket, and that they are the same at both ends.
//!
//! Up: the body is in memory, so its length, its SHA-256 (in the signature) and its MD5
//! (`Content-MD5`) go in front of it, and a server takes nothing else. Its BLAKE3 is kept with the
//! object. Down: a whole object is compared with that; a range is counted, and judged by the layers
//! above, which open no blob that does not fit its seal and its name.

use crate::store::s3::error::{Failure, root_cause};
use crate::store::s3::{S3Store, lock};
use crate::store::{ObjectError, ObjectKey, StoreErrorKind, is_under};
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::StorageClass;
use md5::{Digest, Md5};

/// Where an object's own checksum is kept: `x-amz-meta-icecore-blake3`.
const CHECKSUM: &str = "icecore-blake3";

/// Readings of an object that does not fit its checksum before it is given out all the same.
const READINGS: u32 = 3;

/// Part of a buffer that is made before its bytes have come.
const RESERVE_MAX: usize = 64 << 20;

impl S3Store {
    pub(super) async fn upload(&self, key: &ObjectKey, bytes: &[u8]) -> Result<(), Failure> {
        self.upload_unless(key, bytes, None).await
    }

    /// Uploads; with `unless`, under that `If-None-Match`.
    pub(super) async fn upload_unless(
        &self,
        key: &ObjectKey,
        bytes: &[u8],
        unless: Option<&str>,
    ) -> Result<(), Failure> {
        let permit = self.uploads.acquire().await;
        let _permit = permit.map_err(|error| Failure::new(StoreErrorKind::Unavailable, error))?;
        let md5 = Md5::digest(bytes);
        let class = self.location.storage_class.as_deref();
        let is_classed = |prefix: &String| is_under(key.as_str(), prefix);
        let class = class.filter(|_| self.classed.iter().any(is_classed));
        let request = self.client.put_object();
        let request = request.bucket(&self.location.bucket);
        let request = request.key(self.path(key.as_str()));
        let (mode, until) = self.lock_of_new(key).unzip();
        let is_locked = mode.is_some();
        let answer = request
            .set_object_lock_mode(mode)
            .set_object_lock_retain_until_date(until)
            .content_md5(aws_smithy_types::base64::encode(md5))
            .metadata(CHECKSUM, blake3::hash(bytes).to_hex().as_str())
            .set_storage_class(class.map(StorageClass::from))
            .set_if_none_match(unless.map(str::to_owned))
            .body(ByteStream::from(bytes.to_vec()))
            .send()
            .await;
        let answer = answer.map(drop).map_err(Failure::of_request);
        answer.map_err(|failure| match is_locked {
            true => lock::explained(failure),
            false => failure,
        })
    }

    /// Reads an object and compares it with its checksum. One that stays the same without fitting
    /// was changed where it lies: what it is still worth is known above.
    pub(super) fn read_whole(&self, key: &ObjectKey, limit: usize) -> Result<Vec<u8>, Failure> {
        self.read_whole_version(key, None, limit)
    }

    /// The same of an earlier version.
    pub(super) fn read_whole_version(
        &self,
        key: &ObjectKey,
        version: Option<&str>,
        limit: usize,
    ) -> Result<Vec<u8>, Failure> {
        let mut before: Option<Vec<u8>> = None;
        for _ in 0..READINGS {
            let download = self.download(key, version, limit);
            let (bytes, fits) = self.run(limit.min(RESERVE_MAX), download)?;
            if fits || before.as_ref() == Some(&bytes) {
                return Ok(bytes);
            }
            before = Some(bytes);
        }
        Err(Failure::transient("every reading gives other bytes"))
    }

    async fn download(
        &self,
        key: &ObjectKey,
        version: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<u8>, bool), Failure> {
        let mut answer = self.request(key, version, None).await?;
        let told = answer
            .content_length()
            .and_then(|told| u64::try_from(told).ok());
        if let Some(size) = told {
            ObjectError::check_limit(size, limit)?;
        }
        let expected = told.and_then(|size| usize::try_from(size).ok());
        let mut bytes = Vec::with_capacity(expected.unwrap_or(0).min(RESERVE_MAX));
        while let Some(part) = answer.body.next().await {
            bytes.extend_from_slice(&part.map_err(broken)?);
            ObjectError::check_limit(bytes.len() as u64, limit)?;
        }
        if let Some(expected) = expected
            && bytes.len() != expected
        {
            return Err(cut_off(bytes.len(), expected));
        }
        let kept = answer
            .metadata()
            .and_then(|metadata| metadata.get(CHECKSUM));
        let fits = kept.is_none_or(|kept| kept == blake3::hash(&bytes).to_hex().as_str());
        Ok((bytes, fits))
    }

    pub(super) fn read_range(
        &self,
        key: &ObjectKey,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<(), Failure> {
        let length = buffer.len();
        let last = (length as u64)
            .checked_sub(1)
            .and_then(|more| offset.checked_add(more));
        // No request can ask for nothing, or for what no object has.
        let Some(last) = last.filter(|last| i64::try_from(*last).is_ok()) else {
            return self.check_range(key, offset, length);
        };
        let reading = self.download_range(key, None, (offset, last), buffer);
        match self.run(length, reading) {
            // 416: none of it is there.
            Err(failure) if failure.kind == StoreErrorKind::BadLength => {
                self.check_range(key, offset, length)?;
                Err(failure)
            }
            result => result,
        }
    }

    /// Reads a range, not empty and known to be there, of an earlier version.
    pub(super) fn read_range_of_version(
        &self,
        key: &ObjectKey,
        version: Option<&str>,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<(), Failure> {
        let length = buffer.len();
        let last = offset.saturating_add(length as u64).saturating_sub(1);
        self.run(
            length,
            self.download_range(key, version, (offset, last), buffer),
        )
    }

    fn check_range(&self, key: &ObjectKey, offset: u64, length: usize) -> Result<(), Failure> {
        let size = self.run(0, self.head(key))?.size;
        Ok(ObjectError::check_range(size, offset, length)?)
    }

    /// Reads from the first to the last byte of a span.
    async fn download_range(
        &self,
        key: &ObjectKey,
        version: Option<&str>,
        (offset, last): (u64, u64),
        buffer: &mut [u8],
    ) -> Result<(), Failure> {
        let range = format!("bytes={offset}-{last}");
        let mut answer = self.request(key, version, Some(range)).await?;
        match answer.content_range().map(Span::parse) {
            Some(Some(span)) => {
                if let Some(size) = span.size {
                    ObjectError::check_range(size, offset, buffer.len())?;
                }
                if (span.first, span.last) != (offset, last) {
                    return Err(Failure::transient(
                        "the answer is another range than was asked for",
                    ));
                }
            }
            Some(None) => {
                return Err(Failure::transient(
                    "the answer does not say which range it is",
                ));
            }
            // Some servers give a whole object as what it is.
            None if offset == 0 && answer.content_length() == i64::try_from(buffer.len()).ok() => {}
            None => {
                return Err(Failure::new(
                    StoreErrorKind::Unavailable,
                    "the server gives no ranges of objects",
                ));
            }
        }
        let length = buffer.len();
        let mut filled = 0;
        while let Some(part) = answer.body.next().await {
            let part = part.map_err(broken)?;
            let room = buffer.get_mut(filled..filled + part.len());
            let room =
                room.ok_or_else(|| Failure::transient("the answer is longer than was asked for"))?;
            room.copy_from_slice(&part);
            filled += part.len();
        }
        match filled == length {
            true => Ok(()),
            false => Err(cut_off(filled, length)),
        }
    }

    async fn request(
        &self,
        key: &ObjectKey,
        version: Option<&str>,
        range: Option<String>,
    ) -> Result<GetObjectOutput, Failure> {
        let request = self.client.get_object();
        let request = request.bucket(&self.location.bucket);
        let request = request.key(self.path(key.as_str()));
        let request = request.set_version_id(version.map(str::to_owned));
        let answer = request.set_range(range).send().await;
        answer.map_err(|error| {
            let is_outside = error
                .raw_response()
                .is_some_and(|raw| raw.status().as_u16() == 416);
            match is_outside {
                true => Failure::new(StoreErrorKind::BadLength, "the object ends before that"),
                false => Failure::of_request(error),
            }
        })
    }
}

/// `bytes FIRST-LAST/SIZE`.
struct Span {
    first: u64,
    last: u64,
    size: Option<u64>,
}

impl Span {
    fn parse(text: &str) -> Option<Self> {
        let (span, size) = text.strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = span.split_once('-')?;
        Some(Self {
            first: first.parse().ok()?,
            last: last.parse().ok()?,
            size: size.parse().ok(),
        })
    }
}

fn broken(error: aws_sdk_s3::primitives::ByteStreamError) -> Failure {
    Failure::transient(format!("the answer broke off: {}", root_cause(&error)))
}

fn cut_off(got: usize, expected: usize) -> Failure {
    Failure::transient(format!("the answer ended after {got} of {expected} bytes"))
}
