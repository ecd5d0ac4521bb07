"""Chapters 03, 10 and 11: a repository in a directory, read without its help."""

import functools
import os
import pathlib

from . import blobs, keys, objects
from .crypto import hash_of
from .tree import Restorer
from .wire import KEY_OBJECT_MAX, PACK_MAX, RECORD_MAX, Cursor, Refused, cbor, need


class Repository:
    def __init__(self, root, passphrase=None, key=None):
        self.root = pathlib.Path(root)
        self.config = keys.read_config(self.get("config", KEY_OBJECT_MAX))
        self.suite, self.id = self.config["suite"], self.config["repository"]
        self.pinned, bundle = self.unlock(passphrase, key)
        need(self.pinned == self.config["root"], "the config has another root", "rights")
        self.statement = self.newest("keys/statements", lambda data: keys.read_statement(data, self.pinned))
        need(self.statement["number"] >= bundle["statement"], "an old statement", "rights")
        sources, self.holder = [bundle], objects.Keyholder()
        if bundle["ring"]:
            sources.append(self.newest("keys/rings", lambda data: keys.open_keyring(
                data, self.suite, self.id, bundle["ring"][1], self.pinned)))
        for source in sources:
            self.holder.maintenance.update(source["maintenance"])
            for domain in source["domains"]:
                self.holder.domains.update({(domain["tag"], epoch): seed for epoch, seed in domain["epochs"]})
                if domain["id_key"]:
                    self.holder.id_keys[domain["tag"]] = domain["id_key"]

    def get(self, key, limit):
        try:
            need((self.root / key).stat().st_size <= limit, f"{key} is too large")
            return (self.root / key).read_bytes()
        except OSError as error:
            raise Refused("missing", str(error)) from None

    def list(self, prefix):
        found = (self.root / prefix).rglob("*")
        return sorted(str(path.relative_to(self.root)) for path in found if path.is_file() and path.name[0] != ".")

    def named(self, key, limit):
        data = self.get(key, limit)
        need(hash_of(data).hex() == key.split("/")[-1].split("-")[-1], f"{key} is not what its name says", "identity")
        return data

    def unlock(self, passphrase, key):
        """The pinned root and the bundle of the first slot that opens."""
        for name in self.list("keys/slots"):
            try:
                return keys.open_slot(self.named(name, KEY_OBJECT_MAX), self.suite, self.id, passphrase, key)[1:]
            except Refused as refusal:
                if refusal.kind != "key":
                    raise
        raise Refused("key", "no slot opens with this")

    def newest(self, prefix, read):
        for name in reversed(self.list(prefix)):
            try:
                found = read(self.named(name, KEY_OBJECT_MAX))
            except Refused:
                continue
            if found["number"] == int(name.split("/")[-1].split("-")[0], 16):
                return found
        raise Refused("missing", f"nothing good under {prefix}")

    def record(self, key, wanted, read):
        return objects.Record(read(key, RECORD_MAX), wanted, self.id, self.pinned)

    def snapshots(self):
        """Visible snapshots, oldest first: (id, label, record). Lists snapshots/, then gc/."""
        names, closed, hides, found = self.list("snapshots"), {}, {}, []
        for name in self.list("gc"):
            session, what, *by = name.split("/")[-1].split(".")
            if what not in ("hide", "closed"):
                continue
            record = self.record(name, what, self.get)
            if what == "hide":
                hides[record.id] = cbor(objects.HIDE, record.plain)
            else:
                plain = cbor(objects.CLOSED, record.plain)
                signed = [plain["session"].hex(), record.session.hex()]
                need(signed == [session, *by], f"{name} is of other sessions", "rights")
                closed.setdefault(plain["session"], []).append(plain["commits"])
        for name in names:
            record = self.record(name, "snapshot", self.named)
            lists = closed.get(record.session, [])
            counts = all(record.id in commits for commits in lists)
            revoked = record.writer in self.statement["revoked"] and not lists
            about = {id_: hide for id_, hide in hides.items() if record.id in hide["snapshots"]}
            last = [hide for id_, hide in about.items() if not any(id_ in other["after"] for other in about.values())]
            hidden = bool(last) and all(hide["hidden"] for hide in last)
            readable = record.envelope["domain"] in self.holder.id_keys
            if counts and not revoked and not hidden and readable:
                found.append((record.id, cbor(objects.LABEL, record.part(11, self.holder)), record))
        return sorted(found, key=lambda item: (item[1]["captured"], item[0]))

    def open_blobs(self):
        """Rows from the segments; without any, from the tables of contents of all packs."""

        @functools.lru_cache(maxsize=8)
        def load(pack, class_):
            data = self.named(f"packs/{class_}/{pack.hex()[:2]}/{pack.hex()}", PACK_MAX)
            envelope = objects.read_envelope(Cursor(data), "pack")
            need(envelope["repository"] == self.id, "another repository's pack")
            return envelope, data

        reader = blobs.Blobs(self.holder, load)
        for name in (segments := self.list("index")):
            content = self.record(name, "segment", self.named).part(8, self.holder)
            for pack, class_, _, _, rows in blobs.read_segment(content) if content is not None else ():
                reader.add(pack, class_, rows)
        for name in self.list("packs") if not segments else ():
            _, class_, _, id_ = name.split("/")
            reader.add(bytes.fromhex(id_), class_, blobs.open_pack(self.named(name, PACK_MAX), self.holder)[1])
        reader.compute_depths()
        return reader

    def restore(self, wanted, target):
        """Returns the id of the snapshot and what was read of which form."""
        matching = [item for item in self.snapshots() if wanted == "latest" or item[0].hex().startswith(wanted)]
        need(matching and (wanted == "latest" or len(matching) == 1), "no snapshot, or several", "missing")
        root, reader = cbor(objects.LINKS, matching[-1][2].part(10, self.holder))["root"], self.open_blobs()
        os.mkdir(target)
        Restorer(reader).directory(root, os.fsencode(target), 0)
        return matching[-1][0], reader.statistics
