"""Chapters 03, 10 and 11: a repository in a directory, read without its help."""

import os
import pathlib
import stat

from . import blobs, keys, objects
from .crypto import hash_of
from .wire import DEPTH_MAX, KEY_OBJECT_MAX, NODE_MAX, PACK_MAX, RECORD_MAX, Cursor, Refused, cbor, need


class Repository:
    def __init__(self, root, passphrase=None, key=None):
        self.root = pathlib.Path(root)
        self.config = keys.read_config(self.get("config", KEY_OBJECT_MAX))
        self.suite, self.id = self.config["suite"], self.config["repository"]
        self.pinned, self.bundle = self.unlock(passphrase, key)
        need(self.pinned == self.config["root"], "the config has another root", "rights")
        ring = self.bundle["ring"]
        self.ring = ring and self.newest("keys/rings", lambda data: keys.open_keyring(
            data, self.suite, self.id, ring[1], self.pinned))
        self.statement = self.newest("keys/statements", lambda data: keys.read_statement(data, self.pinned))
        need(self.statement["number"] >= self.bundle["statement"], "an old statement", "rights")
        self.holder = objects.Keyholder(self.suite, self.id)
        for source in (self.bundle, self.ring or {"domains": [], "maintenance": []}):
            self.holder.maintenance.update((epoch, seed) for epoch, seed in source["maintenance"])
            for domain in source["domains"]:
                self.holder.domains.update({(domain["tag"], epoch): seed for epoch, seed in domain["epochs"]})
                if domain["id_key"]:
                    self.holder.id_keys[domain["tag"]] = domain["id_key"]
        self.heads = {}

    def get(self, key, limit):
        path = self.root / key
        need(path.stat().st_size <= limit, f"{key} is too large")
        return path.read_bytes()

    def list(self, prefix):
        found = (self.root / prefix).rglob("*")
        return sorted(str(path.relative_to(self.root)) for path in found if path.is_file() and path.name[0] != ".")

    def named(self, key, limit):
        data = self.get(key, limit)
        need(hash_of(data).hex() == key.split("/")[-1].split("-")[-1], f"{key} is not what its name says", "identity")
        return data

    def unlock(self, passphrase, key):
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

    def record(self, key, wanted, named=True):
        read = self.named if named else self.get
        return objects.Record(read(key, RECORD_MAX), wanted, self.id, self.pinned)

    def snapshots(self):
        """Visible snapshots, oldest first: (id, label, record). Lists snapshots/, then gc/."""
        names, closed, hides = self.list("snapshots"), {}, {}
        for name in self.list("gc"):
            session, what = name.split("/")[-1].split(".")[:2]
            if what not in ("closed", "hide"):
                continue
            record = self.record(name, what, named=False)
            plain = objects.plain_content(record)
            if what == "hide":
                hides[record.id] = plain
            else:
                need(plain["session"].hex() == session, "a closed record under another name")
                closed.setdefault(plain["session"], []).append(plain["commits"])
        found = []
        for name in names:
            record = self.record(name, "snapshot")
            lists = closed.get(record.session, [])
            counts = all(record.id in commits for commits in lists)
            revoked = record.writer in self.statement["revoked"] and not lists
            about = {id_: hide for id_, hide in hides.items() if record.id in hide["snapshots"]}
            last = [hide for id_, hide in about.items() if not any(id_ in other["after"] for other in about.values())]
            hidden = bool(last) and all(hide["hidden"] for hide in last)
            label = record.part(11, self.holder)
            if counts and not revoked and not hidden and label is not None:
                found.append((record.id, cbor(objects.CONTENT[11], label), record))
        return sorted(found, key=lambda item: (item[1]["captured"], item[0]))

    def head(self, pack, class_):
        """A pack's envelope, checked with the whole pack against its name."""
        if pack not in self.heads:
            data = self.named(self.pack_key(pack, class_), PACK_MAX)
            self.heads[pack] = objects.read_envelope(Cursor(data), "pack")
            need(self.heads[pack]["repository"] == self.id, "another repository's pack")
        return self.heads[pack]

    def pack_key(self, pack, class_):
        return f"packs/{class_}/{pack.hex()[:2]}/{pack.hex()}"

    def fetch(self, pack, class_, offset, length):
        with open(self.root / self.pack_key(pack, class_), "rb") as file:
            file.seek(offset)
            return file.read(length)

    def open_blobs(self):
        """Rows from the segments; without any, from the tables of contents of all packs."""
        reader = blobs.Blobs(self.holder, self.head, self.fetch)
        for name in (segments := self.list("index")):
            content = self.record(name, "segment").part(8, self.holder)
            for pack, class_, _, _, rows in blobs.read_segment(content) if content is not None else ():
                reader.add(pack, class_, rows)
        for name in self.list("packs") if not segments else ():
            _, rows = blobs.open_pack(self.named(name, PACK_MAX), self.holder)
            reader.add(bytes.fromhex(name.split("/")[-1]), name.split("/")[1], rows)
        return reader

    def restore(self, wanted, target):
        matching = [item for item in self.snapshots() if wanted == "latest" or item[0].hex().startswith(wanted)]
        need(matching and (wanted == "latest" or len(matching) == 1), "no snapshot, or several", "missing")
        root = cbor(objects.CONTENT[10], matching[-1][2].part(10, self.holder))["root"]
        os.mkdir(target)
        Restorer(self.open_blobs()).directory(root, os.fsencode(target), 0)
        return matching[-1][0]


class Restorer:
    """Chapter 09: recreates a tree below a new directory."""

    def __init__(self, reader):
        self.reader, self.links = reader, {}

    def node(self, id_, kinds, height=None):
        kind, actual, body, children = blobs.read_links(self.reader.read(id_, blobs.LINKS))
        need(kind in kinds and height in (None, actual), "a node of another kind or height")
        return kind, actual, body, children

    def directory(self, id_, path, depth, below=None):
        """Recreates the entries of a node in `path`; returns the bytes of content below it."""
        need(depth <= 4096, "too deep")
        kind, height, body, children = self.node(id_, (1, 2), below)
        data, total = self.reader.read(body, blobs.BODY), 0
        if kind == 2:
            need(len(blobs.read_names(data)) == len(children), "names and children")
            for _, length, child in children:
                need(self.directory(child, path, depth, height - 1) == length, "length below")
                total += length
            return total
        entries = blobs.read_entries(data)
        need(len(entries) == len(children), "entries and children")
        for entry, (tag, length, child) in zip(entries, children):
            self.entry(entry, tag, length, child, os.path.join(path, entry["name"]), depth)
            total += length
        return total

    def entry(self, entry, tag, length, child, path, depth):
        kind, link = entry["kind"], entry["hard_link"] and tuple(entry["hard_link"])
        if kind == 0:
            need(tag == 3, "a directory without its node")
            os.mkdir(path)
            need(self.directory(child, path, depth + 1) == length, "length below")
        elif kind == 1:
            need(length == entry["size"], "size and content")
            if link in self.links and link is not None:
                return os.link(self.links[link], path, follow_symlinks=False)
            self.links[link] = path
            with open(path, "xb") as file:
                self.content(file, tag, length, child, None)
                file.truncate(length)
        elif kind == 2:
            os.symlink(entry["target"], path)
        elif kind == 3:
            os.mkfifo(path)
        else:
            return print(f"{os.fsdecode(path)}: a socket or device is not recreated")
        if kind != 2:
            os.chmod(path, stat.S_IMODE(entry["mode"]))
        os.utime(path, ns=(entry["modified"], entry["modified"]), follow_symlinks=False)

    def content(self, file, tag, length, child, height):
        """Writes one child of a content list at the file's position."""
        if tag == 1:
            plain = self.reader.read(child, blobs.CHUNK)
            need(len(plain) == length, "chunk length")
            file.write(plain)
        elif tag == 2:
            file.seek(length, os.SEEK_CUR)
        elif tag == 3:
            _, actual, _, children = self.node(child, (3,), height)
            need(sum(each[1] for each in children) == length, "length below")
            for each in children:
                self.content(file, *each, actual - 1 if actual else None)
