//! Decoded values as JSON: what a good vector's file states.

use super::keys::hex;
use icecore::entry::{EntryKind, Fact, Facts};
use icecore::format::blob::{BlobKind, BlobRow, Codec, Form};
use icecore::format::certificate::Certificate;
use icecore::format::document::{Config, EpochStatement};
use icecore::format::entry::{Condition, TreeEntry};
use icecore::format::envelope::EpochPublic;
use icecore::format::keyring::{Bundle, DomainSecret, EpochSecret, Keyring};
use icecore::format::node::{Child, Links, NodeKind};
use icecore::format::protocol::{
    Closed, Condemned, Hide, Hold, HoldReason, Proof, ProofKind, SessionBeat, SessionEnd,
    SessionKind, SessionOpen, Set,
};
use icecore::format::segment::PackRows;
use icecore::format::snapshot::{SnapshotBody, SnapshotLabel, SnapshotLinks, SnapshotPlain};
use serde_json::{Value, json};
use std::fmt::Display;

fn texts<T: Display>(values: &[T]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

/// A plaintext: its length and hash, and itself while it is short.
pub fn plain(bytes: &[u8]) -> Value {
    match bytes.len() {
        0..=64 => json!({ "length": bytes.len(), "hex": hex(bytes) }),
        length => json!({ "length": length, "blake3": blake3::hash(bytes).to_string() }),
    }
}

fn public(key: &EpochPublic) -> Value {
    let hash = blake3::hash(key.public.as_bytes()).to_string();
    json!({ "epoch": key.epoch.to_string(), "public_blake3": hash })
}

pub fn config(config: &Config) -> Value {
    json!({
        "repository": config.repository.to_string(),
        "suite": config.suite,
        "created": config.created.0,
        "root": hex(&config.root.0),
        "chunks": config.chunks,
        "settle_milliseconds": config.settle_milliseconds,
    })
}

pub fn statement(statement: &EpochStatement) -> Value {
    let domains = statement.domains.iter().map(|domain| {
        json!({
            "tag": domain.tag.to_string(),
            "current": public(&domain.current),
            "erasable": domain.erasable,
            "erased": domain.erased,
        })
    });
    json!({
        "number": statement.number,
        "created": statement.created.0,
        "maintenance": public(&statement.maintenance),
        "domains": domains.collect::<Vec<_>>(),
        "revoked": texts(&statement.revoked),
    })
}

pub fn certificate(certificate: &Certificate) -> Value {
    json!({
        "writer": certificate.writer().to_string(),
        "public_key": hex(&certificate.public_key().0),
        "capabilities": certificate.capabilities().0,
    })
}

fn epochs(epochs: &[EpochSecret]) -> Vec<Value> {
    let one = |epoch: &EpochSecret| json!({ "epoch": epoch.epoch.to_string(), "seed": hex(epoch.secret.seed().expose()) });
    epochs.iter().map(one).collect()
}

fn domains(domains: &[DomainSecret]) -> Vec<Value> {
    let one = |domain: &DomainSecret| {
        json!({
            "tag": domain.tag.to_string(),
            "name": domain.name,
            "erasable": domain.erasable,
            "id_key": domain.id_key.as_ref().map(|key| hex(key.expose())),
            "epochs": epochs(&domain.epochs),
        })
    };
    domains.iter().map(one).collect()
}

pub fn bundle(bundle: &Bundle) -> Value {
    let ring = bundle.ring.as_ref();
    let ring =
        ring.map(|ring| json!({ "generation": ring.generation, "key": hex(ring.key.expose()) }));
    json!({
        "label": bundle.label,
        "writer": bundle.writer.to_string(),
        "signing": hex(bundle.signing.expose()),
        "certificate": certificate(&bundle.certificate),
        "ring": ring,
        "domains": domains(&bundle.domains),
        "maintenance": epochs(&bundle.maintenance),
        "statement": bundle.statement,
    })
}

pub fn keyring(keyring: &Keyring) -> Value {
    let credentials = keyring.credentials.iter().map(|credential| {
        json!({
            "slot": credential.slot.to_string(),
            "writer": credential.writer.to_string(),
            "label": credential.label,
            "capabilities": credential.capabilities.0,
            "domains": texts(&credential.domains),
            "created": credential.created.0,
            "public_blake3": blake3::hash(credential.public.as_bytes()).to_string(),
        })
    });
    json!({
        "number": keyring.number,
        "root": hex(keyring.root.expose()),
        "domains": domains(&keyring.domains),
        "maintenance": epochs(&keyring.maintenance),
        "credentials": credentials.collect::<Vec<_>>(),
    })
}

pub fn row(row: &BlobRow) -> Value {
    let kind = match row.kind {
        BlobKind::Chunk => "chunk",
        BlobKind::Group => "group",
        BlobKind::NodeBody => "node-body",
        BlobKind::NodeLinks => "node-links",
    };
    let form = match row.form {
        Form::Full => "full",
        Form::Delta { .. } => "delta",
        Form::Member { .. } => "member",
    };
    let codec = match row.codec {
        Codec::Raw => 0,
        Codec::Zstd => 1,
        Codec::ZstdPrefix => 2,
        Codec::ZstdUnits => 3,
    };
    json!({
        "id": row.id.to_string(),
        "kind": kind,
        "form": form,
        "codec": codec,
        "key": row.key,
        "generation": row.form.generation(),
        "offset": row.offset,
        "stored": row.stored,
        "plain": row.plain,
        "base": row.form.base().map(|base| base.to_string()),
    })
}

pub fn segment(packs: &[PackRows]) -> Value {
    let one = |pack: &PackRows| {
        json!({
            "pack": pack.pack.to_string(),
            "class": pack.class.name(),
            "length": pack.length,
            "author": pack.author.to_string(),
            "rows": pack.rows.iter().map(row).collect::<Vec<_>>(),
        })
    };
    packs.iter().map(one).collect()
}

pub fn links(links: &Links) -> Value {
    let kind = match links.kind {
        NodeKind::Directory => "directory",
        NodeKind::DirectoryIndex => "directory-index",
        NodeKind::Content => "content",
    };
    let child = |child: &Child| match child {
        Child::Nothing => json!(["nothing"]),
        Child::Chunk { id, length } => json!(["chunk", length, id.to_string()]),
        Child::Hole { length } => json!(["hole", length]),
        Child::Links { id, length } => json!(["links", length, id.to_string()]),
    };
    json!({
        "kind": kind,
        "height": links.height,
        "body": links.body.to_string(),
        "children": links.children.iter().map(child).collect::<Vec<_>>(),
    })
}

pub fn entries(entries: &[TreeEntry]) -> Value {
    entries.iter().map(entry).collect()
}

fn entry(tree_entry: &TreeEntry) -> Value {
    let (entry, metadata) = (&tree_entry.entry, &tree_entry.entry.metadata);
    let kind = match &entry.kind {
        EntryKind::Directory => json!(["directory"]),
        EntryKind::File { size } => json!(["file", size]),
        EntryKind::Symlink { target } => json!(["symlink", hex(target)]),
        EntryKind::Fifo => json!(["fifo"]),
        EntryKind::Socket => json!(["socket"]),
        EntryKind::CharDevice { major, minor } => json!(["character-device", major, minor]),
        EntryKind::BlockDevice { major, minor } => json!(["block-device", major, minor]),
    };
    let xattrs = metadata.xattrs.iter();
    let xattrs: Vec<_> = xattrs
        .map(|(name, value)| json!([hex(name), hex(value)]))
        .collect();
    let condition = match tree_entry.condition {
        Condition::Whole => "whole",
        Condition::Torn => "torn",
        Condition::Suspect => "suspect",
    };
    json!({
        "name": hex(&entry.name),
        "kind": kind,
        "mode": metadata.mode,
        "uid": metadata.uid,
        "gid": metadata.gid,
        "user": metadata.user,
        "group": metadata.group,
        "modified": metadata.modified.0,
        "xattrs": xattrs,
        "hard_link": metadata.hard_link.map(|link| [link.device, link.inode]),
        "condition": condition,
    })
}

pub fn snapshot_plain(plain: &SnapshotPlain) -> Value {
    json!({ "heads": texts(&plain.heads) })
}

pub fn snapshot_links(links: &SnapshotLinks) -> Value {
    json!({ "root": links.root.to_string() })
}

pub fn snapshot_label(label: &SnapshotLabel) -> Value {
    let totals = &label.totals;
    json!({
        "source": label.source,
        "host": label.host,
        "captured": label.captured.0,
        "tags": label.tags,
        "set": label.set.to_string(),
        "parent": label.parent.map(|parent| parent.to_string()),
        "job": label.job,
        "complete": label.complete,
        "suspect": label.suspect,
        "totals": [
            totals.files, totals.directories, totals.bytes, totals.chunks, totals.chunks_new,
            totals.chunks_delta, totals.bytes_new, totals.bytes_stored, totals.milliseconds,
        ],
        "checked": label.checked,
    })
}

pub fn snapshot_body(body: &SnapshotBody) -> Value {
    let roots = body
        .roots
        .iter()
        .map(|(name, path)| json!([hex(name), hex(path)]));
    let fact = |fact: Fact| serde_json::to_value(fact).unwrap();
    let facts = body.facts.iter().map(|(path, facts)| {
        let facts: Facts = facts.clone().into();
        let values = facts.into_iter().map(|(key, value)| (key, fact(value)));
        json!([hex(path), values.collect::<serde_json::Map<_, _>>()])
    });
    let exclusions = body
        .exclusions
        .iter()
        .map(|(path, rule, reason, bytes, files)| json!([hex(path), rule, reason, bytes, files]));
    let problems = body
        .problems
        .iter()
        .map(|(path, text)| json!([hex(path), text]));
    json!({
        "roots": roots.collect::<Vec<_>>(),
        "facts": facts.collect::<Vec<_>>(),
        "exclusions": exclusions.collect::<Vec<_>>(),
        "problems": problems.collect::<Vec<_>>(),
        "labels": body.labels,
        "program": body.program,
        "user": body.user,
    })
}

pub fn session_open(open: &SessionOpen) -> Value {
    let kind = match open.kind {
        SessionKind::Write => "write",
        SessionKind::Prune => "prune",
    };
    json!({ "kind": kind })
}

pub fn session_beat(beat: &SessionBeat) -> Value {
    json!({ "number": beat.number })
}

pub fn session_end(end: &SessionEnd) -> Value {
    json!({ "commits": texts(&end.commits) })
}

pub fn closed(closed: &Closed) -> Value {
    json!({ "session": closed.session.to_string(), "commits": texts(&closed.commits) })
}

pub fn condemned(condemned: &Condemned) -> Value {
    json!({
        "packs": texts(&condemned.packs),
        "segments": texts(&condemned.segments),
        "snapshots": texts(&condemned.snapshots),
    })
}

pub fn hide(hide: &Hide) -> Value {
    json!({
        "snapshots": texts(&hide.snapshots),
        "hidden": hide.hidden,
        "after": texts(&hide.after),
    })
}

pub fn set(set: &Set) -> Value {
    json!({
        "id": set.id.to_string(),
        "snapshots": texts(&set.snapshots),
        "complete": set.complete,
    })
}

pub fn proof(proof: &Proof) -> Value {
    let kind = match proof.kind {
        ProofKind::ReadData => "read-data",
        ProofKind::Structure => "structure",
        ProofKind::Drill => "drill",
    };
    let packs = proof.packs.iter();
    let packs = packs.map(|(pack, rows)| [pack.to_string(), rows.to_string()]);
    json!({
        "kind": kind,
        "finished": proof.finished.0,
        "packs": packs.collect::<Vec<_>>(),
        "snapshots": texts(&proof.snapshots),
        "milliseconds": proof.milliseconds,
        "remark": proof.remark,
    })
}

pub fn hold(hold: &Hold) -> Value {
    json!({
        "snapshot": hold.snapshot.to_string(),
        "until": hold.until.map(|until| until.0),
        "releases": hold.releases.map(|hold| hold.to_string()),
    })
}

pub fn hold_reason(reason: &HoldReason) -> Value {
    json!({ "reason": reason.reason })
}
