"""Chapters 05, 07 and 10: envelopes, sealed parts, records and what they contain."""

from .crypto import DATA_ROLES, aead_open, commitment, hash_of, role_key, unwrap, verify
from .keys import read_certificate
from .wire import RECORD_MAX, Cursor, Optional, S, cbor, check, need

TYPES = ["pack", "snapshot", "segment", "set", "proof", "hold", "audit", "session-open", "session-beat",
         "session-end", "closed", "condemn", "delete", "hide", "fence", "parity"]
WRITE, MAINTAIN = 2, 4
SIGNERS = dict.fromkeys(["snapshot", "set"], WRITE)
SIGNERS |= dict.fromkeys(["segment", "session-open", "session-beat", "session-end"], WRITE | MAINTAIN)
SIGNERS |= dict.fromkeys(["hold", "fence", "closed", "condemn", "delete", "hide"], MAINTAIN)


class Keyholder:
    """The secrets of a credential: D by domain and epoch, T by epoch, id keys by domain."""

    def __init__(self, suite, repository):
        self.suite, self.repository = suite, repository
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
                need(commitment(key) == commit, "not the committed key", "key")
                self.known[name] = key
                break
        return self.known.get(name)


def read_envelope(cursor, wanted):
    need(cursor.take(9) == b"ICECORE\0\1", "not an icecore object, or another version")
    suite, type_, reserved = cursor.numbers("BBB")
    need(suite in (1, 2) and TYPES[type_ : type_ + 1] == [wanted] and reserved == 0, "another object")
    repository, domain, keys = cursor.take(16), cursor.take(16), []
    for _ in range(cursor.number("H")):
        id_, kind, commit, count = cursor.take(16), cursor.number("B"), cursor.take(32), cursor.number("B")
        need(kind in (1, 2) and 1 <= count <= 4 and len(keys) < 512, "bad key entry")
        keys.append((id_, kind, commit, [_recipient(cursor) for _ in range(count)]))
    return {"suite": suite, "repository": repository, "domain": domain, "keys": keys}


def _recipient(cursor):
    kind, epoch, length = cursor.number("B"), cursor.take(16), cursor.number("H")
    need({1: 1168, 2: 1168, 3: 72}.get(kind) == length, "unknown recipient")
    return kind, epoch, cursor.take(length)


def check_key(envelope, number, role):
    need(number < len(envelope["keys"]), "no such key")
    need((envelope["keys"][number][1] == 1) == (role in DATA_ROLES), "the wrong kind of key")


def open_part(envelope, number, key, role, sealed, plain=None, blob=bytes(36), base=bytes(32)):
    """Opens a sealed part. `plain`: a blob's plain length; `blob`: its id, form, codec, generation."""
    plain = len(sealed) - 40 if plain is None else plain
    need(len(sealed) >= 40, "too short", "seal")
    associated = (bytes([1, envelope["suite"]]) + envelope["repository"] + envelope["domain"] + bytes([role])
                  + envelope["keys"][number][2] + blob + plain.to_bytes(4, "little") + base)
    return aead_open(envelope["suite"], role_key(key, role), sealed[:24], associated, sealed[24:])


class Record:
    def __init__(self, data, wanted, repository, root):
        need(len(data) <= RECORD_MAX and hash_of(data[:-32]) == data[-32:], "wrong checksum")
        self.id, self.type, cursor = hash_of(data), wanted, Cursor(data[:-32])
        self.envelope = read_envelope(cursor, wanted)
        self.writer, self.session = cursor.take(16), cursor.take(16)
        self.statement, self.created = cursor.numbers("Qq")
        self.plain, self.parts = cursor.take(cursor.count(RECORD_MAX)), {}
        count = cursor.number("B")
        need(count <= 4, "too many parts")
        for _ in range(count):
            role, key, length = cursor.numbers("BHI")
            need(1 <= role <= 15 and role not in self.parts and 40 <= length <= RECORD_MAX, "bad part")
            check_key(self.envelope, key, role)
            self.parts[role] = (key, cursor.take(length))
        encoded = cursor.take(cursor.number("H"))
        need(cursor.number("B") == 1, "unknown signature suite")
        signed, signature = data[: cursor.at], cursor.take(64)
        cursor.end()
        need(self.envelope["repository"] == repository, "another repository's record", "rights")
        _, writer, public, self.capabilities, domains, _ = read_certificate(encoded, repository, root)
        here = self.envelope["domain"]
        need(writer == self.writer, "another writer's certificate", "rights")
        need(here == bytes(16) or not domains or here in domains, "another domain", "rights")
        need(self.capabilities & SIGNERS.get(wanted, 15) or wanted not in SIGNERS, "not allowed", "rights")
        verify(public, wanted, signed, signature)

    def part(self, role, holder):
        """The content of a part, or None when the holder is no recipient."""
        number, sealed = self.parts[role]
        key = holder.session_key(self.envelope, number)
        if key is None:
            return None
        cursor = Cursor(open_part(self.envelope, number, key, role, sealed))
        content = cursor.take(cursor.count(RECORD_MAX))
        need(not any(cursor.data[cursor.at :]), "the fill is not zero")
        return content


def fact(value):
    number, inner = check(("u64", lambda value: value), value)
    need(number < 5, "unknown fact")
    return check((["t", "i", "?", {"": "u64"}, ["t"]][number],), inner)[0]


def variant(*names):
    def name(value):
        need(check("u64", value) < len(names), "unknown kind")
        return names[value]
    return name


def at_most(limit, type_):
    def check_length(value):
        need(len(check(type_, value)) <= limit, "too many")
        return check(type_, value)
    return check_length


IDS = ["b32"]
TOTALS = S(**dict.fromkeys(["files", "directories", "bytes", "chunks", "chunks_new", "chunks_delta",
                            "bytes_new", "bytes_stored", "milliseconds"], "u64"))
CONTENT = {  # by role
    9: S(roots=[("b", "b")], facts=[("b", {"": fact})],
         exclusions=at_most(10_000, [("b", "t", Optional("t"), "u64", "u64")]),
         problems=at_most(10_000, [("b", "t")]), labels={"": "t"}, program="t", user="t"),
    10: S(root="b32"),
    11: S(source="t", host="t", captured="i", tags={"": "t"}, set="b16", parent=Optional("b32"),
          job=Optional("t"), complete="?", suspect="?", totals=TOTALS, checked=Optional("t")),
}
SEALED = {  # by type of record, role 12
    "set": S(id="b16", snapshots=IDS, complete="?"),
    "proof": S(kind=variant("read-data", "structure", "drill"), finished="i", packs=[("b32", "b32")],
               snapshots=IDS, milliseconds="u64", remark="t"),
    "hold": S(reason="t"),
}
CONDEMNED = S(packs=IDS, segments=IDS, snapshots=IDS)
PLAIN = {
    "snapshot": S(heads=IDS), "session-open": S(kind=variant("write", "prune")),
    "session-beat": S(number="u64"), "session-end": S(commits=IDS), "closed": S(session="b16", commits=IDS),
    "condemn": CONDEMNED, "delete": CONDEMNED, "hide": S(snapshots=IDS, hidden="?", after=IDS),
    "hold": S(snapshot="b32", until=Optional("i"), releases=Optional("b32")),
}


def plain_content(record):
    return cbor(PLAIN[record.type], record.plain) if record.type in PLAIN else record.plain
