"""Chapters 06 and 08: packs, rows, codecs, segments, depth."""

from collections import Counter

import zstandard

from .crypto import blob_id
from .objects import check_key, open_part, read_envelope
from .wire import CHUNK_MAX, DEPTH_MAX, NODE_MAX, PACK_MAX, ROWS_MAX, TRIES_MAX, Cursor, Refused, need

FULL, DELTA, MEMBER = 0, 1, 2
CHUNK, GROUP, BODY, LINKS = 1, 2, 3, 4
CLASSES = ["full", "delta", "meta"]


class Row:
    def __init__(self, cursor):
        self.id, self.kind, self.form, self.codec, reserved, self.key, self.generation = cursor.read("32s4B2H")
        self.offset, self.stored, self.plain = cursor.read("3I")
        self.base = cursor.take(32) if self.form else None
        need(CHUNK <= self.kind <= LINKS and reserved == 0, "kind or reserved")
        need(1 <= self.plain <= (CHUNK_MAX if self.kind in (CHUNK, GROUP) else NODE_MAX), "plain length")
        compressed = 40 < self.stored < self.plain + 40
        good = {(FULL, 0): self.stored == self.plain + 40, (FULL, 1): compressed,
                (DELTA, 2): compressed, (DELTA, 3): compressed,
                (MEMBER, 0): self.stored == 0 and self.offset + self.plain <= CHUNK_MAX}
        need(good.get((self.form, self.codec)), "form, codec and stored length")
        need(self.form == FULL or self.kind == CHUNK and self.base != self.id, "form and kind")
        need(1 <= self.generation <= 512 if self.form == DELTA else self.generation == 0, "generation")
        self.binding = self.id + bytes([self.form, self.codec]) + self.generation.to_bytes(2, "little")


def open_pack(data, holder):
    """The envelope and the rows of a whole pack."""
    need(len(data) <= PACK_MAX, "too large")
    cursor = Cursor(data)
    envelope, start, end = read_envelope(cursor, "pack"), cursor.at, len(data) - 96
    need(start <= end, "no room for a trailer")
    number, trailer, fill = Cursor(data[end:]).read("H56s38s")
    need(not any(fill), "the fill is not zero")
    place = open_part(envelope, number, holder, 6, trailer)
    need(place is not None, "not a recipient", "key")
    toc, length = Cursor(place).read("QQ")
    need(start <= toc and length >= 40 and toc + length == end, "the table is elsewhere")
    cursor = Cursor(open_part(envelope, number, holder, 5, data[toc:end]))
    rows, at = [Row(cursor) for _ in range(cursor.count(ROWS_MAX))], start
    cursor.end()
    for row in rows:
        check_key(envelope, row.key, row.kind)
        need(row.stored == 0 or row.offset == at, "a gap or an overlap")
        at += row.stored
    need(at <= toc, "rows reach into the table")
    return envelope, rows


def read_segment(content):
    """(pack, class, length, author, rows) for each pack."""
    cursor, packs, left = Cursor(content), [], ROWS_MAX
    for _ in range(cursor.count(ROWS_MAX)):
        pack, class_, length, author = cursor.read("32sBI16s")
        rows = [Row(cursor) for _ in range(cursor.count(left))]
        left -= len(rows)
        need(class_ < 3 and length <= PACK_MAX, "pack")
        need(all(row.stored == 0 or row.offset + row.stored <= length for row in rows), "past its pack")
        packs.append((pack, CLASSES[class_], length, author, rows))
    cursor.end()
    return packs


def _frame(data, length, prefix=b""):
    try:
        need(data[:4] == b"\x28\xb5\x2f\xfd" and len(data) > 5 and data[4] & 0b1011 == 0, "no such frame", "codec")
        head = zstandard.get_frame_parameters(data)
        need(head.content_size == length and head.window_size <= 2 << 20, "size or window", "codec")
        dictionary = zstandard.ZstdCompressionDict(prefix, dict_type=zstandard.DICT_TYPE_RAWCONTENT) if prefix else None
        decoder = zstandard.ZstdDecompressor(dict_data=dictionary).decompressobj()
        plain = decoder.decompress(data)
        need(len(plain) == length and decoder.eof and not decoder.unused_data, "the end is elsewhere", "codec")
        return plain
    except zstandard.ZstdError as error:
        raise Refused("codec", str(error)) from None


def decode(codec, data, length, base=None):
    need(length <= NODE_MAX and (codec < 2 or base is not None), "length or base", "codec")
    if codec == 0:
        need(len(data) == length, "another length", "codec")
        return data
    if codec < 3:
        return _frame(data, length, base if codec == 2 else b"")
    units = [min(4096, length - at) for at in range(0, length, 4096)]
    size = -(-len(units) // 8)
    bits = int.from_bytes(data[:size], "little")
    need(len(data) >= size and 0 < bits < 1 << len(units), "the bitmap", "codec")
    old = [base[at : at + 4096] for at in range(0, 4096 * len(units), 4096)]
    marked = [i for i in range(len(units)) if bits >> i & 1]
    new = Cursor(_frame(data[size:], sum(units[i] for i in marked), b"".join(old[i] for i in marked)))
    for i, length in enumerate(units):
        need(bits >> i & 1 or len(old[i]) == length, "an unmarked unit is not in the base", "codec")
        old[i] = new.take(length) if bits >> i & 1 else old[i]
    return b"".join(old)


class Blobs:
    """Reads blobs by id. `load(pack, class)` gives a pack's envelope and all of its bytes."""

    def __init__(self, holder, load):
        self.holder, self.load, self.rows, self.depths = holder, load, {}, {}
        self.statistics = Counter(full=0, delta=0, member=0, deepest=0)

    def add(self, pack, class_, rows):
        for row in rows:
            self.rows.setdefault(row.id, []).append((pack, class_, row))

    def compute_depths(self):
        """Chapter 08: least depths, level by level; what is not reached does not resolve."""
        ready = [id_ for id_, rows in self.rows.items() if any(row.form == FULL for *_, row in rows)]
        waiting = {}
        for id_, rows in self.rows.items():
            for *_, row in rows:
                waiting.setdefault(row.base, []).append(id_)
        for level in range(DEPTH_MAX + 1):
            ready = {id_ for id_ in ready if id_ not in self.depths}
            self.depths.update(dict.fromkeys(ready, level))
            ready = [above for id_ in ready for above in waiting.get(id_, ())]

    def depth(self, row):
        return 0 if row.form == FULL else 1 + self.depths.get(row.base, DEPTH_MAX)

    def read(self, id_, kind, tries=None):
        """A blob's plaintext, from the row of least depth that is good."""
        rows = [place for place in self.rows.get(id_, []) if place[2].kind == kind]
        need(rows, f"blob {id_.hex()} is nowhere", "missing")
        problems, tries = [], tries or iter(range(TRIES_MAX))
        for place in sorted(rows, key=lambda place: self.depth(place[2])):
            need(next(tries, None) is not None, "too many rows tried", "depth")
            try:
                return self.read_row(*place, tries)
            except Refused as problem:
                problems.append(problem)
        raise problems[0]

    def read_row(self, pack, class_, row, tries):
        need(row.form == FULL or row.base in self.rows, "base or group is nowhere", "missing")
        need(self.depth(row) <= DEPTH_MAX, "too deep, or a circle", "depth")
        envelope, data = self.load(pack, class_)
        if row.form == MEMBER:
            plain = self.read(row.base, GROUP, tries)[row.offset : row.offset + row.plain]
        else:
            sealed, base = data[row.offset : row.offset + row.stored], row.base or bytes(32)
            encoded = open_part(envelope, row.key, self.holder, row.kind, sealed, row.plain, row.binding, base)
            need(encoded is not None, "not a recipient", "key")
            base = self.read(base, CHUNK, tries) if row.form == DELTA else None
            plain = decode(row.codec, encoded, row.plain, base)
        id_key = self.holder.id_keys.get(envelope["domain"])
        need(id_key, "a domain without its id key", "key")
        good = len(plain) == row.plain and blob_id(id_key, row.kind, plain) == row.id
        need(good, f"blob {row.id.hex()} is not what its id says", "identity")
        self.statistics.update({["full", "delta", "member"][row.form]: 1})
        self.statistics["deepest"] = max(self.statistics["deepest"], self.depth(row))
        return plain
