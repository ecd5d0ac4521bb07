"""python -m icecore_reader REPO SECRET-FILE list
python -m icecore_reader REPO SECRET-FILE restore SNAPSHOT|latest TARGET"""

import json
import pathlib
import sys

from .repository import Repository
from .wire import Refused

def main():
    if (sys.argv[3:4], len(sys.argv)) not in ((["list"], 4), (["restore"], 6)):
        print(__doc__, file=sys.stderr)
        return 2
    text = pathlib.Path(sys.argv[2]).read_bytes().removesuffix(b"\n").removesuffix(b"\r")
    key = bytes.fromhex(text[14:].decode()) if text.startswith(b"icecore-key-1:") else None
    try:
        repository = Repository(sys.argv[1], text, key)
        if sys.argv[3] == "restore":
            print(json.dumps(repository.restore(*sys.argv[4:])))
        else:
            for id_, label, _ in repository.snapshots():
                print(id_.hex(), label["captured"], label["host"], label["source"])
    except Refused as refusal:
        print(f"icecore_reader: {refusal}", file=sys.stderr)
        return 4

sys.exit(main())
