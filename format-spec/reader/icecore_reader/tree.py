"""Chapter 09: links, entries and names; recreates a tree below a new directory."""

import os

from .blobs import BODY, CHUNK, LINKS
from .wire import CHILDREN_MAX, CHUNK_MAX, LENGTH_MAX, Cursor, Optional, S, cbor, need

DIRECTORY, INDEX, CONTENT = range(1, 4)  # kinds of nodes
NOTHING, DATA, HOLE, NODE = range(4)  # kinds of children
ENTRY = S(name="b", kind="u64", mode="u32", uid="u32", gid="u32", user=Optional("t"), group=Optional("t"),
          modified="i", size=Optional("u64"), target=Optional("b"), device=Optional(("u32", "u32")),
          hard_link=Optional(("u64", "u64")), attributes=Optional([("b", "b")]), condition=Optional("u64"))

def read_links(data):
    """kind, height, body and children as (tag, length, id)."""
    cursor, children = Cursor(data), []
    kind, height, body = cursor.read("BB32s")
    for _ in range(cursor.count(CHILDREN_MAX)):
        tag = cursor.count(NODE, "B")
        length = cursor.count(LENGTH_MAX, "Q") if tag else 0
        children.append((tag, length, cursor.take(32) if tag in (DATA, NODE) else None))
        need((tag in (DATA, HOLE)) <= length <= (CHUNK_MAX if tag == DATA else LENGTH_MAX), "a child's length")
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
        kind, names = entry["kind"], [name for name, _ in entry["attributes"] or []]
        need(kind <= 6 and fields == [kind == 1, kind == 2, kind in (5, 6)], "kind and fields")
        need(entry["mode"] <= 0o7777 and entry["condition"] in (None, 1, 2), "mode or condition")
        need((entry["size"] or 0) <= LENGTH_MAX and len(entry["target"] or b"") <= 4096, "size or target")
        need(entry["attributes"] != [] and names == sorted(set(names)), "no attributes, or their order")
        need(all(len(n) <= 512 and 0 not in n and len(v) <= 65_536 for n, v in entry["attributes"] or []), "attribute")
    return entries

class Restorer:
    def __init__(self, blobs):
        self.blobs, self.links = blobs, {}
    def node(self, id_, kinds, height):
        kind, actual, body, children = read_links(self.blobs.read(id_, LINKS))
        need(kind in kinds and height in (None, actual), "a node of another kind or height")
        return kind, actual - 1 if actual else None, body, children, sum(length for _, length, _ in children)
    def directory(self, id_, path, depth=0, height=None):
        """Recreates the entries of a node in `path`; returns the bytes of content below it."""
        need(depth <= 4096, "too deep")
        kind, below, body, children, total = self.node(id_, (DIRECTORY, INDEX), height)
        data = self.blobs.read(body, BODY)
        entries = check_names(cbor(["b"], data)) if kind == INDEX else read_entries(data)
        need(len(entries) == len(children), "entries and children")
        for entry, (tag, length, child) in zip(entries, children):
            if kind == INDEX:
                need(self.directory(child, path, depth, below) == length, "length below")
            else:
                self.entry(entry, tag, length, child, os.path.join(path, entry["name"]), depth)
        return total
    def entry(self, entry, tag, length, child, path, depth):
        kind, link = entry["kind"], entry["hard_link"] and tuple(entry["hard_link"])
        if kind == 0:
            need(tag == NODE, "a directory without its node")
            os.mkdir(path)
            need(self.directory(child, path, depth + 1) == length, "length below")
        elif kind == 1:
            need(length == entry["size"], "size and content")
            if link and self.links.setdefault(link, path) != path:
                return os.link(self.links[link], path, follow_symlinks=False)
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
            os.chmod(path, entry["mode"])
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
            _, below, _, children, total = self.node(child, (CONTENT,), height)
            need(total == length, "length below")
            for each in children:
                self.content(file, *each, below)
