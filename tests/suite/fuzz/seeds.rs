//! Where the fuzzing starts: the vectors of the format, and good objects made here.

use crate::support::library;
use crate::support::tree::{self, Tree};
use icecore::codec::{Compressor, Effort, encode_units};
use icecore::crypto::{KemSecret, SecretKey, SigningKey};
use icecore::env::{SystemEntropy, Timestamp};
use icecore::format::blob::{BlobKind, BlobRow, Codec, Form, encode_rows};
use icecore::format::certificate::{Capabilities, Certificate, Statement};
use icecore::format::document::{Config, DomainPublic, EpochStatement};
use icecore::format::entry::encode_first_names;
use icecore::format::envelope::EpochPublic;
use icecore::format::keyring::{DomainSecret, EpochSecret, Keyring};
use icecore::format::layout;
use icecore::format::pack::PackClass;
use icecore::format::protocol::{
    Closed, Condemned, Hide, Hold, HoldReason, Proof, ProofKind, SessionBeat, SessionEnd,
    SessionKind, SessionOpen, Set,
};
use icecore::format::segment::{PackRows, encode_segment};
use icecore::format::snapshot::{SnapshotLinks, SnapshotPlain};
use icecore::format::wire::to_cbor;
use icecore::id::{
    BlobId, DomainTag, EpochTag, ObjectId, PackId, RepositoryId, SegmentId, SessionId, SetId,
    SnapshotId, WriterId,
};
use icecore::store::MemoryStore;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

const NOW: Timestamp = Timestamp(1_793_502_000_500_000_000);

/// The seeds of one body.
pub fn of(name: &str) -> Vec<Vec<u8>> {
    let texts = |all: &[&str]| all.iter().map(|text| text.as_bytes().to_vec()).collect();
    match name {
        "certificate" => vec![certificate().encode()],
        "codec" => codecs(),
        "config" => [vectors(&["config"]), vec![to_cbor(&config())]].concat(),
        "dotenv" => texts(&[
            "A=1\nexport B='two words'\n# no\nC=\"x\\n\\\"y\\\"\" # tail\n\nD=\n",
            "KEY=-----BEGIN\r\nE='a\nb'\r\nF.G-H=caf\u{e9}",
        ]),
        "entries" => vectors(&["entries"]),
        "envelope" => vectors(&["pack", "record", "snapshot", "segment"]),
        "exclude" => texts(&[
            "# reason: caches\n*.tmp\n!keep.tmp\n/srv/**/x/\n\na/b/keep.tmp",
            "node_modules/\n[a-z]?{one,two}\\*  # why\n./rel/ative",
        ]),
        "first_names" => [
            vectors(&["names"]),
            vec![encode_first_names(&[b"a".to_vec(), b"b".to_vec()])],
        ]
        .concat(),
        "keyring" => [vectors(&["keyring"]), vec![to_cbor(&keyring())]].concat(),
        "links" => vectors(&["links"]),
        "names_of_objects" => [names(), vectors(&["layout"])].concat(),
        "pack" => [vectors(&["pack"]), vec![table(&rows())]].concat(),
        "protocol" => protocol(),
        "record" => vectors(&["record", "snapshot", "segment", "session", "gc"]),
        "restore_paths" => texts(&["a", "..", "etc/passwd", ".", "a..b"])
            .into_iter()
            .chain([
                b"srv\xffapp\xff..\xffdata".to_vec(),
                b"a\xff\xffb\0".to_vec(),
            ])
            .collect(),
        "retention" => vec![
            (0..7 + 6 * 40u32).map(|n| (n * 37 % 251) as u8).collect(),
            [vec![1, 0, 0, 0, 0, 0, 0], vec![10, 0, 0, 0, 8, 0]].concat(),
        ],
        "rows" => vec![table(&rows()), vec![0; 4]],
        "segment" => vec![segment()],
        "selector" => texts(&[
            "latest",
            "latest~2",
            "3fa2b1c0",
            "@2026-11-01T03:00+06:00",
            "@03:01:app.db",
            "latest:srv/a:b",
            "tag=value",
            "writer,host,source",
        ]),
        "slot" => vectors(&["slot"]),
        "snapshot" => snapshots(),
        "statement" => [vectors(&["statement"]), vec![to_cbor(&statement())]].concat(),
        "tampered" => vec![vec![0, 1, 2, 0, 0, 9], vec![1, 0, 1, 0, 0, 128]],
        "units" => texts(&[
            "10GiB",
            "1.5 MB/s",
            "1y2mo3d",
            "90s",
            "12.5%",
            "30d",
            "18446744073709551615",
        ]),
        other => panic!("{other} has no seeds"),
    }
}

/// The vectors of these structures, good and bad.
fn vectors(structures: &[&str]) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("format-spec/vectors");
    let mut found = Vec::new();
    for structure in structures {
        let files = std::fs::read_dir(folder.join(structure)).expect(structure);
        let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        paths.sort();
        let is_vector = |path: &&std::path::PathBuf| path.extension().unwrap() == "bin";
        found.extend(
            paths
                .iter()
                .filter(is_vector)
                .map(|path| std::fs::read(path).unwrap()),
        );
    }
    found
}

fn certificate() -> Certificate {
    let root = SigningKey::random(&SystemEntropy).unwrap();
    let statement = Statement {
        repository: RepositoryId([1; 16]),
        writer: WriterId([5; 16]),
        public_key: root.verifying_key(),
        capabilities: Capabilities::FULL,
        domains: vec![DomainTag([2; 16])],
        issued: NOW,
    };
    Certificate::issue(statement, &root)
}

fn codecs() -> Vec<Vec<u8>> {
    let plain = b"some text and some more text ".repeat(300);
    let mut base = plain.clone();
    base[4000] ^= 1;
    let framed = |codec: u8, base: &[u8], encoded: &[u8]| {
        let length = (plain.len() as u32).to_le_bytes();
        let base_length = (base.len() as u16).to_le_bytes();
        [&[codec], &length[..], &base_length, base, encoded].concat()
    };
    let mut compressed = Vec::new();
    assert!(Compressor::new(Effort::Auto).compress(&plain, &mut compressed));
    let units = encode_units(&plain, &base, 3).unwrap();
    vec![
        framed(0, &[], &plain),
        framed(1, &[], &compressed),
        framed(2, &base, &compressed),
        framed(3, &base, &units),
    ]
}

fn config() -> Config {
    Config {
        repository: RepositoryId([1; 16]),
        suite: 1,
        created: NOW,
        root: certificate().public_key(),
        chunks: [65_536, 262_144, 1_048_576, 262_144],
        settle_milliseconds: 0,
    }
}

fn epoch() -> EpochPublic {
    EpochPublic {
        epoch: EpochTag([3; 16]),
        public: KemSecret::from_seed(SecretKey::from_bytes([4; 32])).public(),
    }
}

fn statement() -> EpochStatement {
    EpochStatement {
        number: 3,
        created: NOW,
        maintenance: epoch(),
        domains: vec![DomainPublic {
            tag: DomainTag([2; 16]),
            current: epoch(),
            erasable: true,
            erased: false,
        }],
        revoked: vec![WriterId([9; 16])],
    }
}

fn keyring() -> Keyring {
    let epoch = || EpochSecret {
        epoch: EpochTag([3; 16]),
        secret: KemSecret::from_seed(SecretKey::from_bytes([4; 32])),
    };
    Keyring {
        number: 2,
        root: SecretKey::from_bytes([8; 32]),
        domains: vec![DomainSecret {
            tag: DomainTag([2; 16]),
            name: "main".into(),
            erasable: false,
            id_key: Some(SecretKey::from_bytes([6; 32])),
            epochs: vec![epoch()],
        }],
        maintenance: vec![epoch()],
        credentials: Vec::new(),
    }
}

fn names() -> Vec<Vec<u8>> {
    let id = ObjectId([0xab; 32]);
    [
        layout::pack(PackClass::Full, &PackId([0xab; 32])),
        format!("{:016x}-{id}", 77),
        format!("{}.beat.7", SessionId([0xcd; 16])),
        layout::by_content(layout::HOLDS, &id),
        "../x".into(),
    ]
    .map(String::into_bytes)
    .to_vec()
}

fn rows() -> Vec<BlobRow> {
    // Behind the envelope of the fuzz fixture: its blobs are 4096 bytes long.
    let row = BlobRow {
        id: BlobId([7; 32]),
        kind: BlobKind::Chunk,
        form: Form::Full,
        codec: Codec::Raw,
        key: 0,
        offset: 0,
        stored: 1040,
        plain: 1000,
    };
    let delta = Form::Delta {
        base: BlobId([1; 32]),
        generation: 3,
    };
    let member = Form::Member {
        group: BlobId([2; 32]),
    };
    vec![
        row,
        BlobRow {
            form: delta,
            codec: Codec::ZstdUnits,
            stored: 90,
            offset: 1040,
            ..row
        },
        BlobRow {
            form: member,
            stored: 0,
            offset: 5,
            ..row
        },
    ]
}

fn table(rows: &[BlobRow]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_rows(rows, &mut out);
    out
}

fn segment() -> Vec<u8> {
    let pack = |number| PackRows {
        pack: PackId([number; 32]),
        class: PackClass::Delta,
        length: 1 << 20,
        author: WriterId([5; 16]),
        rows: rows(),
    };
    encode_segment(&[pack(1), pack(2)])
}

fn protocol() -> Vec<Vec<u8>> {
    let (session, snapshots) = (SessionId([1; 16]), vec![SnapshotId([2; 32])]);
    let commits = vec![ObjectId([3; 32])];
    let proof = Proof {
        kind: ProofKind::ReadData,
        finished: NOW,
        packs: vec![(PackId([4; 32]), ObjectId([5; 32]))],
        snapshots: snapshots.clone(),
        milliseconds: 900,
        remark: "fine".into(),
    };
    let hold = Hold {
        snapshot: SnapshotId([2; 32]),
        until: Some(NOW),
        releases: None,
    };
    vec![
        SessionOpen {
            kind: SessionKind::Prune,
        }
        .encode(),
        SessionBeat { number: 300 }.encode(),
        SessionEnd {
            commits: commits.clone(),
        }
        .encode(),
        Closed {
            session,
            commits: commits.clone(),
        }
        .encode(),
        Condemned {
            packs: vec![PackId([6; 32])],
            segments: vec![SegmentId([7; 32])],
            snapshots: snapshots.clone(),
        }
        .encode(),
        Hide {
            snapshots: snapshots.clone(),
            hidden: true,
            after: commits,
        }
        .encode(),
        Set {
            id: SetId([8; 16]),
            snapshots,
            complete: true,
        }
        .encode(),
        proof.encode(),
        hold.encode(),
        HoldReason {
            reason: "court case".into(),
        }
        .encode(),
    ]
}

/// The parts of a real snapshot.
fn snapshots() -> Vec<Vec<u8>> {
    let directory = TempDir::new().unwrap();
    let content = Tree::from([("data/a".to_owned(), b"x".to_vec())]);
    tree::write(directory.path(), &content);
    let repository = library::init(Arc::new(MemoryStore::new())).unwrap();
    library::snapshot(&repository, &directory.path().join("data")).unwrap();
    let (list, _) = repository.list_snapshots().unwrap();
    let snapshot = &list.visible[0];
    vec![
        snapshot.label.encode(),
        snapshot.body(&repository).unwrap().encode(),
        SnapshotLinks {
            root: snapshot.root,
        }
        .encode(),
        SnapshotPlain {
            heads: vec![snapshot.id],
        }
        .encode(),
    ]
}
