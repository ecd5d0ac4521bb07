//! What is known of the vendors, by the host of their endpoints.
//!
//! What all of them are spared: no trailing checksums and no `aws-chunked` bodies (R2 and
//! DigitalOcean refuse them), always a signed payload (B2 and Hetzner insist) with a length
//! (Scaleway insists) and `Content-MD5`, which all of them have checked since the beginning, and no
//! `Accept-Encoding` (Google's front end changes it, and with it what was signed).

use crate::store::s3::location::{Addressing, Endpoint};

/// Puts at once where nothing better is known.
const UPLOADS_MAX: usize = 32;

/// How a vendor is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Vendor {
    /// As people call it.
    pub name: &'static str,
    /// Its hosts are this or end with it after a dot.
    domain: &'static str,
    /// Where its hosts name the region.
    region: RegionPlace,
    /// Where the bucket's name goes.
    pub addressing: Addressing,
    /// Most puts at once.
    pub uploads_max: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RegionPlace {
    /// Nowhere.
    Unknown,
    /// It is always the same.
    Always(&'static str),
    /// Just before the domain.
    BeforeDomain,
}

/// Any other server: MinIO, Ceph, Garage, Wasabi, ...
const OTHER: Vendor = Vendor {
    name: "S3-compatible",
    domain: "",
    region: RegionPlace::Unknown,
    addressing: Addressing::Path,
    uploads_max: UPLOADS_MAX,
};

/// AWS itself; the SDK falls back to paths for names that no host can have.
const AWS: Vendor = Vendor {
    name: "AWS",
    domain: "amazonaws.com",
    addressing: Addressing::Virtual,
    ..OTHER
};

const BACKBLAZE: Vendor = Vendor {
    name: "Backblaze B2",
    domain: "backblazeb2.com",
    region: RegionPlace::BeforeDomain,
    ..OTHER
};

const VENDORS: &[Vendor] = &[
    AWS,
    Vendor {
        domain: "amazonaws.com.cn",
        ..AWS
    },
    BACKBLAZE,
    Vendor {
        name: "Cloudflare R2",
        domain: "r2.cloudflarestorage.com",
        region: RegionPlace::Always("auto"),
        // More at once are throttled.
        uploads_max: 3,
        ..OTHER
    },
    Vendor {
        name: "DigitalOcean Spaces",
        domain: "digitaloceanspaces.com",
        region: RegionPlace::BeforeDomain,
        ..OTHER
    },
    Vendor {
        name: "Scaleway",
        domain: "scw.cloud",
        region: RegionPlace::BeforeDomain,
        ..OTHER
    },
    Vendor {
        name: "Hetzner",
        domain: "your-objectstorage.com",
        region: RegionPlace::BeforeDomain,
        ..OTHER
    },
    Vendor {
        name: "Wasabi",
        domain: "wasabisys.com",
        region: RegionPlace::BeforeDomain,
        ..OTHER
    },
    Vendor {
        name: "Google Cloud Storage",
        domain: "storage.googleapis.com",
        region: RegionPlace::Always("auto"),
        ..OTHER
    },
    Vendor {
        name: "Supabase",
        domain: "supabase.co",
        ..OTHER
    },
];

impl Vendor {
    /// Whose endpoint this is; AWS without one.
    pub fn of(endpoint: Option<&Endpoint>) -> Self {
        let Some(endpoint) = endpoint else {
            return AWS;
        };
        let is_here = |vendor: &&Self| {
            let before = endpoint.host().strip_suffix(vendor.domain);
            before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
        };
        VENDORS.iter().find(is_here).copied().unwrap_or(OTHER)
    }

    /// Whether this is AWS, whose machines have credentials and a region of their own.
    pub fn is_aws(&self) -> bool {
        self.name == AWS.name
    }

    /// Whether `B2_KEY_ID` and `B2_APP_KEY` are meant for it.
    pub fn is_backblaze(&self) -> bool {
        self.name == BACKBLAZE.name
    }

    /// The region that the vendor's host names.
    pub fn region(&self, endpoint: Option<&Endpoint>) -> Option<String> {
        match self.region {
            RegionPlace::Unknown => None,
            RegionPlace::Always(region) => Some(region.to_owned()),
            RegionPlace::BeforeDomain => {
                let before = endpoint?.host().strip_suffix(self.domain)?;
                let region = before.trim_end_matches('.').rsplit('.').next()?;
                (!region.is_empty() && region != "s3").then(|| region.to_owned())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::{Addressing, Vendor};
    use crate::store::s3::location::Endpoint;

    #[test]
    fn vendors_are_known_by_their_hosts() {
        for (text, name, region) in [
            (
                "https://s3.eu-central-003.backblazeb2.com",
                "Backblaze B2",
                Some("eu-central-003"),
            ),
            (
                "https://0123abcd.r2.cloudflarestorage.com",
                "Cloudflare R2",
                Some("auto"),
            ),
            (
                "https://0123abcd.eu.r2.cloudflarestorage.com",
                "Cloudflare R2",
                Some("auto"),
            ),
            (
                "https://nyc3.digitaloceanspaces.com",
                "DigitalOcean Spaces",
                Some("nyc3"),
            ),
            ("https://s3.fr-par.scw.cloud", "Scaleway", Some("fr-par")),
            (
                "https://fsn1.your-objectstorage.com",
                "Hetzner",
                Some("fsn1"),
            ),
            (
                "https://storage.googleapis.com",
                "Google Cloud Storage",
                Some("auto"),
            ),
            (
                "https://ref.storage.supabase.co/storage/v1/s3",
                "Supabase",
                None,
            ),
            ("https://s3.wasabisys.com", "Wasabi", None),
            ("https://s3.eu-west-1.amazonaws.com", "AWS", None),
            ("https://notamazonaws.com", "S3-compatible", None),
            ("http://127.0.0.1:9000", "S3-compatible", None),
        ] {
            let endpoint: Endpoint = text.parse().unwrap();
            let vendor = Vendor::of(Some(&endpoint));
            assert_eq!(vendor.name, name, "{text}");
            assert_eq!(vendor.region(Some(&endpoint)).as_deref(), region, "{text}");
            let expected = match vendor.is_aws() {
                true => Addressing::Virtual,
                false => Addressing::Path,
            };
            assert_eq!(vendor.addressing, expected, "{text}");
        }
        assert!(Vendor::of(None).is_aws());
    }

    #[test]
    fn the_slow_one_gets_few_puts_at_once() {
        let endpoint = "https://a.r2.cloudflarestorage.com".parse().unwrap();
        assert_eq!(Vendor::of(Some(&endpoint)).uploads_max, 3);
    }
}
