#!/usr/bin/env python3
"""Compares icecore with restic, rustic, borg and bupstash in one run and prints a Markdown table.

    cargo build --release && benches/compare.py [--runs 5] [--scale 1.0] [--work DIR]
        [--only sqlite,random,files] [--readme README.md]

Peers that are not installed are left out. Same data, same machine, one after the other, repositories
on the same disk; every tool makes what it wrote durable itself, and a `sync` inside the measured
time makes up for those that do not. Restored bytes are compared with the source; `cp` is a plain
copy of the source, for scale. The page cache is warm for all. The changed run follows 1 % of the
rows updated everywhere (SQLite), ten small inserts (random), or 1 % of the files rewritten. Cells:
median wall seconds, CPU seconds, peak resident memory; `stored` is what the changed run added.
A restored database is the same bytes from every tool (`restore`; icecore with `--database-check none`);
`restore, checked` adds what tells that it is a good one: `integrity_check`, which icecore runs by itself.
`--readme` replaces what stands between the two `compare` marks of that file.
"""
import argparse, filecmp, glob, os, random, shutil, sqlite3, statistics, subprocess, sys, time

HERE = os.path.dirname(os.path.abspath(__file__))
ICECORE = os.path.join(HERE, "..", "target", "release", "icecore")


def run(argv, env, ok=(0,), cwd=None):
    """Runs a command to the end and returns wall seconds, CPU seconds and peak memory in MiB."""
    os.sync()
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

    def restore_checked(self, source, target):
        restored, inside = self.restore(source, target)
        query = "import sqlite3, sys; print(*sqlite3.connect(sys.argv[1]).execute('pragma integrity_check'))"
        checked = run([sys.executable, "-c", query, inside], self.env)
        return restored[0] + checked[0], restored[1] + checked[1], max(restored[2], checked[2])

    def available(self):
        return os.access(self.binary, os.X_OK)

    def version(self):
        out = subprocess.run([self.binary, self.version_flag], capture_output=True, text=True).stdout
        return next((word for word in out.replace(",", " ").split() if word[:1].isdigit()), "?")

    version_flag = "--version"


def newest(name, *patterns):
    """The newest installed program of this name: below $PEERS first, then on the PATH."""
    for pattern in patterns:
        found = sorted(glob.glob(os.path.join(os.environ.get("PEERS", "/opt/peers"), pattern)))
        if found:
            return found[-1]
    return shutil.which(name) or name


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

    def restore(self, source, target, *options):
        inside = os.path.join(target, os.path.basename(source))
        options = options or ("--database-check", "none")
        return run(self.command("restore", "latest", "--target", target + "/", *options), self.env), inside

    def restore_checked(self, source, target):
        return self.restore(source, target, "--database-check", "integrity")[0]

    def check(self):
        return run(self.command("check", "--read-data"), self.env)


class Restic(Tool):
    name, binary = "restic", newest("restic", "restic_new/usr/bin/restic")
    version_flag = "version"

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
    name, binary = "rustic", newest("rustic", "bin/rustic")
    version_flag = "--version"

    def command(self, *argv):
        self.env.update(RUSTIC_PASSWORD="x", RUSTIC_REPOSITORY=self.repo)
        return [self.binary, *argv]

    def restore(self, source, target):
        return run(self.command("restore", "latest", target), self.env), target + source


class Borg(Tool):
    name, binary = "borg", newest("borg", "borg14/bin/borg")

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
    name, binary = "bupstash", newest("bupstash", "bin/bupstash")

    def command(self, *argv):
        self.env.update(BUPSTASH_REPOSITORY=self.repo, BUPSTASH_KEY=self.env["HOME"] + "/key")
        return [self.binary, *argv]

    def init(self):
        run(self.command("new-key", "-o", self.env["HOME"] + "/key"), self.env)
        run(self.command("init"), self.env)
        self.count = 0

    def save(self, source):
        self.count += 1
        return run(self.command("put", "-q", f"name={self.count}", source), self.env)

    def restore(self, source, target):
        argv = " ".join(self.command("get", "-q", f"name={self.count}"))
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


def change_sqlite(path):
    database = sqlite3.connect(path)
    database.execute("pragma journal_mode=off")
    database.execute("update trades set qty = qty + 1, price = price + 0.5 where id * 2654435761 % 100 = 7")
    database.commit()
    database.close()


def change_random(path):
    random.seed(3)
    places = sorted(random.randrange(os.path.getsize(path)) for _ in range(10))
    with open(path, "rb") as old, open(path + ".new", "wb") as new:
        for place in places:
            while old.tell() < place:
                new.write(old.read(min(1 << 20, place - old.tell())))
            new.write(os.urandom(100))
        shutil.copyfileobj(old, new, 1 << 20)
    os.replace(path + ".new", path)


def change_files(path):
    random.seed(4)
    for parent, _, names in os.walk(path):
        for name in names:
            if random.random() < 0.01:
                with open(os.path.join(parent, name), "a") as out:
                    out.write(" changed %x" % random.getrandbits(64))


def size_of(path):
    return sum(os.path.getsize(os.path.join(parent, name)) for parent, _, names in os.walk(path) for name in names)


def copy(source, target):
    """What the disk and a plain copy take, for scale."""
    return run(["cp", "-R", "--reflink=never", source, target], dict(os.environ))


def same(left, right):
    if os.path.isfile(left):
        return filecmp.cmp(left, right, shallow=False)
    for parent, _, names in os.walk(left):
        other = os.path.join(right, os.path.relpath(parent, left))
        if filecmp.cmpfiles(parent, other, names, shallow=False)[0] != names:
            return False
    return True


STEPS = ("first", "unchanged", "changed", "restore", "restore, checked", "check")


def measure(tool, pristine, source, change, work):
    """One run of every step with a fresh repository; `pristine` is the source as first saved."""
    took = {}
    duplicate(pristine, source)
    tool.fresh()
    took["first"] = tool.save(source)
    took["unchanged"] = tool.save(source)
    change(source)
    before = size_of(tool.repo)
    took["changed"] = tool.save(source)
    took["stored"] = size_of(tool.repo) - before
    target = os.path.join(work, "restored")
    remove(target)
    os.makedirs(target)
    took["restore"], inside = tool.restore(source, target)
    if not same(source, inside):
        sys.exit(f"{tool.name} restored something else than {source}")
    remove(target)
    took["restore, checked"] = None
    if source.endswith(".db"):
        os.makedirs(target)
        took["restore, checked"] = tool.restore_checked(source, target)
        remove(target)
    took["check"] = tool.check()
    remove(tool.repo)
    return took


def remove(path):
    if os.path.isdir(path):
        shutil.rmtree(path)
    elif os.path.exists(path):
        os.remove(path)


def duplicate(path, target):
    remove(target)
    subprocess.run(["cp", "-a", path, target], check=True)
    # Every tool sees a source that was at rest for a while: no stat cache has to distrust it.
    time.sleep(2.5)


def cell(measured):
    measured = [one for one in measured if one]
    if not measured:
        return "-"
    wall, cpu, memory = (statistics.median(column) for column in zip(*measured))
    return f"{wall:.2f} s, {cpu:.2f} CPU, {memory:.0f} MiB"


def compare(name, maker, tools, options, work):
    """The table of one data set, as lines of Markdown."""
    make, change, size, file = maker
    pristine, source = os.path.join(work, "pristine-" + file), os.path.join(work, "now", file)
    if not os.path.exists(pristine):
        make(pristine, size * options.scale)
    os.makedirs(os.path.dirname(source), exist_ok=True)
    runs, copies = {tool.name: [] for tool in tools}, []
    for _ in range(options.runs):
        for tool in tools:
            runs[tool.name].append(measure(tool, pristine, source, change, work))
        copies.append(copy(source, source + ".copy"))
        remove(source + ".copy")
    remove(source)
    heads = [f"{tool.name} {tool.version()}" for tool in tools] + ["fastest peer / icecore"]
    lines = [f"**{name}**", "", "| | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for step in STEPS:
        walls = {tool: [run[step][0] for run in of if run[step]] for tool, of in runs.items()}
        walls = {tool: statistics.median(of) for tool, of in walls.items() if of}
        if not walls:
            continue
        peers = [wall for tool, wall in walls.items() if tool != "icecore"]
        ratio = f"{min(peers) / walls['icecore']:.1f}" if peers and "icecore" in walls else "-"
        cells = [cell([run[step] for run in runs[tool.name]]) for tool in tools]
        lines.append(f"| {step} | " + " | ".join([*cells, ratio]) + " |")
    stored = [statistics.median(run["stored"] for run in runs[tool.name]) for tool in tools]
    ratio = f"{min(stored[1:]) / stored[0]:.0f}" if len(stored) > 1 else "-"
    lines.append("| stored | " + " | ".join([*(f"{one / 1e6:.1f} MB" for one in stored), ratio]) + " |")
    lines += ["", f"A plain `cp` of the source: {cell(copies)}.", ""]
    return lines


def write_readme(path, lines):
    """Replaces what stands between the marks."""
    begin, end = "<!-- compare: begin -->", "<!-- compare: end -->"
    with open(path) as file:
        text = file.read()
    if begin not in text or end not in text:
        sys.exit(f"{path} has no compare marks")
    head, rest = text.split(begin, 1)
    with open(path, "w") as file:
        file.write(head + begin + "\n" + "\n".join(lines) + end + rest.split(end, 1)[1])


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--runs", type=int, default=5)
    options.add_argument("--scale", type=float, default=1.0)
    options.add_argument("--work", default="target/compare")
    options.add_argument("--only", default="sqlite,random,files")
    options.add_argument("--tools", default="icecore,restic,rustic,borg,bupstash")
    options.add_argument("--readme")
    options = options.parse_args()
    work = os.path.abspath(options.work)
    os.makedirs(work, exist_ok=True)
    makers = {"sqlite": (make_sqlite, change_sqlite, 1024, "app.db"),
              "random": (make_random, change_random, 2048, "random.bin"),
              "files": (make_files, change_files, 60_000, "files")}
    tools = [kind(work) for kind in (Icecore, Restic, Rustic, Borg, Bupstash) if kind.name in options.tools.split(",")]
    tools = [tool for tool in tools if tool.available()]
    lines = []
    for name in options.only.split(","):
        table = compare(name, makers[name], tools, options, work)
        print("\n".join(table), flush=True)
        lines += table
    if options.readme:
        write_readme(options.readme, lines)


if __name__ == "__main__":
    main()
