//! Packs: all forms and codecs, and what a hostile or broken writer could make of them.

use super::{Maker, flipped, with};
use crate::vectors::describe;
use crate::vectors::keys::Fixture;
use crate::vectors::make::codecs::{prefix_frame, units, zstd_frame};
use icecore::crypto::Suite;
use icecore::format::blob::{BlobKind, BlobRow, Codec, Form};
use icecore::format::envelope::{Envelope, ObjectType};
use icecore::format::node::{Child, Links, NodeKind};
use icecore::format::pack::{PackBuilder, blob_binding};
use icecore::id::{BlobId, DomainTag, PackId, RepositoryId};
use icecore::testing::SeededEntropy;
use serde_json::{Value, json};

pub fn make() -> Vec<Maker> {
    let mut maker = Maker::new("pack", "pack");
    let first = Fixture::new(Suite::XChaCha20Poly1305);
    let second = Fixture::new(Suite::Xaes256Gcm);
    good(
        &mut maker,
        &first,
        "all_forms",
        "every kind, form and codec, suite 1",
    );
    good(
        &mut maker,
        &second,
        "all_forms_suite_2",
        "the same under suite 2",
    );
    table_defects(&mut maker, &first);
    blob_defects(&mut maker, &first);
    envelope_defects(&mut maker, &first);
    chains(&mut maker, &first);
    vec![maker]
}

/// A pack under construction, with the rows and plaintexts it is expected to give.
struct Packer<'a> {
    fixture: &'a Fixture,
    entropy: SeededEntropy,
    envelope: Envelope,
    builder: PackBuilder,
    contents: Vec<Vec<u8>>,
}

impl<'a> Packer<'a> {
    fn new(fixture: &'a Fixture, maker: &Maker, name: &str) -> Self {
        Self::with_envelope(fixture, maker, name, fixture.envelope(ObjectType::Pack))
    }

    fn with_envelope(fixture: &'a Fixture, maker: &Maker, name: &str, envelope: Envelope) -> Self {
        Self {
            fixture,
            entropy: maker.entropy(name),
            builder: PackBuilder::new(envelope.clone()),
            envelope,
            contents: Vec::new(),
        }
    }

    fn id(&self, kind: BlobKind, plain: &[u8]) -> BlobId {
        self.fixture.ids().blob_id(kind.role(), plain)
    }

    fn row(&self, kind: BlobKind, plain: &[u8]) -> BlobRow {
        BlobRow {
            id: self.id(kind, plain),
            kind,
            form: Form::Full,
            codec: Codec::Raw,
            key: u16::from(!kind.role().uses_data_key()),
            offset: 0,
            stored: 0,
            plain: plain.len() as u32,
        }
    }

    fn sealed(&self, row: &BlobRow, stored: &[u8]) -> Vec<u8> {
        let key = match row.key {
            0 => &self.fixture.data.1,
            _ => &self.fixture.link.1,
        };
        let mut sealed = Vec::new();
        let binding = blob_binding(&self.envelope, row);
        binding
            .seal_into(key, stored, &mut sealed, &self.entropy)
            .unwrap();
        sealed
    }

    /// Seals and adds `stored` for this row.
    fn push(&mut self, row: BlobRow, stored: &[u8], plain: &[u8]) {
        let sealed = self.sealed(&row, stored);
        self.builder.push(row, &sealed);
        self.contents.push(plain.to_vec());
    }

    fn raw(&mut self, plain: &[u8]) -> BlobRow {
        let row = self.row(BlobKind::Chunk, plain);
        self.push(row, plain, plain);
        row
    }

    fn member(&mut self, group: BlobId, offset: u32, plain: &[u8]) {
        let row = BlobRow {
            form: Form::Member { group },
            offset,
            ..self.row(BlobKind::Chunk, plain)
        };
        self.builder.push_member(row);
        self.contents.push(plain.to_vec());
    }

    fn expect(&self) -> Value {
        let rows = self
            .builder
            .rows()
            .iter()
            .zip(&self.contents)
            .map(|(row, content)| {
                let mut value = describe::row(row);
                value["content"] = describe::plain(content);
                value
            });
        json!({
            "domain": self.envelope.domain.to_string(),
            "rows": rows.collect::<Vec<_>>(),
        })
    }

    fn finish(self) -> Vec<u8> {
        self.builder
            .finish(&self.fixture.link.1, 1, &self.entropy)
            .unwrap()
            .bytes
    }

    fn input(&self) -> Value {
        json!({ "keys": self.fixture.reader_json() })
    }
}

fn delta(row: BlobRow, base: BlobId, generation: u16, codec: Codec) -> BlobRow {
    BlobRow {
        form: Form::Delta { base, generation },
        codec,
        ..row
    }
}

fn good(maker: &mut Maker, fixture: &Fixture, name: &'static str, why: &'static str) {
    let mut packer = Packer::new(fixture, maker, name);
    let base = super::super::read::stream(&super::stream_json("base", 10_000));
    let first = packer.raw(&base);
    let text = b"abcdefgh".repeat(500);
    let row = BlobRow {
        codec: Codec::Zstd,
        ..packer.row(BlobKind::Chunk, &text)
    };
    packer.push(row, &zstd_frame(&text), &text);
    let mut longer = base.clone();
    longer.splice(300..300, *b"inserted");
    let row = delta(
        packer.row(BlobKind::Chunk, &longer),
        first.id,
        1,
        Codec::ZstdPrefix,
    );
    packer.push(row, &prefix_frame(&longer, &base), &longer);
    let mut changed = longer.clone();
    changed[5000..5010].fill(0);
    changed.extend_from_slice(b"appended");
    let row = delta(
        packer.row(BlobKind::Chunk, &changed),
        row.id,
        2,
        Codec::ZstdUnits,
    );
    packer.push(row, &units(&changed, &longer), &changed);
    let group = b"firstsecondthird".to_vec();
    let group_row = packer.row(BlobKind::Group, &group);
    packer.push(group_row, &group, &group);
    packer.member(group_row.id, 0, b"first");
    packer.member(group_row.id, 5, b"second");
    packer.member(group_row.id, 11, b"third");
    let single = packer.row(BlobKind::Group, b"alone");
    packer.push(single, b"alone", b"alone");
    packer.member(single.id, 0, b"alone");
    let links = Links {
        kind: NodeKind::Content,
        height: 0,
        body: BlobId::default(),
        children: vec![Child::Hole { length: 9 }],
    };
    let links = links.encode();
    packer.push(packer.row(BlobKind::NodeLinks, &links), &links, &links);
    packer.push(packer.row(BlobKind::NodeBody, &[0x80]), &[0x80], &[0x80]);
    let (input, expect) = (packer.input(), packer.expect());
    let bytes = packer.finish();
    let name_of = PackId(*blake3::hash(&bytes).as_bytes()).to_string();
    let named = with(&input, json!({ "name": name_of }));
    maker.good(name, why, named, bytes.clone(), expect.clone());
    if fixture.suite == Suite::XChaCha20Poly1305 {
        let mut rows = expect;
        for row in rows["rows"].as_array_mut().unwrap() {
            row.as_object_mut().unwrap().remove("content");
        }
        let maintenance = json!({ "keys": fixture.maintenance_json() });
        let why = "the same as maintenance sees it: rows, no content";
        maker.good("maintenance", why, maintenance, bytes.clone(), rows);
        let swapped = with(&input, json!({ "name": PackId([1; 32]).to_string() }));
        maker.bad(
            "wrong_name",
            "stored under another name",
            swapped,
            bytes.clone(),
            "identity",
        );
        trailer_defects(maker, &input, &bytes);
    }
}

fn trailer_defects(maker: &mut Maker, input: &Value, bytes: &[u8]) {
    let mut bad = |name, why, bytes, class| maker.bad(name, why, input.clone(), bytes, class);
    let trailer = bytes.len() - 96;
    bad(
        "cut_off",
        "the last byte is missing",
        bytes[..bytes.len() - 1].to_vec(),
        "format",
    );
    bad(
        "trailer_fill",
        "the fill is not zero",
        flipped(bytes, bytes.len() - 1),
        "format",
    );
    bad(
        "trailer_changed",
        "the sealed place differs",
        flipped(bytes, trailer + 30),
        "seal",
    );
    bad(
        "trailer_data_key",
        "names the data key",
        flipped(bytes, trailer),
        "format",
    );
    bad(
        "trailer_no_key",
        "names key 3 of 2",
        flipped(bytes, trailer + 1),
        "format",
    );
    bad(
        "toc_changed",
        "the table differs",
        flipped(bytes, trailer - 1),
        "seal",
    );
    bad(
        "byte_too_many",
        "a byte before the trailer",
        {
            let mut longer = bytes.to_vec();
            longer.insert(trailer, 0);
            longer
        },
        "format",
    );
    bad(
        "too_short",
        "no room for a trailer",
        bytes[..100].to_vec(),
        "format",
    );
}

fn table_defects(maker: &mut Maker, fixture: &Fixture) {
    let mut bad = |name, why, change: &dyn Fn(&mut Packer<'_>), class| {
        let mut packer = Packer::new(fixture, maker, name);
        packer.raw(b"some content");
        change(&mut packer);
        let input = packer.input();
        let bytes = packer.finish();
        maker.bad(name, why, input, bytes, class);
    };
    let repeat = |packer: &mut Packer<'_>, change: &dyn Fn(&mut BlobRow)| {
        let mut row = packer.builder.rows()[0];
        change(&mut row);
        packer.builder.push_member(row);
    };
    let why = "two rows share bytes";
    bad(
        "toc_overlap",
        why,
        &|packer| repeat(packer, &|_| ()),
        "format",
    );
    let why = "bytes between two rows";
    bad(
        "toc_gap",
        why,
        &|packer| repeat(packer, &|row| row.offset += row.stored + 1),
        "format",
    );
    let why = "a row reaches into the table of contents";
    bad(
        "toc_beyond",
        why,
        &|packer| {
            repeat(packer, &|row| {
                row.offset += row.stored;
                row.plain += 100_000;
                row.stored += 100_000;
            });
        },
        "format",
    );
    let why = "a row names a key that is not there";
    bad(
        "toc_key",
        why,
        &|packer| {
            let row = BlobRow {
                key: 2,
                ..packer.row(BlobKind::NodeLinks, b"xyz")
            };
            packer.push(row, b"xyz", b"xyz");
        },
        "format",
    );
    let why = "content under the link key, where maintenance could read it";
    bad(
        "chunk_under_link_key",
        why,
        &|packer| {
            let row = BlobRow {
                key: 1,
                ..packer.row(BlobKind::Chunk, b"xyz")
            };
            packer.push(row, b"xyz", b"xyz");
        },
        "format",
    );
}

fn blob_defects(maker: &mut Maker, fixture: &Fixture) {
    let mut bad = |name, why, make: &dyn Fn(&mut Packer<'_>), class| {
        let mut packer = Packer::new(fixture, maker, name);
        make(&mut packer);
        let input = packer.input();
        let bytes = packer.finish();
        maker.bad(name, why, input, bytes, class);
    };
    /// Seals as `sealed` says, lists as `listed` says.
    fn relabel(packer: &mut Packer<'_>, sealed: BlobRow, listed: BlobRow, plain: &[u8]) {
        let bytes = packer.sealed(&sealed, plain);
        packer.builder.push(listed, &bytes);
    }
    let other = BlobId([0xee; 32]);
    bad(
        "other_id",
        "listed under another id than it was sealed as",
        &|packer| {
            let row = packer.row(BlobKind::Chunk, b"content");
            relabel(packer, row, BlobRow { id: other, ..row }, b"content");
        },
        "seal",
    );
    bad(
        "other_kind",
        "a chunk listed as a group",
        &|packer| {
            let row = packer.row(BlobKind::Chunk, b"content");
            let kind = BlobKind::Group;
            relabel(packer, row, BlobRow { kind, ..row }, b"content");
        },
        "seal",
    );
    bad(
        "other_base",
        "a delta listed with another base",
        &|packer| {
            let (a, b) = (
                packer.raw(b"base number one"),
                packer.raw(b"base number two"),
            );
            let plain = &b"base number one".repeat(20);
            let row = delta(
                packer.row(BlobKind::Chunk, plain),
                a.id,
                1,
                Codec::ZstdPrefix,
            );
            let listed = delta(row, b.id, 1, Codec::ZstdPrefix);
            let frame = prefix_frame(plain, b"base number one");
            relabel(packer, row, listed, &frame);
        },
        "seal",
    );
    bad(
        "other_generation",
        "a delta listed with another generation",
        &|packer| {
            let a = packer.raw(b"base number one");
            let plain = &b"base number one".repeat(20);
            let row = delta(
                packer.row(BlobKind::Chunk, plain),
                a.id,
                1,
                Codec::ZstdPrefix,
            );
            let listed = delta(row, a.id, 2, Codec::ZstdPrefix);
            relabel(
                packer,
                row,
                listed,
                &prefix_frame(plain, b"base number one"),
            );
        },
        "seal",
    );
    bad(
        "false_id",
        "sealed and listed under an id that is not its own",
        &|packer| {
            let row = BlobRow {
                id: other,
                ..packer.row(BlobKind::Chunk, b"content")
            };
            packer.push(row, b"content", b"content");
        },
        "identity",
    );
    bad(
        "group_id_as_chunk",
        "named as a group would be",
        &|packer| {
            let row = BlobRow {
                id: packer.id(BlobKind::Group, b"content"),
                ..packer.row(BlobKind::Chunk, b"content")
            };
            packer.push(row, b"content", b"content");
        },
        "identity",
    );
    bad(
        "frame_too_long",
        "the frame states another length than the row",
        &|packer| {
            let text = b"abcdefgh".repeat(500);
            let row = BlobRow {
                codec: Codec::Zstd,
                plain: 3999,
                ..packer.row(BlobKind::Chunk, &text)
            };
            packer.push(row, &zstd_frame(&text), &text);
        },
        "codec",
    );
    bad(
        "member_beyond_group",
        "past the end of its group",
        &|packer| {
            let group = packer.row(BlobKind::Group, b"group");
            packer.push(group, b"group", b"group");
            packer.member(group.id, 3, b"upX");
        },
        "identity",
    );
    bad(
        "member_of_chunk",
        "its group is a chunk",
        &|packer| {
            let chunk = packer.raw(b"no group");
            packer.member(chunk.id, 0, b"no");
        },
        "missing",
    );
    bad(
        "base_missing",
        "its base is nowhere",
        &|packer| {
            let plain = b"a text that is long enough, a text that is long enough";
            let row = delta(
                packer.row(BlobKind::Chunk, plain),
                other,
                1,
                Codec::ZstdPrefix,
            );
            packer.push(row, &prefix_frame(plain, b"a text that is"), plain);
        },
        "missing",
    );
}

fn envelope_defects(maker: &mut Maker, fixture: &Fixture) {
    let mut bad = |name, why, change: &dyn Fn(&mut Envelope), class| {
        let mut envelope = fixture.envelope(ObjectType::Pack);
        change(&mut envelope);
        let mut packer = Packer::with_envelope(fixture, maker, name, envelope);
        packer.raw(b"some content");
        let input = packer.input();
        let bytes = packer.finish();
        maker.bad(name, why, input, bytes, class);
    };
    let why = "the wraps are bound to the repository";
    bad(
        "other_repository",
        why,
        &|e| e.repository = RepositoryId([1; 16]),
        "key",
    );
    let why = "no secret of that domain";
    bad(
        "other_domain",
        why,
        &|e| e.domain = DomainTag([1; 16]),
        "key",
    );
    let why = "the link key is not the one committed to";
    bad(
        "wrong_commitment",
        why,
        &|e| e.keys[1].commit[31] ^= 1,
        "key",
    );
    let why = "the wraps are bound to the key's name";
    bad("other_key_id", why, &|e| e.keys[1].id.0[0] ^= 1, "key");
    let why = "a key for nobody";
    bad(
        "no_recipient",
        why,
        &|e| e.keys[1].recipients.clear(),
        "format",
    );
    let why = "five recipients";
    bad(
        "too_many_recipients",
        why,
        &|e| {
            let recipient = e.keys[1].recipients[0].clone();
            e.keys[1].recipients = vec![recipient; 5];
        },
        "format",
    );
    let why = "its head says snapshot";
    bad(
        "another_type",
        why,
        &|e| e.object_type = ObjectType::Snapshot,
        "format",
    );
}

fn chains(maker: &mut Maker, fixture: &Fixture) {
    let chain = |maker: &Maker, name, depth: u16| {
        let mut packer = Packer::new(fixture, maker, name);
        let mut plain = super::super::read::stream(&super::stream_json("chain", 300));
        let mut base = packer.raw(&plain);
        for generation in 1..=depth {
            let old = plain.clone();
            plain[usize::from(generation)] ^= 0xff;
            let row = packer.row(BlobKind::Chunk, &plain);
            let row = delta(row, base.id, generation, Codec::ZstdPrefix);
            packer.push(row, &prefix_frame(&plain, &old), &plain);
            base = row;
        }
        packer
    };
    let deepest = chain(maker, "depth_32", 32);
    let (input, expect) = (deepest.input(), deepest.expect());
    maker.good(
        "depth_32",
        "the deepest chain",
        input.clone(),
        deepest.finish(),
        expect,
    );
    let bytes = chain(maker, "depth_33", 33).finish();
    maker.bad(
        "depth_33",
        "a chain that is too deep",
        input.clone(),
        bytes,
        "depth",
    );
    let mut packer = Packer::new(fixture, maker, "circle");
    let (a, b) = (
        b"the first of two texts".repeat(9),
        b"the other of two texts".repeat(9),
    );
    let (row_a, row_b) = (
        packer.row(BlobKind::Chunk, &a),
        packer.row(BlobKind::Chunk, &b),
    );
    packer.push(
        delta(row_a, row_b.id, 1, Codec::ZstdPrefix),
        &prefix_frame(&a, &b),
        &a,
    );
    packer.push(
        delta(row_b, row_a.id, 1, Codec::ZstdPrefix),
        &prefix_frame(&b, &a),
        &b,
    );
    maker.bad(
        "circle",
        "two deltas, each the other's base",
        input,
        packer.finish(),
        "depth",
    );
}
