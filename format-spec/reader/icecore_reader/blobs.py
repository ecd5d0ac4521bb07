"""Chapters 06, 08 and 09: packs, rows, codecs, segments, links and entries."""

import zstandard

from .crypto import blob_id
from .objects import check_key, open_part, read_envelope
from .wire import (CHILDREN_MAX, CHUNK_MAX, DEPTH_MAX, LENGTH_MAX, NODE_MAX, PACK_MAX, ROWS_MAX, Cursor,
                   Optional, Refused, S, cbor, need)

FULL, DELTA, MEMBER = 0, 1, 2
CHUNK, GROUP, BODY, LINKS = 1, 2, 3, 4
CLASSES = ["full", "delta", "meta"]


class Row:
    def __init__(self, cursor):
        start, self.id = cursor.at, cursor.take(32)
        self.kind, self.form, self.codec, reserved = cursor.numbers("BBBB")
        self.key, self.generation = cursor.numbers("HH")
        self.binding = self.id + cursor.data[start + 33 : start + 35] + cursor.data[start + 38 : start + 40]
        self.offset, self.stored, self.plain = cursor.numbers("III")
        need(CHUNK <= self.kind <= LINKS and self.form <= MEMBER and self.codec <= 3 and reserved == 0, "row")
        self.base = cursor.take(32) if self.form else None
        need(1 <= self.plain <= (CHUNK_MAX if self.kind in (CHUNK, GROUP) else NODE_MAX), "plain length")
        if self.form == MEMBER:
            need(self.codec == 0 == self.stored and self.offset + self.plain <= CHUNK_MAX, "member")
        elif self.codec == 0:
            need(self.stored == self.plain + 40, "stored length")
        else:
            need(40 < self.stored < self.plain + 40, "stored length")
        need((self.form == DELTA) == (self.codec >= 2), "form and codec")
        need(1 <= self.generation <= 512 if self.form == DELTA else self.generation == 0, "generation")
        need(self.form == FULL or self.kind == CHUNK and self.base != self.id, "form and kind")


def read_rows(cursor, limit):
    return [Row(cursor) for _ in range(cursor.count(limit))]


def open_pack(data, holder):
    """The envelope and the rows of a whole pack."""
    need(len(data) <= PACK_MAX, "too large")
    cursor = Cursor(data)
    envelope, start, end = read_envelope(cursor, "pack"), cursor.at, len(data) - 96
    need(start <= end, "no room for a trailer")
    number = int.from_bytes(data[end : end + 2], "little")
    need(not any(data[end + 58 :]), "the fill is not zero")
    check_key(envelope, number, 6)
    key = holder.session_key(envelope, number)
    need(key is not None, "not a recipient", "key")
    toc, length = Cursor(open_part(envelope, number, key, 6, data[end + 2 : end + 58])).numbers("QQ")
    need(start <= toc and length >= 40 and toc + length == end, "the table is elsewhere")
    cursor = Cursor(open_part(envelope, number, key, 5, data[toc:end]))
    rows, at = read_rows(cursor, ROWS_MAX), start
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
        pack, (class_, length), author = cursor.take(32), cursor.numbers("BI"), cursor.take(16)
        rows = read_rows(cursor, left)
        left -= len(rows)
        need(class_ < 3 and length <= PACK_MAX, "pack")
        need(all(row.stored == 0 or row.offset + row.stored <= length for row in rows), "past its pack")
        packs.append((pack, CLASSES[class_], length, author, rows))
    cursor.end()
    return packs


def _frame(data, length, prefix=b""):
    def good(condition):
        need(condition, "not the frame that it should be", "codec")
    try:
        good(data[:4] == b"\x28\xb5\x2f\xfd" and len(data) > 5 and data[4] & 0b1011 == 0)
        head = zstandard.get_frame_parameters(data)
        good(head.content_size == length and head.window_size <= 2 << 20)
        dictionary = zstandard.ZstdCompressionDict(prefix, dict_type=zstandard.DICT_TYPE_RAWCONTENT) if prefix else None
        decoder = zstandard.ZstdDecompressor(dict_data=dictionary).decompressobj()
        plain = decoder.decompress(data)
        good(len(plain) == length and decoder.eof and not decoder.unused_data)
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
    """Reads blobs by id. `fetch(pack, class, offset, length)` gives bytes of a pack, `head` its envelope."""

    def __init__(self, holder, head, fetch):
        self.holder, self.head, self.fetch, self.rows, self.depths = holder, head, fetch, {}, None

    def add(self, pack, class_, rows):
        for row in rows:
            self.rows.setdefault(row.id, []).append((pack, class_, row))

    def compute_depths(self):
        """Chapter 08: least depths, level by level; what is not reached does not resolve."""
        self.depths, level = {}, 0
        ready = [id_ for id_, rows in self.rows.items() if any(row.form == FULL for *_, row in rows)]
        waiting = {}
        for id_, rows in self.rows.items():
            for *_, row in rows:
                waiting.setdefault(row.base, []).append(id_)
        while ready and level <= DEPTH_MAX:
            ready = {id_ for id_ in ready if id_ not in self.depths}
            self.depths.update(dict.fromkeys(ready, level))
            ready, level = [above for id_ in ready for above in waiting.get(id_, ())], level + 1

    def read(self, id_, kind):
        if self.depths is None:
            self.compute_depths()
        rows = [place for place in self.rows.get(id_, []) if place[2].kind == kind]
        need(rows, f"blob {id_.hex()} is nowhere", "missing")
        depth = lambda row: 0 if row.form == FULL else 1 + self.depths.get(row.base, DEPTH_MAX)
        problem = None
        for pack, class_, row in sorted(rows, key=lambda place: depth(place[2])):
            try:
                known = row.form == FULL or row.base in self.rows
                need(known, "base or group is nowhere", "missing")
                need(depth(row) <= DEPTH_MAX, "too deep, or a circle", "depth")
                return self.read_row(pack, class_, row)
            except Refused as error:
                problem = problem or error
        raise problem

    def read_row(self, pack, class_, row):
        envelope = self.head(pack, class_)
        if row.form == MEMBER:
            plain = self.read(row.base, GROUP)[row.offset : row.offset + row.plain]
        else:
            key = self.holder.session_key(envelope, row.key)
            need(key is not None, "not a recipient", "key")
            sealed = self.fetch(pack, class_, row.offset, row.stored)
            data = open_part(envelope, row.key, key, row.kind, sealed, row.plain, row.binding, row.base or bytes(32))
            plain = decode(row.codec, data, row.plain, self.read(row.base, CHUNK) if row.form == DELTA else None)
        good = len(plain) == row.plain and blob_id(self.holder.id_keys[envelope["domain"]], row.kind, plain) == row.id
        need(good, f"blob {row.id.hex()} is not what its id says", "identity")
        return plain


def read_links(data):
    """kind, height, body and children as (tag, length, id)."""
    cursor = Cursor(data)
    kind, height = cursor.numbers("BB")
    body, children = cursor.take(32), []
    for _ in range(cursor.count(CHILDREN_MAX)):
        tag = cursor.number("B")
        length = cursor.number("Q") if tag else 0
        children.append((tag, length, cursor.take(32) if tag in (1, 3) else None))
        need(tag <= 3 and length <= LENGTH_MAX and (tag not in (1, 2) or length > 0), "child")
        need(tag != 1 or length <= CHUNK_MAX, "chunk too long")
    cursor.end()
    need(kind in (1, 2, 3) and height <= 8 and (body == bytes(32)) == (kind == 3), "kind, height, body")
    need(height == 0 if kind == 1 else height > 0 or kind == 3, "height")
    tags = {tag for tag, _, _ in children}
    need(kind == 1 or tags <= ({3} if height else {1, 2}), "children of another kind")
    return kind, height, body, children


ENTRY = S(name="b", kind="u64", mode="u32", uid="u32", gid="u32", user=Optional("t"), group=Optional("t"),
          modified="i", size=Optional("u64"), target=Optional("b"), device=Optional(("u32", "u32")),
          hard_link=Optional(("u64", "u64")), attributes=Optional([("b", "b")]), condition=Optional("u64"))


def _check_names(names):
    good = (0 < len(n) <= 512 and n not in (b".", b"..") and not set(n) & {0, 47} for n in names)
    need(all(good), "a name that no file can have")
    need(all(a < b for a, b in zip(names, names[1:])), "names are not in order")
    return names


def read_entries(data):
    entries = cbor([ENTRY], data)
    need(len(entries) <= CHILDREN_MAX, "too many entries")
    _check_names([entry["name"] for entry in entries])
    for entry in entries:
        fields = (entry["size"] is not None, entry["target"] is not None, entry["device"] is not None)
        kind, attributes = entry["kind"], entry["attributes"] or []
        need(kind <= 6 and fields == (kind == 1, kind == 2, kind in (5, 6)), "kind and fields")
        need(entry["mode"] <= 0o7777 and entry["condition"] in (None, 1, 2), "mode or condition")
        need((entry["size"] or 0) <= LENGTH_MAX and len(entry["target"] or b"") <= 4096, "size or target")
        need(entry["attributes"] != [], "no attributes are left out")
        need(all(a[0] < b[0] for a, b in zip(attributes, attributes[1:])), "attributes are not in order")
        need(all(len(n) <= 512 and 0 not in n and len(v) <= 65_536 for n, v in attributes), "attribute")
    return entries


def read_names(data):
    return _check_names(cbor(["b"], data))
