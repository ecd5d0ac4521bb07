"""python -m icecore_reader REPO --key-file F|--passphrase-file F list|restore SNAP TARGET
python -m icecore_reader vectors DIR"""

import argparse
import pathlib
import sys

from .repository import Repository
from .vectors import check
from .wire import Refused


def main():
    if sys.argv[1:2] == ["vectors"]:
        wrong, total = check(sys.argv[2])
        print(*wrong, f"{total - len(wrong)} of {total} vectors are read as they should be", sep="\n")
        return 1 if wrong or not total else 0
    parser = argparse.ArgumentParser(prog="icecore_reader", usage=__doc__)
    parser.add_argument("repository")
    unlock = parser.add_mutually_exclusive_group(required=True)
    unlock.add_argument("--key-file", type=pathlib.Path)
    unlock.add_argument("--passphrase-file", type=pathlib.Path)
    parser.add_argument("command", nargs="+")
    arguments = parser.parse_args()
    text = (arguments.key_file or arguments.passphrase_file).read_bytes()
    text = text.removesuffix(b"\n").removesuffix(b"\r")
    prefix, found, digits = text.partition(b"icecore-key-1:")
    key = bytes.fromhex(digits.decode()) if found and not prefix else None
    try:
        repository = Repository(arguments.repository, text if key is None else None, key)
        if arguments.command == ["list"]:
            for id_, label, _ in repository.snapshots():
                print(id_.hex(), label["captured"], label["host"], label["source"])
        elif len(arguments.command) == 3 and arguments.command[0] == "restore":
            print(repository.restore(*arguments.command[1:]).hex())
        else:
            parser.error("list, or restore SNAP TARGET")
    except Refused as refusal:
        print(f"icecore_reader: {refusal}", file=sys.stderr)
        return 4
    return 0


if __name__ == "__main__":
    sys.exit(main())
