//! Packs that must be refused.

use super::{Packer, delta};
use crate::vectors::keys::Fixture;
use crate::vectors::make::codecs::{prefix_frame, zstd_frame};
use crate::vectors::make::{Maker, flipped};
use icecore::format::blob::{BlobKind, BlobRow, Codec};
use icecore::format::envelope::{Envelope, ObjectType};
use icecore::id::{BlobId, DomainTag, RepositoryId};
use serde_json::Value;

/// Defects of the trailer and of the whole.
pub fn trailer(maker: &mut Maker, input: &Value, bytes: &[u8]) {
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

/// Defects of the table of contents.
pub fn table(maker: &mut Maker, fixture: &Fixture) {
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

/// Defects of the blobs.
pub fn blob(maker: &mut Maker, fixture: &Fixture) {
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

/// Defects of the head.
pub fn envelope(maker: &mut Maker, fixture: &Fixture) {
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
