"""Everything side by side: ours, a peer, ours, the next peer, round after round, on this machine.

    cargo build --release -p cli
    python run.py [--works infer,infer_int8] [--threads 1,2] [--batches 128,1] [--isas native,no-amx,avx2]
                  [--rounds 5] [--json] [--out FILE.md]

Each peer runs in its own process with its own environment, prepares itself, and then waits for its turn. A round times,
for each instruction set, ours and then every peer; a figure is the median of the rounds, a ratio the median of the rounds' ratios, so that a
machine that slows down for a while slows both. Rounds in which other programs took the processor do not count while
three others do. Of a peer's settings the fastest counts. What fails says why in its place in the table.
"""

import argparse
import contextlib
import datetime
import json
import os
import platform
import resource
import select
import shlex
import statistics
import subprocess
import sys
import time

import network
import peer

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.normpath(os.path.join(HERE, "..", ".."))
SHAPES = ["1024,1024,1024", "131072,16,144", "32768,32,288", "8192,64,576"]
# work: (arguments of `cli bench`, peers)
WORKS = {
    "train": (["train"], ["pytorch"]),
    "qat": (["qat", "--bits", "W8A8"], ["pytorch"]),
    "infer": (["infer"], ["pytorch", "onnx_runtime", "open_vino"]),
    "infer_default": (["infer"], ["open_vino"]),
    "infer_int8": (["infer", "--bits", "W8A8"], ["pytorch", "onnx_runtime", "open_vino"]),
    "gemm": (["gemm", "--numbers", "f32"], ["pytorch", "onnx_runtime"]),
    "gemm_int8": (["gemm", "--numbers", "int8"], ["pytorch", "onnx_runtime"]),
}
TITLES = {
    "train": "Training step, images/s",
    "qat": "Training step with fake quantization W8A8, images/s",
    "infer": "Classification in f32, images/s",
    "infer_default": "Classification, OpenVINO left to choose its precision (ours: f32), images/s",
    "infer_int8": "Classification in integers (W8A8), images/s",
    "gemm": "Matrix product f32, GFLOP/s",
    "gemm_int8": "Matrix product u8 x s8, GOP/s",
}


def jiffies():
    """Processor time that all programs have used since the machine started."""
    with open("/proc/stat") as f:
        user, nice, system, _idle, _wait, irq, soft, steal = map(int, f.readline().split()[1:9])
    return user + nice + system + irq + soft + steal


class Others:
    """Processor time that programs other than the measured one took, in cores: `with Others(own) as o: ...; o.cores`."""

    def __init__(self, own):
        self.own, self.cores = own, 0.0

    def __enter__(self):
        self.start = time.perf_counter(), jiffies(), self.own()
        return self

    def __exit__(self, *_):
        tick = os.sysconf("SC_CLK_TCK")
        wall, all_of_it, own = self.start
        seconds, used = time.perf_counter() - wall, (jiffies() - all_of_it) / tick
        self.cores = max(used - (self.own() - own), 0.0) / seconds

    def disturb(self, threads):
        """More than a tenth of a core that the measured threads wanted."""
        return self.cores > max(os.cpu_count() - threads, 0) + 0.1


def children_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class Worker:
    """A peer in a process of its own."""

    def __init__(self, name, work, isa, cell, args):
        self.name, self.isa, self.rounds, self.about, self.failed, self.only = name, isa, [], {}, None, []
        self.disturbed, self.fastest, self.threads = [], {}, cell["threads"]
        command = [sys.executable, os.path.join(HERE, f"{name}.py"), work, "--serve", "--isa", isa]
        command += ["--threads", str(cell["threads"]), "--seconds", str(args.seconds)]
        command += ["--weights", args.weights, "--cache", args.cache]
        command += ["--shape", cell["shape"]] if "shape" in cell else ["--batch", str(cell["batch"])]
        self.command = command
        self.log = open(os.path.join(args.cache, f"{name}.log"), "a")
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=self.log, text=True, env=peer.environment(isa, cell["threads"])
        )

    def answer(self, seconds):
        if self.failed:
            return {}
        ready, _, _ = select.select([self.process.stdout], [], [], seconds)
        line = self.process.stdout.readline() if ready else ""
        if not line:
            self.failed = "no answer in time" if not ready else f"ended with code {self.process.wait()}"
            self.close()
            return {}
        answer = json.loads(line)
        self.failed = answer.get("failed")
        return answer

    def prepare(self):
        self.about = self.answer(1200)

    def seconds(self):
        """Processor time used so far."""
        with open(f"/proc/{self.process.pid}/stat") as f:
            return sum(map(int, f.read().rpartition(")")[2].split()[11:13])) / os.sysconf("SC_CLK_TCK")

    def measure(self):
        """Rates of the settings; None if it fails."""
        if self.failed:
            return None
        self.process.stdin.write(json.dumps(self.only) + "\n")
        self.process.stdin.flush()
        with Others(self.seconds) as others:
            answer = self.answer(300)
        rates = answer.get("rates")
        if rates:
            for name, rate in answer["fastest"].items():
                self.fastest[name] = max(rate, self.fastest.get(name, 0))
            self.rounds.append(rates)
            self.disturbed.append(others.disturb(self.threads))
            # After two rounds the slow settings are known.
            if len(self.rounds) == 2:
                best = max(max(r.values()) for r in self.rounds)
                self.only = [k for k in rates if max(r[k] for r in self.rounds) > 0.7 * best]
        return rates

    def close(self):
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.log.close()


def ours_command(work, isa, cell, args):
    command = [args.cli, "bench", *WORKS[work][0], "--threads", str(cell["threads"]), "--json"]
    if "shape" in cell:
        command += ["--shape", cell["shape"]]
    else:
        command += ["--batch", str(cell["batch"])]
    if work in ("train", "qat"):
        command += ["--repeat", "5"]
    if isa == "avx2" and work not in ("gemm", "train", "qat"):  # these heed QUANT_ISA
        command += ["--isa", "avx2"]
    return command


def ours(work, isa, cell, args):
    """One run of ours: its JSON, with `rate` or `failed`."""
    env = peer.environment(isa, cell["threads"])  # the same instructions as the peer's
    if isa == "avx2":
        env["QUANT_ISA"] = "avx2"
    with Others(children_seconds) as others:
        done = subprocess.run(ours_command(work, isa, cell, args), capture_output=True, text=True, env=env, check=False)
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        reason = (done.stderr.strip().splitlines() or ["nothing on stdout"])[0]
        return {"failed": f"exit code {done.returncode}: {reason}"[:200]}
    if work == "infer_int8" and not answer.get("bits"):
        return {"failed": "this build's `bench infer` has no integer network yet"}
    rate = answer.get("images_per_s", answer.get("gops"))
    disturbed = others.disturb(cell["threads"])
    return {**answer, "rate": rate, "disturbed": disturbed} if rate else {"failed": f"no figure in its answer: {answer}"[:200]}


@contextlib.contextmanager
def quiet(command):
    """Holds `command` (a wrapper that quiets the machine while the program it is given runs) around a round."""
    if not command:
        yield
        return
    holder = subprocess.Popen(
        [*shlex.split(command), "sh", "-c", "echo held; cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    holder.stdout.readline()
    try:
        yield
    finally:
        holder.stdin.close()
        holder.wait()


def undisturbed(who):
    """How many of the rounds of ours (a list of answers) or of a worker count."""
    if isinstance(who, Worker):
        return who.disturbed.count(False)
    return sum(not m.get("disturbed", False) for m in who)


def counting(disturbed):
    """The rounds that count: the undisturbed ones if there are three, else all."""
    calm = [i for i, d in enumerate(disturbed) if not d]
    return calm if len(calm) >= 3 else list(range(len(disturbed)))


def measure(cell, args):
    """All rows of a cell (a work, threads, and a batch or a shape)."""
    work = cell["work"]
    workers = []
    for isa in args.isas:
        for name in WORKS[work][1]:
            if name in args.peers:
                workers.append(Worker(name, work, isa, cell, args))
    for worker in workers:
        worker.prepare()
    mine = {isa: [] for isa in args.isas}
    with contextlib.ExitStack() as held:
        since = None
        for number in range(2 * args.rounds):
            # On a busy machine up to twice as many rounds are made, until there are enough undisturbed ones.
            counted = [undisturbed(m) for m in mine.values()] + [undisturbed(w) for w in workers if not w.failed]
            if number >= args.rounds and min(counted) >= 3:
                break
            if since is None or time.monotonic() - since > 40:
                held.close()  # others want the machine too
                held.enter_context(quiet(args.quiet_with))
                since = time.monotonic()
            for isa in args.isas:
                mine[isa].append(ours(work, isa, cell, args))
                for worker in workers:
                    if worker.isa == isa:
                        worker.measure()
    rows = []
    for worker in workers:
        worker.close()
        mine_here = mine[worker.isa]
        row = {**cell, "isa": worker.isa, "peer": worker.name}
        failed = next((m["failed"] for m in mine_here if "failed" in m), None)
        if failed:
            row["ours_failed"] = failed
        else:
            counted = counting([m["disturbed"] for m in mine_here])
            figures = [mine_here[i]["rate"] for i in counted]
            row.update(ours=statistics.median(figures), ours_range=[min(figures), max(figures)], ours_rounds=counted)
            row["ours_isa"] = mine_here[0].get("isa")
            if mine_here[0].get("peak"):
                row["ours_peak"] = statistics.median(m["peak"] for m in mine_here)
        if worker.failed or not worker.rounds:
            row["peer_failed"] = worker.failed or "nothing measured"
        else:
            counted = counting(worker.disturbed)
            settings = {}
            for name in worker.rounds[-1]:
                settings[name] = statistics.median(worker.rounds[i][name] for i in counted)
            best = max(settings, key=settings.get)
            figures = [worker.rounds[i][best] for i in counted]
            row.update(theirs=statistics.median(figures), theirs_range=[min(figures), max(figures)])
            row["highest"] = worker.fastest[best]
            row.update(setting=best, settings=settings, top1=worker.about["top1"], notes=worker.about["notes"])
            row.update(versions=worker.about["versions"], theirs_rounds=counted)
            if not failed:
                both = counting([m["disturbed"] or d for m, d in zip(mine_here, worker.disturbed)])
                row["ratio"] = statistics.median(mine_here[i]["rate"] / worker.rounds[i][best] for i in both)
            row["busy"] = sum(worker.disturbed) > len(worker.disturbed) - 3
        rows.append(row)
        print(row_text(row), file=sys.stderr, flush=True)
    return rows


HEAD = "| batch or M,N,K | threads | instructions | ours | range | peer | figure | range | highest | ours / peer | fastest setting | top-1 % |"


def row_text(row):
    def figures(key):
        if f"{key}_failed" in row:
            return [f"failed: {row[f'{key}_failed']}".replace("|", "/").replace("\n", " "), ""]
        low, high = row[f"{key}_range"]
        return [f"{row[key]:.0f}", f"{low:.0f}-{high:.0f}"]

    top1 = row.get("top1") or {}
    top1 = top1.get(row.get("setting"), top1.get("top1"))
    exact = row.get("notes", {}).get("exact")
    setting = row.get("setting", "") + ("" if exact is not False else "; saturates: not exact")
    setting += "; machine busy" if row.get("busy") else ""
    cells = [row.get("shape", row.get("batch")), row["threads"], row["isa"], *figures("ours"), row["peer"]]
    cells += [*figures("theirs" if "peer_failed" not in row else "peer")]
    cells += [f"{row['highest']:.0f}" if "highest" in row else ""]
    cells += [f"{row['ratio']:.2f}" if "ratio" in row else "", setting, "" if top1 is None else f"{top1:.1f}"]
    return "| " + " | ".join(map(str, cells)) + " |"


def machine():
    """What the figures depend on."""
    info = {}
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as f:
        for line in f:
            key, _, value = line.partition(":")
            info.setdefault(key.strip(), value.strip())
    interesting = ["avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_int8"]
    flags = set(info.get("flags", "").split())
    mhz = info.get("cpu MHz")
    return {
        "cpu": info.get("model name", platform.processor()),
        "family": "/".join(info.get(k, "?") for k in ("cpu family", "model", "stepping")),
        "cores": os.cpu_count(),
        "nominal_mhz": float(mhz) if mhz else None,
        "flags": {flag: flag in flags for flag in interesting},
        "system": platform.platform(terse=True),
        "load": list(os.getloadavg()),
    }


def clock(args):
    """GHz, from the peak that ours measures in f32: two 16-lane multiply-adds a cycle with AVX-512. And whether other
    programs ran meanwhile: then the clock was higher."""
    runs = []
    for _ in range(3):
        with quiet(args.quiet_with):
            runs.append(ours("infer", "native", {"threads": 1, "batch": 1}, args))
    peaks = [r["peak"] for r in runs if str(r.get("isa")).startswith("avx512") and r.get("peak")]
    return (max(peaks) / 64 if peaks else None), all(r.get("disturbed") for r in runs)


def convert(args):
    """Makes the models that the peers run, once, before any of them needs one."""
    if {"infer", "infer_default", "infer_int8"} & set(args.works):
        for name in args.peers:
            if name != "pytorch":
                command = [sys.executable, os.path.join(HERE, f"{name}.py"), "infer_int8", "--batch", "1", "--seconds", "0"]
                command += ["--weights", args.weights, "--cache", args.cache]
                subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def markdown(result):
    m = result["machine"]
    flags = ", ".join(f if on else f"no {f}" for f, on in m["flags"].items())
    lines = [f"# Beside other runtimes, {result['date']}", ""]
    lines += [f"- Processor: {m['cpu']} (family/model/stepping {m['family']}), {m['cores']} cores; {flags}."]
    if result["clock_ghz"]:
        bound = " (at least: other programs ran)" if result["clock_disturbed"] else ""
        lines += [f"- Clock: {result['clock_ghz']:.2f} GHz{bound}, from the measured f32 peak at 64 FLOP a cycle and core."]
    lines += [f"- Load average at the start: {m['load'][0]:.2f}. {m['system']}."]
    lines += ["- Versions: " + ", ".join(f"{k} {v}" for k, v in sorted(result["versions"].items())) + "."]
    lines += [f"- Ours: commit {result['commit']}.", f"- {result['rounds']} rounds, interleaved; medians.", ""]
    lines += ["```sh", *result["commands"], "```"]
    for work in dict.fromkeys(r["work"] for r in result["rows"]):
        lines += ["", f"## {TITLES[work]}", "", HEAD, "|" + "---|" * (HEAD.count("|") - 1)]
        lines += [row_text(r) for r in result["rows"] if r["work"] == work]
    return "\n".join(lines) + "\n"


def main():
    def names(known):
        def parse(text):
            chosen = text.split(",")
            if wrong := [c for c in chosen if c not in known]:
                raise argparse.ArgumentTypeError(f"{wrong[0]}: not one of {', '.join(known)}")
            return chosen

        return parse

    def numbers(text):
        return [int(n) for n in text.split(",")]

    everyone = ["pytorch", "onnx_runtime", "open_vino"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--works", type=names(WORKS), default=list(WORKS))
    parser.add_argument("--peers", type=names(everyone), default=everyone)
    parser.add_argument("--threads", type=numbers, default=[1, 2])
    parser.add_argument("--batches", type=numbers, default=[128, 1])
    parser.add_argument("--shapes", default=";".join(SHAPES), help="M,N,K;M,N,K of matrix products")
    parser.add_argument("--isas", type=names(peer.ISAS), default=list(peer.ISAS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5, help="for each setting in each round")
    parser.add_argument("--cli", default=os.path.join(ROOT, "target", "release", "cli"))
    parser.add_argument("--weights", default=network.WEIGHTS)
    parser.add_argument("--cache", default=os.path.join(ROOT, "target", "peers"), help="for converted models")
    parser.add_argument("--quiet-with", default="", metavar="CMD", help="wrapper that quiets the machine during a round")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout instead of the table")
    parser.add_argument("--out", metavar="FILE.md", help="write a record, as in docs/benchmarks")
    args = parser.parse_args()
    os.makedirs(args.cache, exist_ok=True)
    result = {"date": datetime.date.today().isoformat(), "machine": machine(), "rounds": args.rounds, "rows": []}
    result["clock_ghz"], result["clock_disturbed"] = clock(args)
    convert(args)
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    result["commit"] = commit.stdout.strip() or "unknown"
    shown = sys.argv[1:]
    for option in ("--quiet-with", "--cli", "--out"):  # where things are on this machine is nobody's business
        while option in shown:
            del shown[shown.index(option) : shown.index(option) + 2]
    result["commands"] = ["cargo build --release -p cli", shlex.join(["python", "benches/peers/run.py", *shown])]
    for work in args.works:
        for threads in args.threads:
            products = work.startswith("gemm")
            if work == "gemm" and threads > 1:
                continue  # ours calls matrixmultiply on one thread
            for size in args.shapes.split(";") if products else args.batches:
                if work in ("train", "qat") and size == 1:
                    continue
                cell = {"work": work, "threads": threads, ("shape" if products else "batch"): size}
                result["rows"] += measure(cell, args)
    result["versions"] = {k: v for r in result["rows"] for k, v in r.get("versions", {}).items()}
    text = markdown(result)
    if args.out:
        with open(args.out, "w") as f:
            f.write(text)
    print(json.dumps(result) if args.json else text)


if __name__ == "__main__":
    main()
