"""Reads the vectors with the second reader: every good one to its fields, every defect to a refusal.

    python check.py [DIR]
"""

import json
import pathlib
import re
import sys

from blake3 import blake3

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "reader"))

from icecore_reader import blobs, crypto, keys, objects, tree  # noqa: E402
from icecore_reader.wire import Cursor, Optional, Refused, S, cbor, check, need  # noqa: E402


# What records say that no restore reads.
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
BODY = S(roots=[("b", "b")], facts=[("b", {"": fact})],
         exclusions=at_most(10_000, [("b", "t", Optional("t"), "u64", "u64")]),
         problems=at_most(10_000, [("b", "t")]), labels={"": "t"}, program="t", user="t")
CONTENT = {9: BODY, 10: objects.LINKS, 11: objects.LABEL}  # by role
SEALED = {  # by type of record, role 12
    "set": S(id="b16", snapshots=IDS, complete="?"),
    "proof": S(kind=variant("read-data", "structure", "drill"), finished="i", packs=[("b32", "b32")],
               snapshots=IDS, milliseconds="u64", remark="t"),
    "hold": S(reason="t"),
}
CONDEMNED = S(packs=IDS, segments=IDS, snapshots=IDS)
PLAIN = {
    "snapshot": S(heads=IDS), "session-open": S(kind=variant("write", "prune")),
    "session-beat": S(number="u64"), "session-end": S(commits=IDS), "closed": objects.CLOSED,
    "condemn": CONDEMNED, "delete": CONDEMNED, "hide": objects.HIDE,
    "hold": S(snapshot="b32", until=Optional("i"), releases=Optional("b32")),
}


def tidy(value):
    """A decoded value as the vectors write it."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {key: tidy(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        shape = [len(item) if isinstance(item, bytes) else type(item) for item in value]
        if shape == [16, 1216]:
            return {"epoch": value[0].hex(), "public_blake3": crypto.hash_of(value[1]).hex()}
        names = {(16, 32): ("epoch", "seed"), (int, 32): ("generation", "key")}.get(tuple(shape))
        return dict(zip(names, map(tidy, value))) if names else [tidy(item) for item in value]
    return value


def plain(data):
    return {"length": len(data)} | ({"hex": data.hex()} if len(data) <= 64 else {"blake3": crypto.hash_of(data).hex()})


def row_fields(row):
    return {"id": row.id.hex(), "kind": crypto.ROLES[row.kind - 1], "form": ["full", "delta", "member"][row.form],
            "codec": row.codec, "key": row.key, "generation": row.generation, "offset": row.offset,
            "stored": row.stored, "plain": row.plain, "base": tidy(row.base)}


def holder_of(fields):
    given = {name: bytes.fromhex(value) for name, value in fields.items() if name != "suite"}
    holder = objects.Keyholder()
    if "domain_seed" in given:
        holder.domains[given["domain"], given["domain_epoch"]] = given["domain_seed"]
        holder.id_keys[given["domain"]] = given["id_key"]
    if "maintenance_seed" in given:
        holder.maintenance[given["maintenance_epoch"]] = given["maintenance_seed"]
    return holder, given["repository"], given["root"]


def layout(data, _):
    number, id16, id32 = r"(?P<number>[0-9a-f]{16})", r"(?P<id>[0-9a-f]{32})", r"(?P<id>[0-9a-f]{64})"
    for kind, rest in (("config", ""), ("packs", f"/(?P<class>full|delta|meta)/(?P<xx>..)/{id32}"), ("keys", f"/slots/{id32}"),
                       ("index|snapshots|sets|proofs|holds", f"/{id32}"), ("keys/(?:rings|statements)", f"/{number}-{id32}"),
                       ("sessions|gc", rf"/{id16}\.(?P<what>[a-z0-9.-]+)")):
        match = re.fullmatch(f"(?P<kind>{kind}){rest}", data.decode())
        if match and len(data) <= 200:
            fields = match.groupdict()
            need(fields.pop("xx", None) in (None, (fields.get("id") or "")[:2]), "another directory")
            return {name: int(value, 16) if name == "number" else value for name, value in fields.items()}
    raise Refused("format", "no object key")


def derivation(data, given):
    key = given["key"]
    seed = int.from_bytes(crypto.derive("chunker", key)[:8], "little")
    ids = {f"{name}_id": crypto.blob_id(key, kind, data) for kind, name in ((1, "chunk"), (2, "group"), (4, "metadata"))}
    return ids | {"commit": crypto.derive("commit", key), "roles": [crypto.role_key(key, role) for role in range(1, 16)],
                  "chunker_seed": str(seed), "lineage": crypto.derive("lineage", key), "slot_key": crypto.derive("slot secret", given["slot"] + data),
                  "argon2id_64_3_1": crypto.passphrase_kek(data, given["salt"], 64, 3, 1)}


def wrap(data, given):
    if "host_key" in given:
        need(len(data) == 72, "length")
        associated = b"icecore 1 wrap" + given["context"]
        return {"key": crypto.aead_open(given["suite"], given["host_key"], data[:24], associated, data[24:], "key")}
    need(len(data) == 1168, "length")
    ml_kem, _, x25519 = crypto.kem_keys(given["seed"])
    public = ml_kem.public_key().public_bytes_raw() + x25519
    return {"key": crypto.unwrap(given["suite"], given["seed"], given["context"], data),
            "public_blake3": crypto.hash_of(public)}


def with_certificate(bundle):
    _, writer, public, capabilities, *_ = bundle["certificate"][0]
    return bundle | {"certificate": {"writer": writer, "public_key": public, "capabilities": capabilities}}


def slot(data, given):
    id_, root, bundle = keys.open_slot(data, given["suite"], given["repository"],
                                       given.get("passphrase", "").encode(), given.get("key"))
    return {"slot": id_, "root": root, "bundle": with_certificate(bundle)}


def keyring(data, given):
    ring = keys.open_keyring(data, given["suite"], given["repository"], given["key"], given["root"])
    for credential in ring["credentials"]:
        credential["public_blake3"] = crypto.hash_of(credential.pop("public"))
    return ring


def content(record, role, data):
    if role == 8:
        return [{"pack": pack, "class": class_, "length": length, "author": author, "rows": [row_fields(r) for r in rows]}
                for pack, class_, length, author, rows in blobs.read_segment(data)]
    type_ = SEALED.get(record.type) if role == 12 else CONTENT.get(role)
    value = cbor(type_, data) if type_ else plain(data)
    return value | {"totals": list(value["totals"].values())} if role == 11 else value


def record(data, given):
    holder, repository, root = holder_of(given["keys"])
    got = objects.Record(data, given["type"], repository, root)
    opened = {role: got.part(role, holder) for role in got.parts}
    parts = {str(role): None if data is None else content(got, role, data) for role, data in opened.items()}
    inner = cbor(PLAIN[got.type], got.plain) if got.type in PLAIN else got.plain
    return {"id": got.id, "domain": got.envelope["domain"], "writer": got.writer, "session": got.session,
            "statement": got.statement, "created": got.created, "capabilities": got.capabilities,
            "plain": plain(inner) if isinstance(inner, bytes) else inner, "parts": parts}


def pack(data, given):
    holder, _, _ = holder_of(given["keys"])
    envelope, rows = blobs.open_pack(data, holder)
    reader = blobs.Blobs(holder, lambda *_: (envelope, data), [(None, None, rows)])
    listed = [row_fields(row) for row in rows]
    for row, fields in zip(rows, listed if holder.id_keys else []):
        fields["content"] = plain(reader.read(row.id, row.kind))
    return {"domain": envelope["domain"], "rows": listed}


def codec(data, given):
    base = given.get("base")
    base = base and blake3(base["seed"].encode()).digest(length=base["length"])
    return plain(blobs.decode(given["codec"], data, given["plain_length"], base))


def links(data, _):
    kind, height, body, children = tree.read_links(data)
    tags = ["nothing", "chunk", "hole", "links"]
    return {"kind": ["directory", "directory-index", "content"][kind - 1], "height": height, "body": body,
            "children": [[tags[tag]] + [length] * (tag > 0) + [id_] * (id_ is not None) for tag, length, id_ in children]}


def entries(data, _):
    result = tree.read_entries(data)
    kinds = ["directory", "file", "symlink", "fifo", "socket", "character-device", "block-device"]
    for entry in result:
        size, target, device = entry.pop("size"), entry.pop("target"), entry.pop("device") or []
        entry["kind"] = [kinds[entry["kind"]]] + [v for v in (size, target, *device) if v is not None]
        entry["xattrs"] = entry.pop("attributes") or []
        entry["condition"] = ["whole", "torn", "suspect"][entry["condition"] or 0]
    return result


def padded(length):
    if length < 2:
        return length
    exponent = length.bit_length() - 1
    step = 1 << max(exponent - exponent.bit_length(), 0)
    return -(-length // step) * step


def padding(data, _):
    cursor = Cursor(data)
    return [[length, padded(length)] for length in cursor.read(f"{len(data) // 8}Q")]


def suite(data, given):
    return plain(crypto.aead_open(given["suite"], given["key"], given["nonce"], given["associated_data"], data))


READERS = {
    "padding": padding, "layout": layout, "suite": suite, "derivation": derivation, "wrap": wrap, "slot": slot,
    "config": lambda data, _: keys.read_config(data), "keyring": keyring, "record": record, "pack": pack, "codec": codec,
    "statement": lambda data, given: keys.read_statement(data, given["root"]), "links": links, "entries": entries,
    "names": lambda data, _: tree.check_names(cbor(["b"], data)),
}
HEX = {"key", "host_key", "nonce", "associated_data", "slot", "salt", "seed", "context", "repository", "root", "name"}


def read_all(folder):
    """Returns what went wrong, and how many vectors there were."""
    wrong, total = [], 0
    for path in sorted(pathlib.Path(folder).glob("*/*.json")):
        vector, data = json.loads(path.read_text()), path.with_suffix(".bin").read_bytes()
        given = {key: bytes.fromhex(value) if key in HEX else value for key, value in vector["input"].items()}
        try:
            need(given.get("name") in (None, crypto.hash_of(data)), "another name", "identity")
            got = {"expect": tidy(READERS[vector["structure"]](data, given))}
        except Refused as refusal:
            got = {"refused": refusal.kind}
        expected = {key: vector[key] for key in ("expect", "refused") if key in vector}
        total += 1
        if got != expected:
            wrong.append(f"{path}: expected {expected}, got {got}")
    return wrong, total


def main():
    wrong, total = read_all(sys.argv[1] if len(sys.argv) > 1 else HERE)
    print(*wrong, f"{total - len(wrong)} of {total} vectors are read as they should be", sep="\n")
    return 1 if wrong or not total else 0


if __name__ == "__main__":
    sys.exit(main())
