#!/usr/bin/env python3
"""Compares icecore with restic, rustic, borg and bupstash in one run and prints a Markdown table.

    cargo build --release && benches/compare.py [--runs 5] [--scale 1.0] [--work DIR] [--only sqlite,random,files]

Peers that are not installed are left out (see the README for how to install them). Same data, same
machine, one after the other, repositories on the same disk; every tool makes what it wrote durable
itself, and a `sync` inside the measured time makes up for those that do not. Restored bytes are
compared with the source. The page cache is warm for all. Columns: wall seconds (median), CPU
seconds, peak resident memory.
"""
import argparse, filecmp, os, random, shutil, sqlite3, statistics, subprocess, sys, time

HERE = os.path.dirname(os.path.abspath(__file__))
ICECORE = os.path.join(HERE, "..", "target", "release", "icecore")


def run(argv, env, ok=(0,), cwd=None):
    """Runs a command to the end and returns wall seconds, CPU seconds and peak memory in MiB."""
    started = time.monotonic()
    process = subprocess.Popen(argv, env=env, cwd=cwd, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    os.sync()
    code = os.waitstatus_to_exitcode(status)
    if code not in ok:
        sys.exit(f"{' '.join(argv)} ended with {code}:\n{output.decode(errors='replace')}")
    return time.monotonic() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


class Tool:
    def __init__(self, work):
        self.repo = os.path.join(work, "repo-" + self.name)
        self.env = dict(os.environ, HOME=os.path.join(work, "home-" + self.name))
        self.env.pop("ICECORE_REPO", None)
        shutil.rmtree(self.env["HOME"], ignore_errors=True)
        os.makedirs(self.env["HOME"])
        self.key = os.path.join(work, "bench.key")

    def fresh(self):
        shutil.rmtree(self.repo, ignore_errors=True)
        shutil.rmtree(self.env["HOME"], ignore_errors=True)
        os.makedirs(self.env["HOME"])
        self.init()

    def available(self):
        return shutil.which(self.binary, path=os.environ["PATH"] + ":/opt/peers/bin") is not None


class Icecore(Tool):
    name, binary = "icecore", ICECORE

    def command(self, *argv):
        return [ICECORE, *argv, "-r", self.repo, "--key-file", self.key, "-q"]

    def init(self):
        if not os.path.exists(self.key):
            subprocess.run([ICECORE, "key", "generate", self.key], check=True, stdout=subprocess.DEVNULL)
        kit = os.path.join(self.env["HOME"], "kit.txt")
        run(self.command("repo", "init", "--kit", kit), self.env)

    def save(self, source):
        return run(self.command("snapshot", source), self.env)

    def restore(self, source, target):
        inside = os.path.join(target, os.path.basename(source))
        return run(self.command("restore", "latest", "--target", target + "/"), self.env), inside

    def check(self):
        return run(self.command("check", "--read-data"), self.env)


class Restic(Tool):
    name, binary = "restic", "restic"

    def command(self, *argv):
        self.env.update(RESTIC_PASSWORD="x", RESTIC_REPOSITORY=self.repo)
        return [self.binary, *argv, "-q"]

    def init(self):
        run(self.command("init"), self.env)

    def save(self, source):
        return run(self.command("backup", source), self.env)

    def restore(self, source, target):
        return run(self.command("restore", "latest", "--target", target), self.env), target + source

    def check(self):
        return run(self.command("check", "--read-data"), self.env)


class Rustic(Restic):
    name, binary = "rustic", "rustic"

    def command(self, *argv):
        self.env.update(RUSTIC_PASSWORD="x", RUSTIC_REPOSITORY=self.repo)
        return [shutil.which("rustic", path=os.environ["PATH"] + ":/opt/peers/bin"), *argv]

    def restore(self, source, target):
        return run(self.command("restore", "latest", target), self.env), target + source


class Borg(Tool):
    name, binary = "borg", "borg"

    def command(self, *argv):
        self.env.update(BORG_PASSPHRASE="x", BORG_REPO=self.repo, BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK="yes")
        return [self.binary, *argv]

    def init(self):
        run(self.command("init", "-e", "repokey-blake2"), self.env)
        self.count = 0

    def save(self, source):
        self.count += 1
        self.last = f"::a{self.count}"
        return run(self.command("create", "-C", "zstd,3", self.last, source), self.env)

    def restore(self, source, target):
        return run(self.command("extract", self.last), self.env, cwd=target), target + source

    def check(self):
        return run(self.command("check", "--verify-data"), self.env)


class Bupstash(Tool):
    name, binary = "bupstash", "bupstash"

    def command(self, *argv):
        self.env.update(BUPSTASH_REPOSITORY=self.repo, BUPSTASH_KEY=self.env["HOME"] + "/key")
        return [shutil.which("bupstash", path=os.environ["PATH"] + ":/opt/peers/bin"), *argv]

    def init(self):
        run(self.command("new-key", "-o", self.env["HOME"] + "/key"), self.env)
        run(self.command("init"), self.env)

    def save(self, source):
        return run(self.command("put", "-q", "name=x", source), self.env)

    def restore(self, source, target):
        argv = " ".join(self.command("get", "-q", "name=x"))
        if os.path.isdir(source):
            inside = os.path.join(target, "out")
            os.makedirs(inside)
            return run(["sh", "-c", f"{argv} | tar -x -C {inside}"], self.env), inside
        inside = os.path.join(target, "out")
        return run(["sh", "-c", f"{argv} > {inside}"], self.env), inside

    def check(self):
        return None


def make_sqlite(path, megabytes):
    random.seed(1)
    database = sqlite3.connect(path)
    database.execute("pragma journal_mode=off")
    database.execute("create table trades(id integer primary key, ts, symbol, price, qty, note)")
    symbols = [a + b for a in "ABCDEFGHIJ" for b in ("BTC", "ETH", "EUR", "USD", "KZT")]
    rows = ((i, 1700000000000 + i * 37, random.choice(symbols), round(random.lognormvariate(4, 1), 4),
             random.randrange(10**6), "order %032x" % random.getrandbits(128)) for i in range(int(megabytes * 11_500)))
    database.executemany("insert into trades values(?,?,?,?,?,?)", rows)
    database.commit()
    database.close()


def make_random(path, megabytes):
    with open(path, "wb") as out:
        for _ in range(int(megabytes)):
            out.write(os.urandom(1 << 20))


def make_files(path, count):
    random.seed(2)
    words = ["w%x" % random.getrandbits(24) for _ in range(5000)]
    for i in range(int(count)):
        directory = os.path.join(path, "%02d" % (i % 97), "%02d" % (i // 97 % 31))
        os.makedirs(directory, exist_ok=True)
        size = int(random.lognormvariate(7.5, 1.2))
        with open(os.path.join(directory, "f%05d.txt" % i), "w") as out:
            out.write(" ".join(random.choices(words, k=max(1, size // 6))))


def same(left, right):
    if os.path.isfile(left):
        return filecmp.cmp(left, right, shallow=False)
    for parent, _, names in os.walk(left):
        other = os.path.join(right, os.path.relpath(parent, left))
        if filecmp.cmpfiles(parent, other, names, shallow=False)[0] != names:
            return False
    return True


def measure(tool, source, runs, work):
    rows = {"first": [], "unchanged": [], "restore": [], "check": []}
    for _ in range(runs):
        tool.fresh()
        rows["first"].append(tool.save(source))
        rows["unchanged"].append(tool.save(source))
        target = os.path.join(work, "restored")
        shutil.rmtree(target, ignore_errors=True)
        os.makedirs(target)
        took, inside = tool.restore(source, target)
        if not same(source, inside):
            sys.exit(f"{tool.name} restored something else than {source}")
        rows["restore"].append(took)
        shutil.rmtree(target)
        checked = tool.check()
        if checked:
            rows["check"].append(checked)
    shutil.rmtree(tool.repo)
    return rows


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--runs", type=int, default=5)
    options.add_argument("--scale", type=float, default=1.0)
    options.add_argument("--work", default="target/compare")
    options.add_argument("--only", default="sqlite,random,files")
    options = options.parse_args()
    work = os.path.abspath(options.work)
    os.makedirs(work, exist_ok=True)
    makers = {"sqlite": (make_sqlite, 1024, "app.db"), "random": (make_random, 2048, "random.bin"),
              "files": (make_files, 60_000, "files")}
    tools = [kind(work) for kind in (Icecore, Restic, Rustic, Borg, Bupstash)]
    tools = [tool for tool in tools if tool.available()]
    for name in options.only.split(","):
        make, size, file = makers[name]
        source = os.path.join(work, file)
        if not os.path.exists(source):
            make(source, size * options.scale)
        print(f"\n### {name}\n\n| step | " + " | ".join(tool.name for tool in tools) + " |")
        print("|---" * (len(tools) + 1) + "|")
        results = {tool.name: measure(tool, source, options.runs, work) for tool in tools}
        for step in ("first", "unchanged", "restore", "check"):
            cells = []
            for tool in tools:
                runs = results[tool.name][step]
                if not runs:
                    cells.append("-")
                    continue
                wall, cpu, memory = (statistics.median(column) for column in zip(*runs))
                cells.append(f"{wall:.2f} s, {cpu:.2f} CPU, {memory:.0f} MiB")
            print(f"| {step} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
