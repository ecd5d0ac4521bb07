//! Snapshots and index segments.

use super::Draft;
use crate::vectors::describe;
use crate::vectors::keys::{Fixture, NOW};
use crate::vectors::make::{Maker, with};
use icecore::crypto::Role;
use icecore::entry::{Fact, Facts};
use icecore::format::blob::{BlobKind, BlobRow, Codec, Form};
use icecore::format::envelope::ObjectType;
use icecore::format::pack::PackClass;
use icecore::format::segment::{PackRows, encode_segment};
use icecore::format::snapshot::{
    SnapshotBody, SnapshotLabel, SnapshotLinks, SnapshotPlain, Totals,
};
use icecore::id::{BlobId, PackId, SetId, SnapshotId, WriterId};
use serde_json::{Value, json};

fn label() -> SnapshotLabel {
    SnapshotLabel {
        source: "sqlite:/srv/app/data.db".into(),
        host: "db1".into(),
        captured: NOW,
        // In the order of the texts' bytes, whatever their lengths.
        tags: [("aa", "1"), ("b", "2")]
            .map(|(k, v)| (k.into(), v.into()))
            .into(),
        set: SetId([9; 16]),
        parent: Some(SnapshotId([10; 32])),
        job: None,
        complete: true,
        suspect: false,
        totals: Totals {
            files: 1,
            directories: 1,
            bytes: 1_000_000,
            chunks: 4,
            chunks_new: 2,
            chunks_delta: 1,
            bytes_new: 500_000,
            bytes_stored: 70_000,
            milliseconds: 250,
        },
        checked: Some("quick_check".into()),
    }
}

fn body() -> SnapshotBody {
    let facts: Facts = [
        ("engine", Fact::Text("sqlite".into())),
        ("page.size", Fact::Integer(4096)),
        ("journal.delta", Fact::Integer(-3)),
        ("wal", Fact::Bool(true)),
        ("rows", Fact::Counts([("users".into(), 12u64)].into())),
        ("tables", Fact::List(vec!["users".into()])),
    ]
    .map(|(key, fact)| (key.to_owned(), fact))
    .into();
    SnapshotBody {
        roots: vec![(
            b"data.db".to_vec().into(),
            b"/srv/app/data.db".to_vec().into(),
        )],
        facts: vec![(b"data.db".to_vec().into(), (&facts).into())],
        exclusions: vec![(b"cache".to_vec().into(), "*.tmp".into(), None, 10, 2)],
        problems: vec![(b"locked".to_vec().into(), "permission denied".into())],
        labels: [("sensitivity".to_owned(), "high".to_owned())].into(),
        program: "icecore 0.1.0".into(),
        user: "backup".into(),
    }
}

pub fn make(fixture: &Fixture) -> Maker {
    let mut maker = Maker::new("snapshot", "record");
    let plain = SnapshotPlain {
        heads: vec![SnapshotId([10; 32])],
    };
    let links = SnapshotLinks {
        root: BlobId([0x71; 32]),
    };
    let (label, body) = (label(), body());
    let draft = |parts| Draft {
        fixture,
        object_type: ObjectType::Snapshot,
        envelope: fixture.envelope(ObjectType::Snapshot),
        signer: &fixture.writer,
        plain: plain.encode(),
        parts,
    };
    let good = draft(vec![
        (Role::SnapshotBody, 0, body.encode()),
        (Role::SnapshotLinks, 1, links.encode()),
        (Role::SnapshotLabel, 1, label.encode()),
    ]);
    let bytes = good.encode(&maker.entropy("sqlite"));
    let (links_value, label_value) = (
        describe::snapshot_links(&links),
        describe::snapshot_label(&label),
    );
    let parts = |body: Value| json!({ "9": body, "10": links_value, "11": label_value });
    let expect = |body| good.expect(&bytes, describe::snapshot_plain(&plain), parts(body));
    let all = expect(describe::snapshot_body(&body));
    maker.good(
        "sqlite",
        "a snapshot as a reader sees it",
        good.input(),
        bytes.clone(),
        all,
    );
    let maintenance = with(&good.input(), json!({ "keys": fixture.maintenance_json() }));
    let why = "the same as maintenance sees it: no body";
    maker.good(
        "maintenance",
        why,
        maintenance,
        bytes.clone(),
        expect(Value::Null),
    );
    let named = with(
        &good.input(),
        json!({ "name": SnapshotId([1; 32]).to_string() }),
    );
    maker.bad(
        "wrong_name",
        "stored under another name",
        named,
        bytes,
        "identity",
    );
    let mut fact_unsorted = body.encode();
    let wal = fact_unsorted
        .windows(3)
        .position(|window| window == b"wal")
        .unwrap();
    fact_unsorted[wal..wal + 3].copy_from_slice(b"aal");
    let unsorted = draft(vec![(Role::SnapshotBody, 0, fact_unsorted)]);
    let bytes = unsorted.encode(&maker.entropy("facts_unsorted"));
    let why = "the keys of a map are not in order";
    maker.bad("facts_unsorted", why, unsorted.input(), bytes, "format");
    maker
}

fn rows() -> [BlobRow; 4] {
    let full = BlobRow {
        id: BlobId([0x81; 32]),
        kind: BlobKind::Chunk,
        form: Form::Full,
        codec: Codec::Zstd,
        key: 0,
        offset: 2500,
        stored: 1040,
        plain: 262_144,
    };
    let delta = BlobRow {
        id: BlobId([0x82; 32]),
        form: Form::Delta {
            base: full.id,
            generation: 1,
        },
        codec: Codec::ZstdUnits,
        offset: 3540,
        stored: 100,
        ..full
    };
    let group = BlobRow {
        id: BlobId([0x83; 32]),
        kind: BlobKind::Group,
        codec: Codec::Raw,
        offset: 3640,
        stored: 60,
        plain: 20,
        ..full
    };
    let member = BlobRow {
        id: BlobId([0x84; 32]),
        form: Form::Member { group: group.id },
        codec: Codec::Raw,
        offset: 8,
        stored: 0,
        plain: 12,
        ..full
    };
    [full, delta, group, member]
}

pub fn segments(fixture: &Fixture) -> Maker {
    let mut maker = Maker::new("segment", "record");
    let packs = |rows: Vec<BlobRow>, length| {
        vec![PackRows {
            pack: PackId([0x85; 32]),
            class: PackClass::Full,
            length,
            author: WriterId([0x86; 16]),
            rows,
        }]
    };
    let draft = |content| Draft {
        fixture,
        object_type: ObjectType::Segment,
        envelope: fixture.envelope(ObjectType::Segment),
        signer: &fixture.writer,
        plain: Vec::new(),
        parts: vec![(Role::Segment, 1, content)],
    };
    let good = packs(rows().to_vec(), 4096);
    let record = draft(encode_segment(&good));
    let bytes = record.encode(&maker.entropy("all_forms"));
    let parts = json!({ "8": describe::segment(&good) });
    let expect = record.expect(&bytes, describe::plain(b""), parts);
    maker.good(
        "all_forms",
        "a row of each form",
        record.input(),
        bytes,
        expect,
    );
    let [full, delta, group, member] = rows();
    let bad_rows: [(&str, &str, BlobRow); 15] = [
        (
            "row_past_pack",
            "reaches past the pack's end",
            BlobRow {
                offset: 3057,
                ..full
            },
        ),
        (
            "zero_length",
            "no blob is empty",
            BlobRow { plain: 0, ..full },
        ),
        (
            "chunk_too_large",
            "above 1 MiB",
            BlobRow {
                plain: (1 << 20) + 1,
                ..full
            },
        ),
        (
            "not_smaller",
            "zstd that saves nothing",
            BlobRow {
                plain: 1000,
                ..full
            },
        ),
        (
            "raw_length",
            "raw is as long as the plaintext",
            BlobRow { plain: 21, ..group },
        ),
        (
            "full_with_delta_codec",
            "codec 2 needs a base",
            BlobRow {
                codec: Codec::ZstdPrefix,
                ..full
            },
        ),
        (
            "delta_with_full_codec",
            "codec 1 has no base",
            BlobRow {
                codec: Codec::Zstd,
                ..delta
            },
        ),
        (
            "delta_of_itself",
            "its own base",
            BlobRow {
                id: full.id,
                ..delta
            },
        ),
        (
            "delta_of_metadata",
            "only chunks are deltas",
            BlobRow {
                kind: BlobKind::NodeLinks,
                ..delta
            },
        ),
        (
            "generation_zero",
            "a delta has one",
            delta_generation(delta, 0),
        ),
        (
            "generation_too_high",
            "above 512",
            delta_generation(delta, 513),
        ),
        (
            "member_of_itself",
            "its own group",
            BlobRow {
                id: group.id,
                ..member
            },
        ),
        (
            "member_with_bytes",
            "a member stores nothing",
            BlobRow {
                stored: 41,
                ..member
            },
        ),
        (
            "member_past_group",
            "past 1 MiB",
            BlobRow {
                offset: 1 << 20,
                ..member
            },
        ),
        (
            "group_in_group",
            "only chunks are members",
            BlobRow {
                kind: BlobKind::Group,
                ..member
            },
        ),
    ];
    for (name, why, row) in bad_rows {
        let record = draft(encode_segment(&packs(vec![row], 4096)));
        let bytes = record.encode(&maker.entropy(name));
        maker.bad(name, why, record.input(), bytes, "format");
    }
    let content = encode_segment(&packs(vec![full], 4096));
    let changes: [(&str, &str, usize, u8); 6] = [
        ("unknown_class", "class 3", 36, 3),
        ("unknown_kind", "kind 5 is no blob", 61 + 32, 5),
        ("unknown_form", "form 3", 61 + 33, 3),
        ("unknown_codec", "codec 4", 61 + 34, 4),
        ("reserved_byte", "not zero", 61 + 35, 1),
        ("more_rows_than_bytes", "claims 33,554,433 rows", 60, 2),
    ];
    for (name, why, position, value) in changes {
        let mut content = content.clone();
        content[position] = value;
        let record = draft(content);
        let bytes = record.encode(&maker.entropy(name));
        maker.bad(name, why, record.input(), bytes, "format");
    }
    maker
}

fn delta_generation(row: BlobRow, generation: u16) -> BlobRow {
    let base = row.form.base().unwrap();
    BlobRow {
        form: Form::Delta { base, generation },
        ..row
    }
}
