//! Reads a vector as the spec says: the fields, or the class of the refusal.

use super::describe;
use super::keys::{Keys, array, hex, unhex};
use icecore::codec;
use icecore::crypto::{
    Argon2Parameters, IdKey, KemSecret, Role, SecretBytes, SecretKey, Suite, VerifyingKey,
    derive_role_key, key_commitment, passphrase_key, slot_key_from_secret,
};
use icecore::format::blob::{BlobKind, BlobRow, Codec, Form};
use icecore::format::certificate::CertificateError;
use icecore::format::document::{Config, EpochStatement};
use icecore::format::entry::{decode_entries, decode_first_names};
use icecore::format::envelope::{ObjectType, Unwrapper};
use icecore::format::host_key::HostKey;
use icecore::format::keyring::{Bundle, Keyring, RingKey};
use icecore::format::layout;
use icecore::format::node::Links;
use icecore::format::pack::{OpenedPack, PackError, blob_binding, open_pack};
use icecore::format::protocol::{
    Closed, Condemned, Hide, Hold, HoldReason, Proof, SessionBeat, SessionEnd, SessionOpen, Set,
};
use icecore::format::record::{Record, RecordError};
use icecore::format::segment::decode_segment;
use icecore::format::slot::{Slot, SlotError, Unlock};
use icecore::format::snapshot::{SnapshotBody, SnapshotLabel, SnapshotLinks, SnapshotPlain};
use icecore::format::wire::{FormatError, padded_length};
use icecore::id::{BlobId, RepositoryId, SlotId};
use icecore::limits;
use icecore::store::ObjectKey;
use serde_json::{Value, json};

/// What a vector gives: its fields, or the class of its refusal.
pub type Outcome = Result<Value, String>;

fn format(_: FormatError) -> String {
    "format".into()
}

/// Decodes `bytes` as `structure`.
pub fn vector(structure: &str, input: &Value, bytes: &[u8]) -> Outcome {
    if let Some(name) = input.get("name")
        && *name != blake3::hash(bytes).to_string()
    {
        return Err("identity".into());
    }
    match structure {
        "padding" => Ok(padding(bytes)),
        "layout" => layout_key(bytes),
        "suite" => suite(input, bytes),
        "derivation" => derivation(input, bytes),
        "wrap" => wrap(input, bytes),
        "config" => Config::decode(bytes)
            .map(|c| describe::config(&c))
            .map_err(format),
        "statement" => {
            let statement = EpochStatement::decode(bytes, &VerifyingKey(array(&input["root"])));
            statement.map(|s| describe::statement(&s)).map_err(format)
        }
        "slot" => slot(input, bytes),
        "keyring" => keyring(input, bytes),
        "record" => record(input, bytes),
        "pack" => pack(input, bytes),
        "codec" => codec(input, bytes),
        "links" => Links::decode(bytes)
            .map(|l| describe::links(&l))
            .map_err(format),
        "entries" => decode_entries(bytes)
            .map(|e| describe::entries(&e))
            .map_err(format),
        "names" => {
            let names = decode_first_names(bytes).map_err(format)?;
            Ok(names.iter().map(|name| hex(name)).collect())
        }
        other => panic!("no such structure: {other}"),
    }
}

fn padding(bytes: &[u8]) -> Value {
    let lengths = bytes
        .chunks(8)
        .map(|b| u64::from_le_bytes(b.try_into().unwrap()));
    lengths
        .map(|length| json!([length, padded_length(length)]))
        .collect()
}

fn layout_key(bytes: &[u8]) -> Outcome {
    let refused = || "format".to_owned();
    let text = std::str::from_utf8(bytes).map_err(|_| refused())?;
    let key = ObjectKey::new(text).map_err(|_| refused())?;
    let (name, file) = (key.as_str(), key.file_name());
    let kind = name.split('/').next().unwrap();
    let plain = |id: Result<String, _>, made: String| match id {
        Ok(id) if made == name => Ok(json!({ "kind": kind, "id": id })),
        _ => Err(refused()),
    };
    match kind {
        "config" if name == layout::CONFIG => Ok(json!({ "kind": "config" })),
        "packs" => {
            let (class, id) = layout::parse_pack(name).ok_or_else(refused)?;
            Ok(json!({ "kind": kind, "class": class.name(), "id": id.to_string() }))
        }
        "index" | "snapshots" | "sets" | "proofs" | "holds" => {
            let id = file.parse::<icecore::id::ObjectId>();
            let id = id.map(|id| id.to_string());
            plain(id, format!("{kind}/{file}"))
        }
        "keys" if name.starts_with("keys/slots/") => {
            let id = file.parse::<icecore::id::ObjectId>();
            plain(
                id.map(|id| id.to_string()),
                format!("{}/{file}", layout::SLOTS),
            )
        }
        "keys" => {
            let (number, id) = layout::parse_numbered(file).ok_or_else(refused)?;
            let kinds = [layout::RINGS, layout::STATEMENTS];
            let kind = kinds
                .into_iter()
                .find(|kind| name == layout::numbered(kind, number, &id));
            let kind = kind.ok_or_else(refused)?;
            Ok(json!({ "kind": kind, "number": number, "id": id.to_string() }))
        }
        "sessions" | "gc" => {
            let (id, what) = layout::parse_flag(file).ok_or_else(refused)?;
            match name == format!("{kind}/{id}.{what}") {
                true => Ok(json!({ "kind": kind, "id": id.to_string(), "what": what })),
                false => Err(refused()),
            }
        }
        _ => Err(refused()),
    }
}

fn suite(input: &Value, bytes: &[u8]) -> Outcome {
    let suite = Suite::from_number(input["suite"].as_u64().unwrap() as u8).unwrap();
    let key = SecretKey::from_bytes(array(&input["key"]));
    let (data, tag) = bytes.split_last_chunk::<16>().ok_or("seal")?;
    let mut data = data.to_vec();
    let associated = unhex(&input["associated_data"]);
    suite
        .open(&key, &array(&input["nonce"]), &associated, &mut data, tag)
        .map_err(|_| "seal")?;
    Ok(describe::plain(&data))
}

fn derivation(input: &Value, bytes: &[u8]) -> Outcome {
    let key = SecretKey::from_bytes(array(&input["key"]));
    let roles = Role::ALL.map(|role| hex(derive_role_key(&key, role).expose()));
    let ids = IdKey::new(key.clone());
    let slot = SlotId(array(&input["slot"]));
    let cost = Argon2Parameters {
        memory_kib: 64,
        passes: 3,
        lanes: 1,
    };
    let passphrase = passphrase_key(bytes, &array(&input["salt"]), cost).unwrap();
    Ok(json!({
        "commit": hex(&key_commitment(&key)),
        "roles": roles,
        "chunk_id": ids.blob_id(Role::Chunk, bytes).to_string(),
        "group_id": ids.blob_id(Role::Group, bytes).to_string(),
        "metadata_id": ids.blob_id(Role::NodeLinks, bytes).to_string(),
        "chunker_seed": ids.chunker_seed().to_string(),
        "lineage": hex(&ids.lineage()),
        "slot_key": hex(slot_key_from_secret(&slot, bytes).expose()),
        "argon2id_64_3_1": hex(passphrase.expose()),
    }))
}

fn wrap(input: &Value, bytes: &[u8]) -> Outcome {
    let suite = Suite::from_number(input["suite"].as_u64().unwrap() as u8).unwrap();
    if let Some(host) = input.get("host_key") {
        let host = HostKey::decode(&[&[0; 16][..], &unhex(host)].concat()).map_err(format)?;
        let wrapped = bytes.try_into().map_err(|_| "format")?;
        let key = host.unwrap(suite, &unhex(&input["context"]), wrapped);
        return Ok(json!({ "key": hex(key.map_err(|_| "key")?.expose()) }));
    }
    let secret = KemSecret::from_seed(SecretKey::from_bytes(array(&input["seed"])));
    let wrapped = bytes.try_into().map_err(|_| "format")?;
    let key = secret
        .unwrap(suite, &unhex(&input["context"]), wrapped)
        .map_err(|_| "key")?;
    let public = blake3::hash(secret.public().as_bytes()).to_string();
    Ok(json!({ "key": hex(key.expose()), "public_blake3": public }))
}

fn slot(input: &Value, bytes: &[u8]) -> Outcome {
    let suite = Suite::from_number(input["suite"].as_u64().unwrap() as u8).unwrap();
    let repository = RepositoryId(array(&input["repository"]));
    let unlock = match input.get("passphrase") {
        Some(text) => Unlock::Passphrase(SecretBytes::new(text.as_str().unwrap().into())),
        None => Unlock::Key(SecretBytes::new(unhex(&input["key"]))),
    };
    let slot = Slot::decode(bytes, suite, repository).map_err(format)?;
    let opened = slot.open(&unlock).map_err(|error| match error {
        SlotError::WrongKey(_) | SlotError::Derive(..) => "key",
        SlotError::Changed(_) => "changed",
    })?;
    let bundle = Bundle::decode(opened.bundle.expose()).map_err(format)?;
    Ok(json!({
        "slot": slot.id.to_string(),
        "root": hex(&opened.root.0),
        "bundle": describe::bundle(&bundle),
    }))
}

fn keyring(input: &Value, bytes: &[u8]) -> Outcome {
    let suite = Suite::from_number(input["suite"].as_u64().unwrap() as u8).unwrap();
    let repository = RepositoryId(array(&input["repository"]));
    let ring = RingKey {
        generation: input["generation"].as_u64().unwrap(),
        key: SecretKey::from_bytes(array(&input["key"])),
    };
    let root = VerifyingKey(array(&input["root"]));
    match Keyring::open(bytes, suite, repository, &ring, &root).map_err(format)? {
        Some(keyring) => Ok(describe::keyring(&keyring)),
        None => Err("key".into()),
    }
}

fn record_class(error: RecordError) -> String {
    match error {
        RecordError::Format(_) | RecordError::Certificate(CertificateError::Format(_)) => "format",
        RecordError::Certificate(_) => "rights",
        RecordError::Signature => "signature",
        RecordError::Key(..) => "key",
        RecordError::Seal(_) => "seal",
    }
    .into()
}

fn record(input: &Value, bytes: &[u8]) -> Outcome {
    let keys = Keys::from_json(&input["keys"]);
    let wanted = input["type"].as_str().unwrap();
    let wanted = ObjectType::ALL
        .into_iter()
        .find(|t| t.name() == wanted)
        .unwrap();
    let record = Record::decode(bytes, wanted, &keys.root).map_err(record_class)?;
    let mut parts = serde_json::Map::new();
    for part in &record.parts {
        let content = match record.open_part(part.role, &keys) {
            Ok(content) => part_content(wanted, part.role, &content).map_err(format)?,
            Err(RecordError::Key(_, icecore::format::envelope::UnwrapError::NotARecipient(_))) => {
                Value::Null
            }
            Err(error) => return Err(record_class(error)),
        };
        parts.insert(part.role.number().to_string(), content);
    }
    Ok(json!({
        "id": record.id.to_string(),
        "domain": record.envelope.domain.to_string(),
        "writer": record.authorship.writer.to_string(),
        "session": record.authorship.session.to_string(),
        "statement": record.authorship.statement,
        "created": record.authorship.created.0,
        "capabilities": record.certificate.capabilities().0,
        "plain": plain_content(wanted, &record.plain).map_err(format)?,
        "parts": parts,
    }))
}

fn plain_content(object_type: ObjectType, bytes: &[u8]) -> Result<Value, FormatError> {
    Ok(match object_type {
        ObjectType::Snapshot => describe::snapshot_plain(&SnapshotPlain::decode(bytes)?),
        ObjectType::SessionOpen => describe::session_open(&SessionOpen::decode(bytes)?),
        ObjectType::SessionBeat => describe::session_beat(&SessionBeat::decode(bytes)?),
        ObjectType::SessionEnd => describe::session_end(&SessionEnd::decode(bytes)?),
        ObjectType::Closed => describe::closed(&Closed::decode(bytes)?),
        ObjectType::Condemn | ObjectType::Delete => describe::condemned(&Condemned::decode(bytes)?),
        ObjectType::Hide => describe::hide(&Hide::decode(bytes)?),
        ObjectType::Hold => describe::hold(&Hold::decode(bytes)?),
        _ => describe::plain(bytes),
    })
}

fn part_content(object_type: ObjectType, role: Role, bytes: &[u8]) -> Result<Value, FormatError> {
    Ok(match (object_type, role) {
        (_, Role::SnapshotBody) => describe::snapshot_body(&SnapshotBody::decode(bytes)?),
        (_, Role::SnapshotLinks) => describe::snapshot_links(&SnapshotLinks::decode(bytes)?),
        (_, Role::SnapshotLabel) => describe::snapshot_label(&SnapshotLabel::decode(bytes)?),
        (_, Role::Segment) => describe::segment(&decode_segment(bytes)?),
        (ObjectType::Set, Role::Record) => describe::set(&Set::decode(bytes)?),
        (ObjectType::Proof, Role::Record) => describe::proof(&Proof::decode(bytes)?),
        (ObjectType::Hold, Role::Record) => describe::hold_reason(&HoldReason::decode(bytes)?),
        _ => describe::plain(bytes),
    })
}

/// Opens a pack, then every blob in it, with bases and groups from the same pack. Maintenance sees
/// rows and links only.
fn pack(input: &Value, bytes: &[u8]) -> Outcome {
    let keys = Keys::from_json(&input["keys"]);
    let pack = open_pack(bytes, &keys).map_err(|error| match error {
        PackError::Format(_) => "format",
        PackError::Key(_) => "key",
        PackError::Seal(_) => "seal",
    })?;
    let reader = PackReader {
        bytes,
        pack: &pack,
        keys: &keys,
    };
    let mut rows = Vec::new();
    for row in &pack.rows {
        let mut value = describe::row(row);
        if keys.id_key.is_some() {
            value["content"] = describe::plain(&reader.read(row, limits::DELTA_DEPTH_MAX)?);
        }
        rows.push(value);
    }
    Ok(json!({ "domain": pack.envelope.domain.to_string(), "rows": rows }))
}

struct PackReader<'a> {
    bytes: &'a [u8],
    pack: &'a OpenedPack,
    keys: &'a Keys,
}

impl PackReader<'_> {
    fn find(&self, id: BlobId, kind: BlobKind, depth: u32) -> Result<Vec<u8>, String> {
        let depth = depth.checked_sub(1).ok_or("depth")?;
        let fits = |row: &&BlobRow| row.id == id && row.kind == kind;
        let row = self.pack.rows.iter().find(fits).ok_or("missing")?;
        self.read(row, depth)
    }

    fn read(&self, row: &BlobRow, depth: u32) -> Result<Vec<u8>, String> {
        let plain = match row.form {
            Form::Member { group } => {
                let group = self.find(group, BlobKind::Group, depth)?;
                let start = row.offset as usize;
                let member = group.get(start..start + row.plain as usize);
                member.ok_or("identity")?.to_vec()
            }
            Form::Full => self.open(row, None)?,
            Form::Delta { base, .. } => {
                let base = self.find(base, row.kind, depth)?;
                self.open(row, Some(&base))?
            }
        };
        let ids = self.keys.id_key.as_ref().unwrap();
        match ids.blob_id(row.kind.role(), &plain) == row.id {
            true => Ok(plain),
            false => Err("identity".into()),
        }
    }

    fn open(&self, row: &BlobRow, base: Option<&[u8]>) -> Result<Vec<u8>, String> {
        let envelope = &self.pack.envelope;
        let key = self
            .keys
            .unwrap(envelope, &envelope.keys[usize::from(row.key)])
            .map_err(|_| "key")?;
        let mut sealed = self.bytes[row.offset as usize..][..row.stored as usize].to_vec();
        let encoded = blob_binding(envelope, row)
            .open_in_place(&key, &mut sealed)
            .map_err(|_| "seal")?;
        codec::decode(row.codec, encoded, row.plain as usize, base).map_err(|_| "codec".into())
    }
}

fn codec(input: &Value, bytes: &[u8]) -> Outcome {
    let codec = match input["codec"].as_u64().unwrap() {
        0 => Codec::Raw,
        1 => Codec::Zstd,
        2 => Codec::ZstdPrefix,
        3 => Codec::ZstdUnits,
        other => panic!("codec {other}"),
    };
    let base = input.get("base").map(stream);
    let length = input["plain_length"].as_u64().unwrap() as usize;
    let plain = codec::decode(codec, bytes, length, base.as_deref()).map_err(|_| "codec")?;
    Ok(describe::plain(&plain))
}

/// Bytes that anyone can make: the first `length` of BLAKE3's output stream over `seed`.
pub fn stream(value: &Value) -> Vec<u8> {
    let mut bytes = vec![0; value["length"].as_u64().unwrap() as usize];
    let mut hasher = blake3::Hasher::new();
    hasher.update(value["seed"].as_str().unwrap().as_bytes());
    hasher.finalize_xof().fill(&mut bytes);
    bytes
}
