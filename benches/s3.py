#!/usr/bin/env python3
"""One large database to a bucket and back, icecore beside restic, on the same server.

    benches/s3.py --endpoint http://127.0.0.1:9000 --icecore target/release/icecore \\
        --restic restic [--megabytes 1024]

Credentials: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY; the bucket `bench` is there already. Each tool saves
an SQLite database, saves it again with 1 % of its rows changed, and restores both; prints seconds, and
bytes that were added to the bucket. Run it on a machine that does nothing else.
"""
import argparse
import json
import os
import pathlib
import random
import shutil
import sqlite3
import subprocess
import tempfile
import time


def make(path, megabytes):
    """Rows that compress about as application data does: half text, half noise."""
    rng = random.Random(1)
    words = [rng.randbytes(4).hex() for _ in range(2000)]
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT, b BLOB)")
        rows = megabytes * 1_000_000 // 450
        db.executemany(
            "INSERT INTO t(a, b) VALUES (?, ?)",
            ((" ".join(rng.choices(words, k=25)), rng.randbytes(200)) for _ in range(rows)),
        )
    return rows


def change(path, rows):
    rng = random.Random(2)
    with sqlite3.connect(path) as db:
        for _ in range(rows // 100):
            db.execute("UPDATE t SET b = ? WHERE id = ?", (rng.randbytes(200), rng.randrange(1, rows)))


def timed(command, env, **more):
    began = time.monotonic()
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, check=True, **more)
    return time.monotonic() - began, done.stdout


def same(one, other):
    def content(path):
        with sqlite3.connect(path) as db:
            return db.execute("SELECT count(*), sum(length(a)), sum(unicode(hex(b))) FROM t").fetchone()

    assert content(one) == content(other), "the restored database is another"


def icecore(options, scratch, database, rows):
    repo = f"s3://bench/ice-{os.getpid()}?endpoint={options.endpoint}&region=us-east-1"
    env = dict(os.environ, ICECORE_REPO=repo, ICECORE_PASSPHRASE="bench bench bench", HOME=str(scratch))
    run = lambda *words: timed([options.icecore, *words, "--json"], env, cwd=scratch)
    summary = lambda out: json.loads(out.splitlines()[-1])
    run("repo", "init", "--kdf-memory", "8MiB", "--kdf-passes", "1")
    first, out = run("snapshot", f"sqlite:{database}")
    result = {"first_seconds": first, "first_bytes": summary(out)["bytes_stored"]}
    result["restore_first_seconds"], _ = run("restore", "latest", "--target", str(scratch / "ice-1"))
    same(database, scratch / "ice-1")
    change(database, rows)
    result["second_seconds"], out = run("snapshot", f"sqlite:{database}")
    result["second_bytes"] = summary(out)["bytes_stored"]
    result["restore_second_seconds"], _ = run("restore", "latest", "--target", str(scratch / "ice-2"))
    same(database, scratch / "ice-2")
    return result


def restic(options, scratch, database, rows):
    repo = f"s3:{options.endpoint}/bench/restic-{os.getpid()}"
    env = dict(os.environ, RESTIC_REPOSITORY=repo, RESTIC_PASSWORD="bench", HOME=str(scratch))
    run = lambda *words: timed([options.restic, *words, "--json"], env, cwd=scratch)
    last = lambda out: json.loads(out.splitlines()[-1])
    run("init")
    first, out = run("backup", str(database))
    result = {"first_seconds": first, "first_bytes": last(out)["data_added_packed"]}
    result["restore_first_seconds"], _ = run("restore", "latest", "--target", str(scratch / "restic-1"))
    same(database, next((scratch / "restic-1").rglob("*.db")))
    change(database, rows)
    result["second_seconds"], out = run("backup", str(database))
    result["second_bytes"] = last(out)["data_added_packed"]
    result["restore_second_seconds"], _ = run("restore", "latest", "--target", str(scratch / "restic-2"))
    same(database, next((scratch / "restic-2").rglob("*.db")))
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--icecore", required=True, type=os.path.abspath)
    parser.add_argument("--restic", required=True, type=os.path.abspath)
    parser.add_argument("--megabytes", type=int, default=1024)
    options = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        original = scratch / "original.db"
        rows = make(original, options.megabytes)
        for tool in (icecore, restic):
            database = scratch / "app.db"
            shutil.copyfile(original, database)
            try:
                measured = tool(options, scratch, database, rows)
                results[tool.__name__] = {name: round(value, 2) for name, value in measured.items()}
            except subprocess.CalledProcessError as failed:
                # Some clients and servers do not get along; the others are still measured.
                results[tool.__name__] = {"failed": " ".join(map(str, failed.cmd[1:2]))}
            for restored in scratch.glob("*-[12]"):
                restored.unlink() if restored.is_file() else shutil.rmtree(restored)
    print(json.dumps({"megabytes": options.megabytes, **results}, indent=2))


if __name__ == "__main__":
    main()
