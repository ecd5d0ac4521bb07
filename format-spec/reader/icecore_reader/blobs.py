"""Chapters 06 and 08: packs, rows, codecs, segments, depth."""

import zstandard

from .crypto import blob_id
from .objects import check_key, open_part, read_envelope
from .wire import CHUNK_MAX, DEPTH_MAX, NODE_MAX, PACK_MAX, ROWS_MAX, TRIES_MAX, Cursor, Refused, need

FULL, DELTA, MEMBER = range(3)
CHUNK, GROUP, BODY, LINKS = range(1, 5)

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
    envelope, end = read_envelope(cursor := Cursor(data), "pack"), len(data) - 96
    start = cursor.at
    need(start <= end, "no room for a trailer")
    number, trailer, fill = Cursor(data[end:]).read("H56s38s")
    need(fill == bytes(38), "the fill is not zero")
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
        packs.append((pack, ["full", "delta", "meta"][class_], length, author, rows))
    cursor.end()
    return packs

def _frame(data, length, prefix):
    try:
        need(data[:4] == b"\x28\xb5\x2f\xfd" and len(data) > 5 and data[4] & 0b1011 == 0, "no such frame", "codec")
        head = zstandard.get_frame_parameters(data)
        need(head.content_size == length and head.window_size <= 2 << 20, "size or window", "codec")
        dictionary = zstandard.ZstdCompressionDict(prefix, dict_type=zstandard.DICT_TYPE_RAWCONTENT) if prefix else None
        decoder = zstandard.ZstdDecompressor(dict_data=dictionary).decompressobj()
        plain = decoder.decompress(data)
    except zstandard.ZstdError as error:
        raise Refused("codec", str(error)) from None
    need(len(plain) == length and decoder.eof and not decoder.unused_data, "the end is elsewhere", "codec")
    return plain

def decode(codec, data, length, base=None):
    need(length <= NODE_MAX and (codec < 2 or base is not None), "length or base", "codec")
    if codec == 0:
        need(len(data) == length, "another length", "codec")
        return data
    if codec < 3:
        return _frame(data, length, base if codec == 2 else b"")
    sizes = [min(4096, length - at) for at in range(0, length, 4096)]
    units = [base[at : at + 4096] for at in range(0, length, 4096)]
    head = -(-len(units) // 8)
    bits = int.from_bytes(data[:head], "little")
    need(len(data) >= head and 0 < bits < 1 << len(units), "the bitmap", "codec")
    marked = [i for i in range(len(units)) if bits >> i & 1]
    new = Cursor(_frame(data[head:], sum(sizes[i] for i in marked), b"".join(units[i] for i in marked)))
    for i in marked:
        units[i] = new.take(sizes[i])
    need([len(unit) for unit in units] == sizes, "an unmarked unit is not in the base", "codec")
    return b"".join(units)

class Blobs:
    """Reads blobs by id. `load(pack, class)` gives a pack's envelope and all of its bytes."""
    def __init__(self, holder, load, packs):
        self.holder, self.load, self.rows, self.depths = holder, load, {}, {}
        self.statistics = {"full": 0, "delta": 0, "member": 0, "deepest": 0}
        for place in [(pack, class_, row) for pack, class_, rows in packs for row in rows]:
            self.rows.setdefault(place[2].id, []).append(place)
        # Chapter 08: least depths, level by level; what is not reached does not resolve.
        for level in range(DEPTH_MAX + 1):
            waiting = [id_ for id_ in self.rows if id_ not in self.depths]
            ready = [id_ for id_ in waiting if any(self.depth(row) == level for *_, row in self.rows[id_])]
            self.depths.update(dict.fromkeys(ready, level))
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
            plain = decode(row.codec, encoded, row.plain, self.read(base, CHUNK, tries) if row.form == DELTA else None)
        need(envelope["domain"] in self.holder.id_keys, "a domain without its id key", "key")
        id_ = blob_id(self.holder.id_keys[envelope["domain"]], row.kind, plain)
        need(len(plain) == row.plain and id_ == row.id, f"blob {row.id.hex()} is not what its id says", "identity")
        self.statistics[["full", "delta", "member"][row.form]] += 1
        self.statistics["deepest"] = max(self.statistics["deepest"], self.depth(row))
        return plain
