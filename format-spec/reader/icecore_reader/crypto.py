"""Chapter 02, cryptography, and the derivations of chapter 04."""

import hashlib

import argon2.low_level
import nacl.bindings
import nacl.exceptions
from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from .wire import Refused, need

ROLES = ["chunk", "group", "node-body", "node-links", "toc", "trailer", "pad", "segment", "snapshot-body",
         "snapshot-links", "snapshot-label", "record", "keyring", "slot", "cache"]
DATA_ROLES = {1, 2, 3, 9}


def hash_of(data):
    return blake3(data).digest()


def derive(context, key):
    return blake3(key, derive_key_context=context).digest()


def role_key(key, role):
    return derive("icecore 1 " + ROLES[role - 1], key)


def commitment(key):
    return derive("icecore 1 commit", key)


def blob_id(id_key, kind, plaintext):
    name = {1: "data", 2: "group", 3: "metadata", 4: "metadata"}[kind]
    return blake3(plaintext, key=derive(f"icecore 1 {name} id", id_key)).digest()


def secret_kek(slot, secret):
    return derive("icecore 1 slot secret", slot + secret)


def passphrase_kek(passphrase, salt, memory, passes, lanes):
    need(memory <= 4 << 20 and passes <= 64 and lanes <= 64, "too expensive", "key")
    try:
        return argon2.low_level.hash_secret_raw(
            passphrase, salt, time_cost=passes, memory_cost=memory, parallelism=lanes, hash_len=32,
            type=argon2.low_level.Type.ID, version=0x13)
    except argon2.exceptions.HashingError as error:
        raise Refused("key", str(error)) from None


def _xaes_key(key, nonce):
    block = Cipher(algorithms.AES(key), modes.ECB()).encryptor().update
    double = int.from_bytes(block(bytes(16)), "big") << 1
    k1 = (double & (1 << 128) - 1) ^ (0x87 if double >> 128 else 0)
    halves = (int.from_bytes(bytes([0, i, 0x58, 0]) + nonce[:12], "big") ^ k1 for i in (1, 2))
    return b"".join(block(half.to_bytes(16, "big")) for half in halves)


def aead_open(suite, key, nonce, associated, sealed, kind="seal"):
    """Opens ciphertext with its tag."""
    need(len(nonce) == 24 and len(sealed) >= 16, "too short", kind)
    try:
        if suite == 1:
            decrypt = nacl.bindings.crypto_aead_xchacha20poly1305_ietf_decrypt
            return decrypt(sealed, associated, nonce, key)
        return AESGCM(_xaes_key(key, nonce)).decrypt(nonce[12:], sealed, associated)
    except (nacl.exceptions.CryptoError, InvalidTag):
        raise Refused(kind, "does not open") from None


def verify(public, context, message, signature, kind="signature"):
    message = b"icecore 1 " + context.encode() + b"\0" + message
    try:
        nacl.bindings.crypto_sign_open(signature + message, public)
    except nacl.exceptions.CryptoError:
        raise Refused(kind, "the signature does not verify") from None


def _kem_keys(seed):
    expanded = hashlib.shake_256(seed).digest(96)
    return (MLKEM768PrivateKey.from_seed_bytes(expanded[:64]),
            X25519PrivateKey.from_private_bytes(expanded[64:]))


def kem_public(seed):
    return b"".join(key.public_key().public_bytes_raw() for key in _kem_keys(seed))


def unwrap(suite, seed, context, wrapped, kind="key"):
    ml_kem, x25519 = _kem_keys(seed)
    ephemeral = wrapped[1088:1120]
    try:
        shared = x25519.exchange(X25519PublicKey.from_public_bytes(ephemeral))
    except ValueError:  # a point of small order
        raise Refused(kind, "the wrapped key does not open") from None
    shared = ml_kem.decapsulate(wrapped[:1088]) + shared + ephemeral
    shared += x25519.public_key().public_bytes_raw() + bytes.fromhex("5c2e2f2f5e5c")
    key = hashlib.sha3_256(shared).digest()
    return aead_open(suite, key, bytes(24), b"icecore 1 wrap" + context, wrapped[1120:], kind)
