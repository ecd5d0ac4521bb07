"""Chapters 03, 10 and 11: a repository in a directory, read without its help."""

import functools
import os
import pathlib

from . import blobs, keys, objects
from .crypto import hash_of
from .tree import Restorer
from .wire import KEY_OBJECT_MAX, PACK_MAX, RECORD_MAX, Cursor, Refused, cbor, need

class Repository:
    def __init__(self, root, *secret):
        self.root, self.holder = pathlib.Path(root), objects.Keyholder()
        config = keys.read_config(self.get("config", KEY_OBJECT_MAX))
        here = _, self.id = config["suite"], config["repository"]
        _, self.pinned, bundle = self.last("keys/slots", lambda data: keys.open_slot(data, *here, *secret), "key")
        need(self.pinned == config["root"], "the config has another root", "rights")
        self.statement = self.last("keys/statements", lambda data: keys.read_statement(data, self.pinned))
        need(self.statement["number"] >= bundle["statement"], "an old statement", "rights")
        ring = lambda data: keys.open_keyring(data, *here, bundle["ring"][1], self.pinned)
        for source in [bundle, self.last("keys/rings", ring)] if bundle["ring"] else [bundle]:
            self.holder.maintenance.update(source["maintenance"])
            for domain in source["domains"]:
                self.holder.domains.update({(domain["tag"], epoch): seed for epoch, seed in domain["epochs"]})
                if domain["id_key"]:
                    self.holder.id_keys[domain["tag"]] = domain["id_key"]
    def get(self, key, limit):
        """An object's bytes; where its name ends with a hash, they have it."""
        try:
            need((self.root / key).stat().st_size <= limit, f"{key} is too large")
            data = (self.root / key).read_bytes()
        except OSError as error:
            raise Refused("missing", str(error)) from None
        id_ = key.split("/")[-1].split("-")[-1]
        need(len(id_) != 64 or hash_of(data).hex() == id_, f"{key} is not what its name says", "identity")
        return data
    def list(self, prefix):
        found = (self.root / prefix).rglob("*")
        return sorted(str(path.relative_to(self.root)) for path in found if path.is_file() and path.name[0] != ".")
    def last(self, prefix, read, kind="missing"):
        """What the object with the last name gives that is good, and not an old one under a new name."""
        for name in reversed(self.list(prefix)):
            try:
                found, (number, *hash_) = read(self.get(name, KEY_OBJECT_MAX)), name.split("/")[-1].split("-")
                if not hash_ or found["number"] == int(number, 16):
                    return found
            except Refused:
                pass
        raise Refused(kind, f"nothing in {prefix} opens with this")
    def record(self, key, wanted):
        return objects.Record(self.get(key, RECORD_MAX), wanted, self.id, self.pinned)
    def snapshots(self):
        """Visible snapshots, oldest first: (id, label, record). Lists snapshots/, then gc/."""
        names, closed, deleted, found = self.list("snapshots"), {}, set(), []
        gc = [(name.split("/")[-1].split("."), name) for name in self.list("gc")]
        hides = {record.id: cbor(objects.HIDE, record.plain) for record in [
            self.record(name, "hide") for parts, name in gc if parts[1] == "hide"]}
        for (session, _, *by), name in [named for named in gc if named[0][1] == "closed"]:
            plain = cbor(objects.CLOSED, (record := self.record(name, "closed")).plain)
            need([plain["session"].hex(), record.session.hex()] == [session, *by], f"{name} is of others", "rights")
            closed.setdefault(plain["session"], []).append(plain["commits"])
        def counts(record):
            lists = closed.get(record.session) or [[] if record.writer in self.statement["revoked"] else [record.id]]
            return all(record.id in commits for commits in lists)
        for (session, *_), name in [named for named in gc if named[0][1] == "delete"]:
            need((record := self.record(name, "delete")).session.hex() == session, f"{name} is of others", "rights")
            deleted.update(cbor(objects.CONDEMNED, record.plain)["snapshots"] if counts(record) else ())
        for name in names:
            record = self.record(name, "snapshot")
            about = {id_: hide for id_, hide in hides.items() if record.id in hide["snapshots"]}
            last = [hide for id_, hide in about.items() if not any(id_ in other["after"] for other in about.values())]
            gone = record.id in deleted or not counts(record) or last and all(hide["hidden"] for hide in last)
            if not gone and record.envelope["domain"] in self.holder.id_keys:
                found.append((record.id, cbor(objects.LABEL, record.part(11, self.holder)), record))
        return sorted(found, key=lambda item: (item[1]["captured"], item[0]))
    @functools.lru_cache(maxsize=8)
    def pack(self, id_, class_):
        data = self.get(f"packs/{class_}/{id_.hex()[:2]}/{id_.hex()}", PACK_MAX)
        need((envelope := objects.read_envelope(Cursor(data), "pack"))["repository"] == self.id, "another repository's pack")
        return envelope, data
    def open_blobs(self):
        """Rows from the segments; without any, from the tables of contents of all packs."""
        packs, segments = [], self.list("index")
        for name in segments:
            content = self.record(name, "segment").part(8, self.holder)
            packs += [(pack, class_, rows) for pack, class_, _, _, rows in blobs.read_segment(content or bytes(4))]
        for name in self.list("packs") if not segments else ():
            _, class_, _, id_ = name.split("/")
            packs.append((bytes.fromhex(id_), class_, blobs.open_pack(self.get(name, PACK_MAX), self.holder)[1]))
        return blobs.Blobs(self.holder, self.pack, packs)
    def restore(self, wanted, target):
        """Returns the id of the snapshot and what was read of which form."""
        matching = [item for item in self.snapshots() if wanted == "latest" or item[0].hex().startswith(wanted)]
        need(matching and (wanted == "latest" or len(matching) == 1), "no snapshot, or several", "missing")
        id_, _, record = matching[-1]
        root, reader = cbor(objects.LINKS, record.part(10, self.holder))["root"], self.open_blobs()
        os.mkdir(target)
        Restorer(reader).directory(root, os.fsencode(target))
        return {"snapshot": id_.hex(), **reader.statistics}
