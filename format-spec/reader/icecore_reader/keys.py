"""Chapter 04: config, statements, certificates, slots, the keyring."""

from .crypto import aead_open, commitment, hash_of, passphrase_kek, role_key, secret_kek, unwrap, verify
from .wire import CHUNK_MAX, KEY_OBJECT_MAX, Cursor, Optional, S, cbor, need

PUBLIC, SECRET = ("b16", "b1216"), ("b16", "b32")
CONFIG = S(repository="b16", suite="u8", created="i", root="b32", chunks=("u32",) * 4, settle_milliseconds="u32")
STATEMENT = S(number="u64", created="i", maintenance=PUBLIC,
              domains=[S(tag="b16", current=PUBLIC, erasable="?", erased="?")], revoked=["b16"])
# Repository, writer, public key, capabilities, domains, issued; signature.
CERTIFICATE = (("b16", "b16", "b32", "u8", ["b16"], "i"), "b64")
DOMAIN = S(tag="b16", name="t", erasable="?", id_key=Optional("b32"), epochs=[SECRET])
BUNDLE = S(label="t", writer="b16", signing="b32", certificate=CERTIFICATE, ring=Optional(("u64", "b32")),
           domains=[DOMAIN], maintenance=[SECRET], statement="u64")
CREDENTIAL = S(slot="b16", writer="b16", label="t", capabilities="u8", domains=["b16"], created="i", public="b1216")
KEYRING = S(number="u64", root="b32", domains=[DOMAIN], maintenance=[SECRET], credentials=[CREDENTIAL])


def _document(data, kind):
    need(len(data) <= KEY_OBJECT_MAX and hash_of(data[:-32]) == data[-32:], "wrong checksum")
    cursor = Cursor(data)
    need(cursor.take(10) == b"ICEDOCU\0" + bytes([1, kind]), "not this document, or another version")
    body = cursor.take(cursor.count(KEY_OBJECT_MAX))
    need(cursor.number("B") == 1, "unknown signature suite")
    signed, signature = data[: cursor.at], cursor.take(64)
    cursor.take(32)
    cursor.end()
    return body, signed, signature


def read_config(data):
    body, signed, signature = _document(data, 1)
    config = cbor(CONFIG, body)
    verify(config["root"], "config", signed, signature, "format")
    least, average, most, page = config["chunks"]
    need(config["suite"] in (1, 2) and 64 <= least < average < most <= CHUNK_MAX, "sizes or suite")
    need(average & average - 1 == 0 and page % 4096 == 0 and 4096 <= page <= CHUNK_MAX, "sizes")
    return config


def read_statement(data, root):
    body, signed, signature = _document(data, 2)
    verify(root, "statement", signed, signature, "format")
    return cbor(STATEMENT, body)


def read_certificate(data, repository, root):
    """The certified tuple."""
    certified, signature = cbor(CERTIFICATE, data)
    need(certified[3] < 16, "unknown capabilities")
    need(certified[0] == repository, "another repository's certificate", "rights")
    # An array's head of one byte, the certified tuple, and 2 + 64 bytes of signature.
    verify(root, "certificate", data[1:-66], signature, "rights")
    return certified


def _head(data, magic, suite, repository):
    need(len(data) <= KEY_OBJECT_MAX, "too large")
    cursor = Cursor(data)
    need(cursor.take(26) == magic + bytes([1, suite]) + repository, "not this, or another repository's")
    return cursor


def _sealed(cursor):
    """Associated data (all that comes before) and the nonce with its ciphertext."""
    associated = cursor.data[: cursor.at]
    return associated, cursor.take(cursor.count(KEY_OBJECT_MAX))


def _signed(cursor):
    need(cursor.number("B") == 1, "unknown signature suite")
    signed, signature = cursor.data[: cursor.at], cursor.take(64)
    cursor.end()
    return signed, signature


def _open(suite, key, part, kind):
    return aead_open(suite, key, part[1][:24], part[0], part[1][24:], kind)


def open_slot(data, suite, repository, passphrase=None, key=None):
    """The slot's id, the pinned root and the bundle. Refusal `key`: not this slot's key."""
    cursor = _head(data, b"ICESLOT\0", suite, repository)
    slot, (derivation, *cost) = cursor.take(16), cursor.numbers("BIII")
    salt, commit, front = cursor.take(16), cursor.take(32), _sealed(cursor)
    _, wrapped, sealed_bundle = cursor.take(1216), cursor.take(1168), _sealed(cursor)
    signed, signature = _signed(cursor)
    need(derivation in (1, 2), "unknown derivation")
    need((derivation == 1) == (key is None), "made for another kind of key", "key")
    kek = secret_kek(slot, key) if key is not None else passphrase_kek(passphrase, salt, *cost)
    need(commitment(kek) == commit, "another key than this slot's", "key")
    secret = _open(suite, role_key(kek, 14), front, "changed")
    need(len(secret) == 64, "not seed and root", "changed")
    verify(secret[32:], "slot", signed, signature, "changed")
    bundle_key = unwrap(suite, secret[:32], slot, wrapped, "changed")
    return slot, secret[32:], cbor(BUNDLE, _open(suite, role_key(bundle_key, 14), sealed_bundle, "changed"))


def open_keyring(data, suite, repository, key, root):
    cursor = _head(data, b"ICERING\0", suite, repository)
    _, commit, sealed = cursor.take(8), cursor.take(32), _sealed(cursor)
    verify(root, "keyring", *_signed(cursor), "format")
    need(commitment(key) == commit, "sealed under another ring key", "key")
    return cbor(KEYRING, _open(suite, role_key(key, 13), sealed, "format"))
