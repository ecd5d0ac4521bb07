"""Chapter 09: links, entries and names; recreates a tree below a new directory."""

import os
import stat

from .blobs import BODY, CHUNK, LINKS
from .wire import CHILDREN_MAX, CHUNK_MAX, LENGTH_MAX, Cursor, Optional, S, cbor, need

DIRECTORY, INDEX, CONTENT = 1, 2, 3  # kinds of nodes
NOTHING, DATA, HOLE, NODE = 0, 1, 2, 3  # kinds of children
ENTRY = S(name="b", kind="u64", mode="u32", uid="u32", gid="u32", user=Optional("t"), group=Optional("t"),
          modified="i", size=Optional("u64"), target=Optional("b"), device=Optional(("u32", "u32")),
          hard_link=Optional(("u64", "u64")), attributes=Optional([("b", "b")]), condition=Optional("u64"))


def read_links(data):
    """kind, height, body and children as (tag, length, id)."""
    cursor = Cursor(data)
    (kind, height, body), children = cursor.read("BB32s"), []
    for _ in range(cursor.count(CHILDREN_MAX)):
        tag = cursor.number("B")
        length = cursor.number("Q") if tag else 0
        children.append((tag, length, cursor.take(32) if tag in (DATA, NODE) else None))
        need(length <= (CHUNK_MAX if tag == DATA else LENGTH_MAX), "child too long")
        need(length > 0 or tag in (NOTHING, NODE), "an empty child")
    cursor.end()
    need(height <= 8 and (body == bytes(32)) == (kind == CONTENT), "height or body")
    need({DIRECTORY: height == 0, INDEX: height > 0, CONTENT: True}.get(kind), "kind and height")
    allowed = {NOTHING, DATA, HOLE, NODE} if kind == DIRECTORY else {NODE} if height else {DATA, HOLE}
    need({tag for tag, _, _ in children} <= allowed, "children of another kind")
    return kind, height, body, children


def check_names(names):
    good = (0 < len(n) <= 512 and n not in (b".", b"..") and not set(n) & {0, 47} for n in names)
    need(all(good), "a name that no file can have")
    need(all(a < b for a, b in zip(names, names[1:])), "names are not in order")
    return names


def read_entries(data):
    entries = cbor([ENTRY], data)
    need(len(entries) <= CHILDREN_MAX, "too many entries")
    check_names([entry["name"] for entry in entries])
    for entry in entries:
        fields = [entry[name] is not None for name in ("size", "target", "device")]
        kind, attributes = entry["kind"], entry["attributes"] or []
        need(kind <= 6 and fields == [kind == 1, kind == 2, kind in (5, 6)], "kind and fields")
        need(entry["mode"] <= 0o7777 and entry["condition"] in (None, 1, 2), "mode or condition")
        need((entry["size"] or 0) <= LENGTH_MAX and len(entry["target"] or b"") <= 4096, "size or target")
        need(entry["attributes"] != [], "no attributes are left out")
        need(all(a[0] < b[0] for a, b in zip(attributes, attributes[1:])), "attributes are not in order")
        need(all(len(n) <= 512 and 0 not in n and len(v) <= 65_536 for n, v in attributes), "attribute")
    return entries


def read_names(data):
    return check_names(cbor(["b"], data))


class Restorer:
    def __init__(self, blobs):
        self.blobs, self.links = blobs, {}

    def node(self, id_, kinds, height=None):
        kind, actual, body, children = read_links(self.blobs.read(id_, LINKS))
        need(kind in kinds and height in (None, actual), "a node of another kind or height")
        return kind, actual, body, children

    def directory(self, id_, path, depth, below=None):
        """Recreates the entries of a node in `path`; returns the bytes of content below it."""
        need(depth <= 4096, "too deep")
        kind, height, body, children = self.node(id_, (DIRECTORY, INDEX), below)
        read = read_names if kind == INDEX else read_entries
        entries = read(self.blobs.read(body, BODY))
        need(len(entries) == len(children), "entries and children")
        for entry, (tag, length, child) in zip(entries, children):
            if kind == INDEX:
                need(self.directory(child, path, depth, height - 1) == length, "length below")
            else:
                self.entry(entry, tag, length, child, os.path.join(path, entry["name"]), depth)
        return sum(length for _, length, _ in children)

    def entry(self, entry, tag, length, child, path, depth):
        kind, link = entry["kind"], entry["hard_link"] and tuple(entry["hard_link"])
        if kind == 0:
            need(tag == NODE, "a directory without its node")
            os.mkdir(path)
            need(self.directory(child, path, depth + 1) == length, "length below")
        elif kind == 1:
            need(length == entry["size"], "size and content")
            if link in self.links and link is not None:
                return os.link(self.links[link], path, follow_symlinks=False)
            self.links[link] = path
            with open(path, "xb") as file:
                self.content(file, tag, length, child)
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

    def content(self, file, tag, length, child, height=None):
        """Writes one child of a content list at the file's position."""
        if tag == DATA:
            plain = self.blobs.read(child, CHUNK)
            need(len(plain) == length, "chunk length")
            file.write(plain)
        elif tag == HOLE:
            file.seek(length, os.SEEK_CUR)
        elif tag == NODE:
            _, actual, _, children = self.node(child, (CONTENT,), height)
            need(sum(each[1] for each in children) == length, "length below")
            for each in children:
                self.content(file, *each, actual - 1 if actual else None)
