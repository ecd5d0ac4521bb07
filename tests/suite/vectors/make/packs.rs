//! Packs: all forms and codecs, and what a hostile or broken writer could make of them.

mod defects;

use super::{Maker, with};
use crate::vectors::describe;
use crate::vectors::keys::Fixture;
use crate::vectors::make::codecs::{prefix_frame, units, zstd_frame};
use icecore::crypto::Suite;
use icecore::format::blob::{BlobKind, BlobRow, Codec, Form};
use icecore::format::envelope::{Envelope, ObjectType};
use icecore::format::node::{Child, Links, NodeKind};
use icecore::format::pack::{PackBuilder, blob_binding};
use icecore::id::{BlobId, PackId};
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
    defects::table(&mut maker, &first);
    defects::blob(&mut maker, &first);
    defects::envelope(&mut maker, &first);
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
        defects::trailer(maker, &input, &bytes);
    }
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
