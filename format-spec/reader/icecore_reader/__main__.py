"""python -m icecore_reader REPO SECRET-FILE list
python -m icecore_reader REPO SECRET-FILE restore SNAPSHOT|latest TARGET"""

import json
import pathlib
import sys

from .repository import Repository
from .wire import Refused


def main():
    if len(sys.argv) < 4 or (sys.argv[3], len(sys.argv)) not in (("list", 4), ("restore", 6)):
        print(__doc__, file=sys.stderr)
        return 2
    text = pathlib.Path(sys.argv[2]).read_bytes().removesuffix(b"\n").removesuffix(b"\r")
    key = bytes.fromhex(text[14:].decode()) if text.startswith(b"icecore-key-1:") else None
    try:
        repository = Repository(sys.argv[1], text if key is None else None, key)
        if sys.argv[3] == "list":
            for id_, label, _ in repository.snapshots():
                print(id_.hex(), label["captured"], label["host"], label["source"])
        else:
            snapshot, statistics = repository.restore(*sys.argv[4:])
            print(json.dumps({"snapshot": snapshot.hex(), **statistics}))
    except Refused as refusal:
        print(f"icecore_reader: {refusal}", file=sys.stderr)
        return 4
    return 0


if __name__ == "__main__":
    sys.exit(main())
