"""Chapter 02, cryptography, and the derivations of chapter 04."""

import hashlib

import nacl.bindings as sodium
from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from nacl.exceptions import CryptoError, RuntimeError as SodiumError

from .wire import Refused, need

ROLES = ["chunk", "group", "node-body", "node-links", "toc", "trailer", "pad", "segment", "snapshot-body",
         "snapshot-links", "snapshot-label", "record", "keyring", "slot", "cache"]
DATA_ROLES = {1, 2, 3, 9}

def hash_of(data):
    return blake3(data).digest()

def derive(context, key):
    return blake3(key, derive_key_context="icecore 1 " + context).digest()

def role_key(key, role):
    return derive(ROLES[role - 1], key)

def blob_id(id_key, kind, plaintext):
    name = {1: "data id", 2: "group id"}.get(kind, "metadata id")
    return blake3(plaintext, key=derive(name, id_key)).digest()

def passphrase_kek(passphrase, salt, memory, passes, lanes):
    need(8 * lanes <= memory <= 4 << 20 and 1 <= passes <= 64 and 1 <= lanes <= 64, "cost", "key")
    return Argon2id(salt=salt, length=32, iterations=passes, lanes=lanes, memory_cost=memory).derive(passphrase)

def _cmac(key, data):
    mac = CMAC(AES(key))
    mac.update(data)
    return mac.finalize()

def aead_open(suite, key, nonce, associated, sealed, kind="seal"):
    """Opens ciphertext with its tag."""
    need(len(nonce) == 24 and len(sealed) >= 16, "too short", kind)
    try:
        if suite == 1:
            return sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(sealed, associated, nonce, key)
        halves = [_cmac(key, bytes([0, number, 0x58, 0]) + nonce[:12]) for number in (1, 2)]
        return AESGCM(b"".join(halves)).decrypt(nonce[12:], sealed, associated)
    except (CryptoError, InvalidTag):
        raise Refused(kind, "does not open") from None

def signature_at(cursor):
    """What is signed, and the signature, the last field."""
    need(cursor.take(1) == b"\1", "unknown signature suite")
    signed, signature = cursor.data[: cursor.at], cursor.take(64)
    cursor.end()
    return signed, signature

def verify(public, context, signed, signature, kind="signature"):
    try:
        sodium.crypto_sign_open(signature + b"icecore 1 " + context.encode() + b"\0" + signed, public)
    except CryptoError:
        raise Refused(kind, "the signature does not verify") from None

def kem_keys(seed):
    """The secrets of an X-Wing seed, of ML-KEM-768 and X25519, and the public half of the second."""
    expanded = hashlib.shake_256(seed).digest(96)
    ml_kem = MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
    return ml_kem, expanded[64:], sodium.crypto_scalarmult_base(expanded[64:])

def unwrap(suite, seed, context, wrapped, kind="key"):
    ml_kem, x25519, own = kem_keys(seed)
    ephemeral = wrapped[1088:1120]
    try:
        shared = ml_kem.decapsulate(wrapped[:1088]) + sodium.crypto_scalarmult(x25519, ephemeral)
    except SodiumError:  # a point of small order
        raise Refused(kind, "the wrapped key does not open") from None
    key = hashlib.sha3_256(shared + ephemeral + own + bytes.fromhex("5c2e2f2f5e5c")).digest()
    return aead_open(suite, key, bytes(24), b"icecore 1 wrap" + context, wrapped[1120:], kind)
