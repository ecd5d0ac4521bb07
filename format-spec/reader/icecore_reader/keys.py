"""Chapter 04: config, statements, certificates, slots, the keyring."""

from .crypto import aead_open, derive, hash_of, passphrase_kek, role_key, signature_at, unwrap, verify
from .wire import CHUNK_MAX, KEY_OBJECT_MAX, Cursor, Optional, S, cbor, need

PUBLIC, SECRET = ("b16", "b1216"), ("b16", "b32")
CONFIG = S(repository="b16", suite="u8", created="i", root="b32", chunks=("u32",) * 4, settle_milliseconds="u32")
STATEMENT = S(number="u64", created="i", maintenance=PUBLIC,
              domains=[S(tag="b16", current=PUBLIC, erasable="?", erased="?")], revoked=["b16"])
CERTIFICATE = (("b16", "b16", "b32", "u8", ["b16"], "i"), "b64")  # in the order of chapter 04
DOMAIN = S(tag="b16", name="t", erasable="?", id_key=Optional("b32"), epochs=[SECRET])
BUNDLE = S(label="t", writer="b16", signing="b32", certificate=CERTIFICATE, ring=Optional(("u64", "b32")),
           domains=[DOMAIN], maintenance=[SECRET], statement="u64")
CREDENTIAL = S(slot="b16", writer="b16", label="t", capabilities="u8", domains=["b16"], created="i", public="b1216")
KEYRING = S(number="u64", root="b32", domains=[DOMAIN], maintenance=[SECRET], credentials=[CREDENTIAL])

def _document(data, kind, type_):
    need(len(data) <= KEY_OBJECT_MAX and hash_of(data[:-32]) == data[-32:], "wrong checksum")
    cursor = Cursor(data[:-32])
    need(cursor.take(10) == b"ICEDOCU\0" + bytes([1, kind]), "not this document, or another version")
    return cbor(type_, cursor.take(cursor.count(KEY_OBJECT_MAX))), signature_at(cursor)

def read_config(data):
    config, signed = _document(data, 1, CONFIG)
    verify(config["root"], "config", *signed, "format")
    least, average, most, page = config["chunks"]
    need(config["suite"] in (1, 2) and 64 <= least < average < most <= CHUNK_MAX, "sizes or suite")
    need(average & average - 1 == 0 and page % 4096 == 0 and 4096 <= page <= CHUNK_MAX, "sizes")
    return config

def read_statement(data, root):
    statement, signed = _document(data, 2, STATEMENT)
    verify(root, "statement", *signed, "format")
    return statement

def read_certificate(data, repository, root):
    """The certified tuple."""
    certified, signature = cbor(CERTIFICATE, data)
    need(certified[3] < 16, "unknown capabilities")
    need(certified[0] == repository, "another repository's certificate", "rights")
    # An array's head of one byte, the certified tuple, and 2 + 64 bytes of signature.
    verify(root, "certificate", data[1:-66], signature, "rights")
    return certified

def _sealed(cursor):
    """Associated data (all that comes before), the nonce, the ciphertext."""
    associated, part = cursor.data[: cursor.at], Cursor(cursor.take(cursor.count(KEY_OBJECT_MAX)))
    return part.take(24), associated, part.data[24:]

def open_slot(data, suite, repository, passphrase=None, key=None):
    """The slot's id, the pinned root and the bundle. Refusal `key`: not this slot's key."""
    cursor = Cursor(data)
    head, slot, derivation, *cost, salt, commit = cursor.read("26s16sB3I16s32s")
    need(head == b"ICESLOT\0" + bytes([1, suite]) + repository, "no slot, or another repository's")
    front, _, wrapped, sealed_bundle = _sealed(cursor), cursor.take(1216), cursor.take(1168), _sealed(cursor)
    signed = signature_at(cursor)
    need(derivation in (1, 2), "unknown derivation")
    need((derivation == 1) == (key is None), "made for another kind of key", "key")
    kek = derive("slot secret", slot + key) if key is not None else passphrase_kek(passphrase, salt, *cost)
    need(derive("commit", kek) == commit, "another key than this slot's", "key")
    secret = aead_open(suite, role_key(kek, 14), *front, "changed")
    need(len(secret) == 64, "not seed and root", "changed")
    verify(secret[32:], "slot", *signed, "changed")
    bundle_key = unwrap(suite, secret[:32], slot, wrapped, "changed")
    return slot, secret[32:], cbor(BUNDLE, aead_open(suite, role_key(bundle_key, 14), *sealed_bundle, "changed"))

def open_keyring(data, suite, repository, key, root):
    cursor = Cursor(data)
    (head, _, commit), sealed = cursor.read("26sQ32s"), _sealed(cursor)
    need(head == b"ICERING\0" + bytes([1, suite]) + repository, "no keyring, or another repository's")
    verify(root, "keyring", *signature_at(cursor), "format")
    need(derive("commit", key) == commit, "sealed under another ring key", "key")
    return cbor(KEYRING, aead_open(suite, role_key(key, 13), *sealed, "format"))
