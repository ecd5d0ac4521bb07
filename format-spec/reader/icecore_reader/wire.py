"""Chapters 02 and 14: integers, restricted CBOR, bounds."""

import collections
import struct

import cbor2

MIB = 1 << 20
CHUNK_MAX, NODE_MAX, PACK_MAX, RECORD_MAX, KEY_OBJECT_MAX = MIB, 4 * MIB, 34 * MIB, 16 * MIB, MIB
ROWS_MAX, TRIES_MAX, DEPTH_MAX, CHILDREN_MAX, LENGTH_MAX = 100_000, 1024, 32, 16_384, 1 << 60

class Refused(Exception):
    """Bytes that are not what they should be; `kind` is the class in the vectors."""
    def __init__(self, kind, why):
        super().__init__(f"{kind}: {why}")
        self.kind = kind

def need(condition, why, kind="format"):
    if not condition:
        raise Refused(kind, why)

class Cursor:
    """Reads fields from the front of bytes, never past their end."""
    def __init__(self, data):
        self.data, self.at = data, 0
    def take(self, length):
        need(length <= len(self.data) - self.at, "ends early")
        self.at += length
        return self.data[self.at - length : self.at]
    def read(self, layout):
        """Fields by the letters of `struct`, little-endian and without gaps."""
        return struct.unpack("<" + layout, self.take(struct.calcsize("<" + layout)))
    def count(self, limit, letter="I"):
        count, = self.read(letter)
        need(count <= limit, f"{count} is more than {limit}")
        return count
    def end(self):
        need(self.at == len(self.data), "bytes left over")

# Types: "u8" to "u64", "i", "?" (truth), "t" (text), "b" or "b32" (bytes); [T]; a tuple; {"": T} for
# a map of texts; S(name=T, ...) for a structure with keys from 0; Optional(T); a function.
S = type("S", (dict,), {})
Optional = collections.namedtuple("Optional", "type")
PLAIN_TYPES = {"u": int, "i": int, "?": bool, "t": str, "b": bytes}

def cbor(type_, data):
    """Decodes data that must be the one encoding of a value of this type."""
    try:
        value = cbor2.loads(bytes(data))
        exact = cbor2.dumps(value) == data  # shortest heads, definite lengths, maps in their order
    except Exception as error:  # whatever a library does with hostile bytes
        raise Refused("format", f"CBOR: {error}") from None
    need(exact, "not canonically encoded")
    return check(type_, value)

def check(type_, value):
    """The value, when it is of this type; of a structure, its fields by name."""
    if isinstance(type_, Optional):
        return None if value is None else check(type_.type, value)
    if isinstance(type_, str):
        python, size = PLAIN_TYPES[type_[0]], int(type_[1:] or 0)
        need(type(value) is python and (python is not bytes or size in (0, len(value))), f"not a {type_}")
        need(python is not int or 0 <= value + (0 if size else 1 << 63) < 1 << (size or 64), f"not a {type_}")
        return value
    if isinstance(type_, S):
        need(type(value) is dict and list(value) == [i for i in range(len(type_)) if i in value], "fields or order")
        need(None not in value.values(), "null for absent")
        return {name: check(type_[name], value.get(i)) for i, name in enumerate(type_)}
    if isinstance(type_, dict):
        texts = type(value) is dict and all(type(key) is str for key in value)
        need(texts and list(value) == sorted(value, key=str.encode), "not a map of texts, in order")
        return {key: check(type_[""], item) for key, item in value.items()}
    if isinstance(type_, (list, tuple)):
        need(type(value) in (list, tuple), "not an array")
        types = type_ * len(value) if isinstance(type_, list) else type_
        need(len(types) == len(value), "not this tuple")
        return [check(inner, item) for inner, item in zip(types, value)]
    return type_(value)
