"""python -m icecore_reader REPO --key-file F|--passphrase-file F list|restore SNAP TARGET"""

import argparse
import json
import pathlib
import sys

from .repository import Repository
from .wire import Refused


def main():
    parser = argparse.ArgumentParser(prog="icecore_reader", usage=__doc__)
    parser.add_argument("repository")
    unlock = parser.add_mutually_exclusive_group(required=True)
    unlock.add_argument("--key-file", "--passphrase-file", dest="secret", type=pathlib.Path)
    parser.add_argument("command", nargs="+")
    arguments = parser.parse_args()
    text = arguments.secret.read_bytes().removesuffix(b"\n").removesuffix(b"\r")
    key = bytes.fromhex(text[14:].decode()) if text.startswith(b"icecore-key-1:") else None
    try:
        repository = Repository(arguments.repository, text if key is None else None, key)
        if arguments.command == ["list"]:
            for id_, label, _ in repository.snapshots():
                print(id_.hex(), label["captured"], label["host"], label["source"])
        elif len(arguments.command) == 3 and arguments.command[0] == "restore":
            snapshot, statistics = repository.restore(*arguments.command[1:])
            print(json.dumps({"snapshot": snapshot.hex(), **statistics}))
        else:
            parser.error("list, or restore SNAP TARGET")
    except Refused as refusal:
        print(f"icecore_reader: {refusal}", file=sys.stderr)
        return 4
    return 0


if __name__ == "__main__":
    sys.exit(main())
