"""Chapters 05, 07 and 10: envelopes, sealed parts, records and what a restore reads in them."""

from .crypto import DATA_ROLES, aead_open, derive, hash_of, role_key, signature_at, unwrap, verify
from .keys import read_certificate
from .wire import RECORD_MAX, Cursor, Optional, S, need

# Types by number, and what their signer must be allowed: 2 write, 4 maintain.
SIGNERS = {"pack": 0, "snapshot": 2, "segment": 6, "set": 2, "proof": 15, "hold": 4, "audit": 15,
           "session-open": 6, "session-beat": 6, "session-end": 6, "closed": 4, "condemn": 4, "delete": 4,
           "hide": 4, "fence": 4, "parity": 0}
TOTALS = S(**dict.fromkeys(["files", "directories", "bytes", "chunks", "chunks_new", "chunks_delta",
                            "bytes_new", "bytes_stored", "milliseconds"], "u64"))
LINKS = S(root="b32")
LABEL = S(source="t", host="t", captured="i", tags={"": "t"}, set="b16", parent=Optional("b32"),
          job=Optional("t"), complete="?", suspect="?", totals=TOTALS, checked=Optional("t"))
CLOSED = S(session="b16", commits=["b32"])
CONDEMNED = S(packs=["b32"], segments=["b32"], snapshots=["b32"])
HIDE = S(snapshots=["b32"], hidden="?", after=["b32"])

class Keyholder:
    """The secrets of a credential: D by domain and epoch, T by epoch, id keys by domain."""
    def __init__(self):
        self.domains, self.maintenance, self.id_keys, self.known = {}, {}, {}, {}
    def session_key(self, envelope, number):
        """The session key of an entry, checked against its commitment; None for no recipient."""
        id_, entry_kind, commit, recipients = envelope["keys"][number]
        name = (envelope["domain"], id_, commit)
        for kind, epoch, wrapped in recipients if name not in self.known else []:
            seed = {1: self.domains.get((envelope["domain"], epoch)), 2: self.maintenance.get(epoch)}.get(kind)
            if seed is not None:
                context = envelope["repository"] + envelope["domain"] + id_ + bytes([entry_kind, kind]) + epoch
                key = unwrap(envelope["suite"], seed, context, wrapped)
                need(derive("commit", key) == commit, "not the committed key", "key")
                return self.known.setdefault(name, key)
        return self.known.get(name)

def read_envelope(cursor, wanted):
    magic, suite, type_, reserved, repository, domain = cursor.read("9s3B16s16s")
    need(magic == b"ICECORE\0\1", "not an icecore object, or another version")
    need(suite in (1, 2) and list(SIGNERS)[type_ : type_ + 1] == [wanted] and reserved == 0, "another object")
    return {"suite": suite, "repository": repository, "domain": domain,
            "keys": [_key_entry(cursor) for _ in range(cursor.count(512, "H"))]}

def _key_entry(cursor):
    id_, entry_kind, commit, count = cursor.read("16sB32sB")
    need(entry_kind in (1, 2) and 1 <= count <= 4, "bad key entry")
    recipients = []
    for _ in range(count):
        kind, epoch, length = cursor.read("B16sH")
        need({1: 1168, 2: 1168, 3: 72}.get(kind) == length, "unknown recipient")
        recipients.append((kind, epoch, cursor.take(length)))
    return id_, entry_kind, commit, recipients

def check_key(envelope, number, role):
    need(number < len(envelope["keys"]), "no such key")
    need((envelope["keys"][number][1] == 1) == (role in DATA_ROLES), "the wrong kind of key")

def open_part(envelope, number, holder, role, sealed, plain=None, blob=bytes(36), base=bytes(32)):
    """Opens a sealed part; None for no recipient. `blob`: a blob's id, form, codec and generation."""
    check_key(envelope, number, role)
    need(len(sealed) >= 40, "too short", "seal")
    key = holder.session_key(envelope, number)
    if key is None:
        return None
    length = len(sealed) - 40 if plain is None else plain
    associated = (bytes([1, envelope["suite"]]) + envelope["repository"] + envelope["domain"] + bytes([role])
                  + envelope["keys"][number][2] + blob + length.to_bytes(4, "little") + base)
    return aead_open(envelope["suite"], role_key(key, role), sealed[:24], associated, sealed[24:])

class Record:
    def __init__(self, data, wanted, repository, root):
        need(len(data) <= RECORD_MAX and hash_of(data[:-32]) == data[-32:], "wrong checksum")
        self.id, self.type, cursor = hash_of(data), wanted, Cursor(data[:-32])
        self.envelope = read_envelope(cursor, wanted)
        self.writer, self.session, self.statement, self.created = cursor.read("16s16sQq")
        self.plain, self.parts = cursor.take(cursor.count(RECORD_MAX)), {}
        for _ in range(cursor.count(4, "B")):
            role, key, length = cursor.read("BHI")
            need(1 <= role <= 15 and role not in self.parts and 40 <= length <= RECORD_MAX, "bad part")
            check_key(self.envelope, key, role)
            self.parts[role] = (key, cursor.take(length))
        encoded, signed = cursor.take(cursor.count(RECORD_MAX, "H")), signature_at(cursor)
        need(self.envelope["repository"] == repository, "another repository's record", "rights")
        _, writer, public, self.capabilities, domains, _ = read_certificate(encoded, repository, root)
        need(writer == self.writer, "another writer's certificate", "rights")
        need(not domains or self.envelope["domain"] in [bytes(16), *domains], "another domain", "rights")
        need(self.capabilities & SIGNERS[wanted] or SIGNERS[wanted] == 15, "not allowed", "rights")
        verify(public, wanted, *signed)
    def part(self, role, holder):
        """The content of a part, or None when the holder is no recipient."""
        need(role in self.parts, "a part is missing")
        number, sealed = self.parts[role]
        opened = open_part(self.envelope, number, holder, role, sealed)
        if opened is not None:
            cursor = Cursor(opened)
            content = cursor.take(cursor.count(RECORD_MAX))
            need(not any(cursor.data[cursor.at :]), "the fill is not zero")
            return content
