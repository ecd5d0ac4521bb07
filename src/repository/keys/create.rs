//! The first keys of a new repository.

use crate::crypto::{Argon2Parameters, KemSecret, SecretKey, SigningKey, Suite};
use crate::env::{Entropy, EntropyError, Timestamp};
use crate::format::certificate::{Capabilities, Certificate, Statement};
use crate::format::document::{DomainPublic, EpochStatement};
use crate::format::envelope::EpochPublic;
use crate::format::keyring::{
    Bundle, CredentialRecord, DomainSecret, EpochSecret, Keyring, RingKey,
};
use crate::format::layout;
use crate::format::slot::{SlotOwner, Unlock};
use crate::id::{DomainTag, EpochTag, ObjectId, RepositoryId, SlotId, WriterId};
use crate::repository::keys::KeyError;
use crate::repository::put_named;
use crate::store::Store;

/// The name of the domain that holds everything unless another is asked for.
pub const DEFAULT_DOMAIN: &str = "main";

/// What `repo init` needs to know about keys.
#[derive(Debug)]
pub struct NewKeys<'a> {
    /// The repository's identity.
    pub repository: RepositoryId,
    /// Its suite.
    pub suite: Suite,
    /// What the first credential is opened with.
    pub unlock: &'a Unlock,
    /// The cost, if that is a passphrase.
    pub cost: Argon2Parameters,
    /// The first credential's name.
    pub label: String,
    /// Now.
    pub created: Timestamp,
    /// Domains whose id keys are taken over; without any there is one new domain.
    pub shared: Vec<SharedDomain>,
}

/// A domain of another repository, as a repository made like it takes it over: what names blobs,
/// and nothing that opens them.
#[derive(Debug, Clone)]
pub struct SharedDomain {
    /// Its name.
    pub name: String,
    /// Its id key.
    pub id_key: SecretKey,
}

impl NewKeys<'_> {
    /// The domains to begin with, the default one first. Tags and epochs are always new: only an
    /// id key may be shared.
    fn domains(
        &self,
        entropy: &dyn Entropy,
    ) -> Result<Vec<(DomainSecret, DomainPublic)>, EntropyError> {
        if self.shared.is_empty() {
            return Ok(vec![new_domain(DEFAULT_DOMAIN, false, entropy)?]);
        }
        let shared = self.shared.iter().map(|shared| {
            let (secret, public) = new_domain(&shared.name, false, entropy)?;
            let id_key = Some(shared.id_key.clone());
            Ok((DomainSecret { id_key, ..secret }, public))
        });
        shared.collect()
    }
}

/// A new epoch of some pair.
pub(super) fn new_epoch(entropy: &dyn Entropy) -> Result<(EpochSecret, EpochPublic), EntropyError> {
    let epoch = EpochTag(entropy.array()?);
    let secret = KemSecret::random(entropy)?;
    let public = secret.public();
    Ok((EpochSecret { epoch, secret }, EpochPublic { epoch, public }))
}

/// A new domain with its first epoch.
pub(super) fn new_domain(
    name: &str,
    erasable: bool,
    entropy: &dyn Entropy,
) -> Result<(DomainSecret, DomainPublic), EntropyError> {
    let (secret, public) = new_epoch(entropy)?;
    let tag = DomainTag(entropy.array()?);
    let domain = DomainSecret {
        tag,
        name: name.to_owned(),
        erasable,
        id_key: Some(SecretKey::random(entropy)?),
        epochs: vec![secret],
    };
    let public = DomainPublic {
        tag,
        current: public,
        erasable,
        erased: false,
    };
    Ok((domain, public))
}

/// A new writer: its signing key and its certificate.
pub(super) fn new_writer(
    repository: RepositoryId,
    capabilities: Capabilities,
    domains: Vec<DomainTag>,
    issued: Timestamp,
    root: &SigningKey,
    entropy: &dyn Entropy,
) -> Result<(WriterId, SecretKey, Certificate), EntropyError> {
    let writer = WriterId(entropy.array()?);
    let (key, certificate) = certify(
        repository,
        writer,
        capabilities,
        domains,
        issued,
        root,
        entropy,
    )?;
    Ok((writer, key, certificate))
}

/// A new signing key for a writer, and its certificate.
pub(super) fn certify(
    repository: RepositoryId,
    writer: WriterId,
    capabilities: Capabilities,
    domains: Vec<DomainTag>,
    issued: Timestamp,
    root: &SigningKey,
    entropy: &dyn Entropy,
) -> Result<(SecretKey, Certificate), EntropyError> {
    let key = SigningKey::random(entropy)?;
    let statement = Statement {
        repository,
        writer,
        public_key: key.verifying_key(),
        capabilities,
        domains,
        issued,
    };
    let certificate = Certificate::issue(statement, root);
    Ok((key.seed().clone(), certificate))
}

/// Makes root, domain, maintenance pair, keyring, statement and the first slot, stores all but the
/// config, and returns the root key that signs it and the slot's id.
pub fn create_keys(
    store: &dyn Store,
    new: &NewKeys<'_>,
    entropy: &dyn Entropy,
) -> Result<(SigningKey, SlotId), KeyError> {
    let root = SigningKey::random(entropy)?;
    let (domains, domains_public) = new.domains(entropy)?.into_iter().unzip();
    let (maintenance, maintenance_public) = new_epoch(entropy)?;
    let ring_key = RingKey {
        generation: 1,
        key: SecretKey::random(entropy)?,
    };
    let (writer, signing, certificate) = new_writer(
        new.repository,
        Capabilities::FULL,
        Vec::new(),
        new.created,
        &root,
        entropy,
    )?;
    let owner = SlotOwner::create(
        new.suite,
        new.repository,
        new.unlock,
        new.cost,
        &root.verifying_key(),
        entropy,
    )?;
    let keyring = Keyring {
        number: 1,
        root: root.seed().clone(),
        domains,
        maintenance: vec![maintenance],
        credentials: vec![CredentialRecord {
            slot: owner.id,
            writer,
            label: new.label.clone(),
            capabilities: Capabilities::FULL,
            domains: Vec::new(),
            created: new.created,
            public: owner.public().clone(),
        }],
    };
    let statement = EpochStatement {
        number: 1,
        created: new.created,
        maintenance: maintenance_public,
        domains: domains_public,
        revoked: Vec::new(),
    };
    let bundle = Bundle {
        label: new.label.clone(),
        writer,
        signing,
        certificate,
        ring: Some(ring_key.clone()),
        domains: Vec::new(),
        maintenance: Vec::new(),
        statement: 1,
    };
    put_ring(
        store,
        &keyring,
        new.suite,
        new.repository,
        &ring_key,
        entropy,
    )?;
    put_statement(store, &statement, &root)?;
    let slot = owner.seal(new.suite, &bundle.encode(), &root, entropy)?;
    put_slot(store, &slot)?;
    Ok((root, owner.id))
}

pub(super) fn put_ring(
    store: &dyn Store,
    ring: &Keyring,
    suite: Suite,
    repository: RepositoryId,
    key: &RingKey,
    entropy: &dyn Entropy,
) -> Result<ObjectId, KeyError> {
    let bytes = ring.seal(suite, repository, key, entropy)?;
    let id = ObjectId(*blake3::hash(&bytes).as_bytes());
    put_named(
        store,
        layout::numbered(layout::RINGS, ring.number, &id),
        &bytes,
    )?;
    Ok(id)
}

/// Returns the bytes that were stored.
pub(super) fn put_statement(
    store: &dyn Store,
    statement: &EpochStatement,
    root: &SigningKey,
) -> Result<Vec<u8>, KeyError> {
    let bytes = statement.encode(root);
    let id = ObjectId(*blake3::hash(&bytes).as_bytes());
    let key = layout::numbered(layout::STATEMENTS, statement.number, &id);
    put_named(store, key, &bytes)?;
    Ok(bytes)
}

pub(super) fn put_slot(store: &dyn Store, bytes: &[u8]) -> Result<ObjectId, KeyError> {
    let id = ObjectId(*blake3::hash(bytes).as_bytes());
    put_named(store, layout::by_content(layout::SLOTS, &id), bytes)?;
    Ok(id)
}
