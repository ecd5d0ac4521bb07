#!/usr/bin/env python3
"""What each further snapshot of changing data adds, beside restic and bupstash.

    cargo build --release && benches/growth.py [--versions 30] [--scale 1.0] [--only sqlite,dump] [--work DIR]

Prints a Markdown table: bytes that the repository grew by, seconds of a further snapshot, seconds of
restoring the first and the last version, and the repository after dropping all but seven versions and a
prune, as a multiple of one full copy (what the first snapshot added). Restored bytes are compared. Peers
and engines that are not installed are left out, and the reason is printed. `--scale 1` is 256 MiB of
each kind of data and 2 GiB of random bytes.
"""
import argparse, hashlib, os, pwd, random, shutil, sqlite3, subprocess, sys, time

HERE = os.path.dirname(os.path.abspath(__file__))
ICECORE = os.path.join(HERE, "..", "target", "release", "icecore")
PEERS = ":".join(["/opt/peers/bin", "/opt/peers/restic_new/usr/bin", os.environ["PATH"]])
POSTGRES = "/usr/lib/postgresql/15/bin"
KEPT = 7


class Skipped(Exception):
    pass


def run(argv, env=None, cwd=None):
    """Runs a command and returns its output."""
    done = subprocess.run(argv, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode != 0:
        sys.exit(f"{' '.join(argv)} ended with {done.returncode}:\n{(done.stdout + done.stderr).decode(errors='replace')}")
    return done.stdout


def timed(action):
    started = time.monotonic()
    action()
    os.sync()
    return time.monotonic() - started


def files(root):
    if os.path.isfile(root):
        return {"": root}
    paths = (os.path.join(parent, name) for parent, _, names in os.walk(root) for name in names)
    return {os.path.relpath(path, root): path for path in paths if os.path.isfile(path)}


def digest(root):
    def hashed(path):
        with open(path, "rb") as content:
            return hashlib.file_digest(content, "blake2b").digest()
    return {name: hashed(path) for name, path in files(root).items()}


def size(root):
    return sum(os.path.getsize(path) for path in files(root).values())


# --- tools: init, save(source, n), restore(n, source, target) -> where the source is in there, thin()

class Icecore:
    name = "icecore"

    def __init__(self, work):
        self.repo, self.env = work + "/icecore", dict(os.environ, HOME=work)
        self.env = {name: value for name, value in self.env.items() if not name.startswith("ICECORE_")}
        run([ICECORE, "key", "generate", work + "/key"], self.env)
        self.call("repo", "init", "--kit", work + "/kit")

    def call(self, *argv):
        return run([ICECORE, *argv, "-r", self.repo, "--key-file", self.env["HOME"] + "/key", "-q"], self.env)

    def save(self, source, number):
        self.call("snapshot", source)

    def restore(self, number, source, target, last):
        self.call("restore", f"latest~{last - number}" if last > number else "latest", "--target", target + "/")
        return os.path.join(target, os.path.basename(source))

    def thin(self, count):
        self.call("forget", "--keep-last", str(KEPT), "--force")
        self.call("prune")


class Restic:
    name = "restic"

    def __init__(self, work):
        self.program = shutil.which("restic", path=PEERS)
        self.repo = work + "/restic"
        self.env = dict(os.environ, HOME=work, RESTIC_PASSWORD="x", RESTIC_REPOSITORY=self.repo)
        self.call("init")

    def call(self, *argv):
        return run([self.program, *argv, "-q"], self.env)

    def save(self, source, number):
        self.call("backup", "--tag", f"v{number}", source)

    def restore(self, number, source, target, last):
        self.call("restore", "latest", "--tag", f"v{number}", "--target", target)
        return target + source

    def thin(self, count):
        self.call("forget", "--group-by", "", "--keep-last", str(KEPT), "--prune")


class Bupstash:
    name = "bupstash"

    def __init__(self, work):
        self.program = shutil.which("bupstash", path=PEERS)
        self.repo = work + "/bupstash"
        self.env = dict(os.environ, HOME=work, BUPSTASH_REPOSITORY=self.repo, BUPSTASH_KEY=work + "/bupstash.key")
        self.call("new-key", "-o", work + "/bupstash.key")
        self.call("init")

    def call(self, *argv):
        return run([self.program, *argv], self.env)

    def save(self, source, number):
        self.call("put", "-q", f"name=v{number}", source)

    def restore(self, number, source, target, last):
        inside = os.path.join(target, "out")
        extract = f"mkdir {inside} && tar -x -C {inside}" if os.path.isdir(source) else f"cat > {inside}"
        run(["sh", "-c", f"'{self.program}' get -q name=v{number} | ({extract})"], self.env)
        return inside

    def thin(self, count):
        for number in range(1, count - KEPT + 1):
            self.call("rm", "-q", f"name=v{number}")
        self.call("gc", "-q")


# --- data: make(size in MiB) returns the source; change(version) makes the next version of it

class Sqlite:
    def __init__(self, work):
        self.path = work + "/app.db"

    def make(self, megabytes):
        self.rows = int(megabytes * 9_500)
        database = sqlite3.connect(self.path)
        database.execute("pragma journal_mode=off")
        database.execute("create table trades(id integer primary key, ts, symbol, price, qty, note)")
        symbols = [a + b for a in "ABCDEFGHIJ" for b in ("BTC", "ETH", "EUR", "USD", "KZT")]
        rows = ((i, 1700000000000 + i * 37, random.choice(symbols), round(random.lognormvariate(4, 1), 4),
                 random.randrange(10**6), "order %032x" % random.getrandbits(128)) for i in range(self.rows))
        database.executemany("insert into trades values(?,?,?,?,?,?)", rows)
        database.execute("create index symbols on trades(symbol, ts)")
        database.commit()
        database.close()
        return self.path

    def change(self, version):
        database = sqlite3.connect(self.path)
        chosen = ((random.randrange(10**6), round(random.lognormvariate(4, 1), 4), random.randrange(self.rows))
                  for _ in range(self.rows // 100))
        database.executemany("update trades set qty=?, price=? where id=?", chosen)
        database.commit()
        database.close()


class Cluster:
    """A PostgreSQL server under pgbench, stopped while its directory is copied."""

    def __init__(self, work):
        if not os.path.exists(POSTGRES + "/pgbench"):
            raise Skipped(f"no PostgreSQL in {POSTGRES}")
        if os.getuid() != 0:
            raise Skipped("running PostgreSQL as its own user needs root")
        user = pwd.getpwnam("postgres")
        # Short: a socket's path must fit in 107 bytes.
        self.home = f"/tmp/growth-{os.getpid()}"
        os.makedirs(self.home)
        os.chown(self.home, user.pw_uid, user.pw_gid)
        self.path = work + "/pgdata"

    def call(self, program, *argv):
        return run(["runuser", "-u", "postgres", "--", f"{POSTGRES}/{program}", *argv], cwd="/")

    def server(self, action):
        options = f"-c listen_addresses='' -k {self.home} -c fsync=off -c max_wal_size=64MB -c min_wal_size=32MB"
        start = ["-o", options, "-l", self.home + "/log"] if action == "start" else ["-m", "fast"]
        self.call("pg_ctl", "-D", self.home + "/data", "-w", *start, action)

    def make(self, megabytes):
        self.call("initdb", "-D", self.home + "/data", "--wal-segsize", "1", "--locale", "C", "-N")
        self.server("start")
        self.call("pgbench", "-h", self.home, "-i", "-q", "-s", str(max(1, int(megabytes / 16))), "postgres")
        return self.publish()

    def publish(self):
        self.server("stop")
        shutil.rmtree(self.path, ignore_errors=True)
        shutil.copytree(self.home + "/data", self.path)
        return self.path

    def change(self, version):
        self.server("start")
        self.call("pgbench", "-h", self.home, "-n", "-c", "2", "-t", "1000", f"--random-seed={version}", "postgres")
        self.publish()

    def close(self):
        if os.path.exists(self.home + "/data/postmaster.pid"):
            self.server("stop")
        shutil.rmtree(self.home)


class Heap(Cluster):
    """The same with the WAL that starting needs and no more: WAL is new data, not a change of old."""

    def publish(self):
        super().publish()
        state = self.call("pg_controldata", self.home + "/data").decode()
        needed = next(line.split()[-1] for line in state.splitlines() if "REDO WAL file" in line)
        for name in os.listdir(self.path + "/pg_wal"):
            if len(name) == 24 and name != needed:
                os.unlink(f"{self.path}/pg_wal/{name}")
        return self.path


class Dump(Cluster):
    """The text of a table whose rows do not compress to nothing, 1 % of them updated a version."""

    def sql(self, text):
        self.call("psql", "-h", self.home, "-q", "-v", "ON_ERROR_STOP=1", "-c", text, "postgres")

    def make(self, megabytes):
        self.call("initdb", "-D", self.home + "/data", "--locale", "C", "-N")
        self.server("start")
        self.rows = int(megabytes * 5_500)
        self.sql("CREATE TABLE orders (id bigint PRIMARY KEY, at timestamptz, customer text, note text, cents bigint)")
        self.sql(f"SELECT setseed(0.1); INSERT INTO orders SELECT n, '2026-01-01'::timestamptz + n * interval '7 s', "
                 f"md5(random()::text), md5(random()::text) || md5(random()::text), (random() * 1e7)::bigint "
                 f"FROM generate_series(1, {self.rows}) n")
        return self.publish()

    def change(self, version):
        self.server("start")
        self.sql(f"SELECT setseed({version / 100}); UPDATE orders SET note = md5(random()::text), cents = cents + 1 "
                 f"WHERE id IN (SELECT (random() * {self.rows})::bigint FROM generate_series(1, {self.rows // 100}))")
        self.publish()

    def publish(self):
        self.path = os.path.join(os.path.dirname(self.path), "app.sql")
        with open(self.path, "wb") as out:
            out.write(self.call("pg_dump", "-h", self.home, "postgres"))
        self.server("stop")
        return self.path


class Redis:
    """One server for all versions: a restart seeds its hash anew, and with it the order of all keys."""

    def __init__(self, work):
        if not shutil.which("redis-server"):
            raise Skipped("no redis-server")
        self.path = work + "/dump.rdb"
        socket = f"/tmp/growth-{os.getpid()}.sock"
        self.call = ["redis-cli", "-s", socket]
        self.server = subprocess.Popen(["redis-server", "--port", "0", "--unixsocket", socket, "--dir", work, "--save", "",
                                        "--rdbcompression", "no"], stdout=subprocess.DEVNULL)
        while subprocess.run([*self.call, "ping"], capture_output=True).stdout != b"PONG\n":
            time.sleep(0.05)

    def load(self, keys):
        commands = "".join(f"SET user:{key} {random.getrandbits(512):0128x}\n" for key in keys)
        subprocess.run([*self.call, "--pipe"], input=commands.encode(), check=True, stdout=subprocess.DEVNULL)
        run([*self.call, "save"])

    def make(self, megabytes):
        self.keys = int(megabytes * 7_000)
        self.load(range(self.keys))
        return self.path

    def change(self, version):
        self.load(random.sample(range(self.keys), self.keys // 100))

    def close(self):
        self.server.terminate()
        self.server.wait()


class Csv:
    def __init__(self, work):
        self.path = work + "/events.csv"

    def append(self, rows):
        with open(self.path, "a") as out:
            for _ in range(rows):
                out.write(f"{time.time():.6f},{random.randrange(10**9)},click,{random.getrandbits(64):016x},{random.random():.6f}\n")

    def make(self, megabytes):
        self.rows = int(megabytes * 17_500)
        self.append(self.rows)
        return self.path

    def change(self, version):
        self.append(self.rows // 100)


class Tree:
    def __init__(self, work):
        self.path = work + "/tree"

    def write(self, number):
        directory = f"{self.path}/{number % 97:02}/{number // 97 % 31:02}"
        os.makedirs(directory, exist_ok=True)
        with open(f"{directory}/f{number:05}.txt", "w") as out:
            out.write(" ".join(random.choices(self.words, k=max(1, int(random.lognormvariate(7.5, 1.2)) // 6))))

    def make(self, megabytes):
        self.words = [f"w{random.getrandbits(24):x}" for _ in range(5000)]
        self.count = int(megabytes * 200)
        for number in range(self.count):
            self.write(number)
        return self.path

    def change(self, version):
        for number in random.sample(range(self.count), self.count // 100):
            self.write(number)


class Random:
    def __init__(self, work):
        self.path = work + "/random.bin"

    def make(self, megabytes):
        with open(self.path, "wb") as out:
            for _ in range(int(megabytes * 8)):
                out.write(random.randbytes(1 << 20))
        return self.path

    def change(self, version):
        """A hundred insertions of a hundred bytes."""
        length = os.path.getsize(self.path)
        cuts = sorted(random.sample(range(length), 100))
        with open(self.path, "rb") as old, open(self.path + ".new", "wb") as new:
            for cut in [*cuts, length]:
                while old.tell() < cut:
                    new.write(old.read(min(1 << 20, cut - old.tell())))
                new.write(random.randbytes(100) if cut < length else b"")
        os.replace(self.path + ".new", self.path)


DATA = {"sqlite": Sqlite, "pgdata": Cluster, "heap": Heap, "dump": Dump, "rdb": Redis, "csv": Csv, "tree": Tree, "random": Random}


def restored(tool, number, last, source, expected, work):
    """Restores a version, compares it, and returns seconds: the better of two, the cache being warm."""
    best = float("inf")
    for _ in range(2):
        target = work + "/restored"
        shutil.rmtree(target, ignore_errors=True)
        os.makedirs(target)
        inside = []
        best = min(best, timed(lambda: inside.append(tool.restore(number, source, target, last))))
        if digest(inside[0]) != expected:
            sys.exit(f"{tool.name} restored something else as version {number} of {source}")
        shutil.rmtree(target)
    return best


def measure(data, kinds, work, options):
    random.seed(1)
    source = data.make(256 * options.scale)
    tools = {kind.name: kind(work) for kind in kinds}
    rows = {name: {"grown": [], "seconds": []} for name in tools}
    first = digest(source)
    for version in range(1, options.versions + 1):
        if version > 1:
            data.change(version)
        for name, tool in tools.items():
            before = size(tool.repo)
            rows[name]["seconds"].append(timed(lambda: tool.save(source, version)))
            rows[name]["grown"].append(size(tool.repo) - before)
    last = digest(source)
    for name, tool in tools.items():
        row = rows[name]
        row["restore first"] = restored(tool, 1, options.versions, source, first, work)
        row["restore last"] = restored(tool, options.versions, options.versions, source, last, work)
        tool.thin(options.versions)
        row["kept"] = size(tool.repo) / row["grown"][0]
        restored(tool, options.versions, options.versions, source, last, work)
    return size(source), rows


def show(name, length, rows):
    def mb(count):
        return f"{count / 1e6:.2f}"
    ours = rows["icecore"]["grown"][1:]
    for tool, row in rows.items():
        grown, seconds = row["grown"][1:], row["seconds"]
        ratio = (sum(grown) / len(grown)) / (sum(ours) / len(ours))
        cells = [name, tool, mb(length), mb(row["grown"][0]), mb(sum(grown) / len(grown)), mb(grown[0]), mb(grown[-1]),
                 f"{ratio:.1f}x", f"{seconds[0]:.1f}", f"{sum(seconds[1:]) / len(grown):.1f}",
                 f"{row['restore first']:.1f}", f"{row['restore last']:.1f}", f"{row['kept']:.2f}x"]
        print("| " + " | ".join(cells) + " |", flush=True)


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--versions", type=int, default=30)
    options.add_argument("--scale", type=float, default=1.0)
    options.add_argument("--work", default="target/growth")
    options.add_argument("--only", default=",".join(DATA))
    options = options.parse_args()
    kinds = [Icecore]
    for kind in (Restic, Bupstash):
        if shutil.which(kind.name, path=PEERS):
            kinds.append(kind)
        else:
            print(f"{kind.name} is left out: not installed", file=sys.stderr)
    columns = ["data", "tool", "MB", "first snapshot, MB", "further, MB: mean", "second", "last", "of icecore's",
               "first snapshot, s", "further, s", f"restore 1, s", f"restore {options.versions}, s", f"last {KEPT} of one copy"]
    print("| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|", flush=True)
    for name in options.only.split(","):
        work = os.path.join(os.path.abspath(options.work), name)
        shutil.rmtree(work, ignore_errors=True)
        os.makedirs(work)
        try:
            data = DATA[name](work)
        except Skipped as reason:
            print(f"{name} is left out: {reason}", file=sys.stderr)
            continue
        try:
            show(name, *measure(data, kinds, work, options))
        finally:
            if hasattr(data, "close"):
                data.close()
            shutil.rmtree(work)


if __name__ == "__main__":
    main()
