"""What the modules of all runtimes share: arguments, instruction sets, timing, and the conversation with run.py.

A module gives `main` a table from a work's name to a function. The function prepares the work and returns a `Job`: one
or more ways ("settings") of having the runtime do it. All are timed; the fastest is the runtime's figure.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field

import network

HERE = os.path.dirname(os.path.abspath(__file__))
# How a runtime is kept from instruction sets: the switches its documentation names, and for all of them CPUID with the
# bits cleared (cpuid_mask.c), which also reaches kernels that heed no switch.
ISAS = {
    "native": {},
    "no-amx": {"CPUID_MASK": "amx", "ONEDNN_MAX_CPU_ISA": "AVX512_CORE_FP16"},
    "avx2": {
        "CPUID_MASK": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "ATEN_CPU_CAPABILITY": "avx2",
    },
}


@dataclass
class Job:
    """`units` (images, or 1e9 operations) are done by one call of each function in `settings`; `calls` of them are
    timed together."""

    units: float
    settings: dict
    versions: dict = field(default_factory=dict)
    top1: dict = field(default_factory=dict)
    notes: dict = field(default_factory=dict)
    calls: int = 1


def mask_library():
    """Compiles cpuid_mask.c, once a user."""
    path = os.path.join(tempfile.gettempdir(), f"cpuid_mask-{os.getuid()}.so")
    source = os.path.join(HERE, "cpuid_mask.c")
    if not os.path.exists(path) or os.path.getmtime(path) < os.path.getmtime(source):
        part = f"{path}.{os.getpid()}"
        subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", part, source], check=True, stdout=sys.stderr)
        os.replace(part, path)
    return path


def environment(isa, threads):
    """The environment of a process that measures, ours or a peer's."""
    env = dict(os.environ, OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads), PEER_ISA=isa)
    env.update(ISAS[isa])
    if "CPUID_MASK" in ISAS[isa]:
        env["LD_PRELOAD"] = mask_library()
    return env


def calls_of(batch):
    """How many calls are timed together: 64 images, as `cli bench infer` does. On a busy machine the median of shorter
    stretches would be one that nobody interrupted, of longer ones one that somebody did: both sides need the same."""
    return max(64 // batch, 1)


def seconds_of(f, calls, seconds):
    """Seconds of each `calls` calls for about `seconds`, after two calls to warm up."""
    f()
    f()
    times, start = [], time.perf_counter()
    while len(times) < 3 or time.perf_counter() - start < seconds:
        before = time.perf_counter()
        for _ in range(calls):
            f()
        times.append(time.perf_counter() - before)
    return times


def rates(job, seconds, only=None):
    """Of each setting: the median rate, and the highest (which a busy machine disturbs least)."""
    chosen = {name: seconds_of(f, job.calls, seconds) for name, f in job.settings.items() if not only or name in only}
    units = job.units * job.calls
    return {
        "rates": {name: units / statistics.median(times) for name, times in chosen.items()},
        "fastest": {name: units / min(times) for name, times in chosen.items()},
    }


def arguments(works):
    parser = argparse.ArgumentParser()
    parser.add_argument("work", choices=works)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--shape", default="1024,1024,1024", help="M,N,K of a matrix product")
    parser.add_argument("--isa", choices=ISAS, default="native")
    parser.add_argument("--weights", default=network.WEIGHTS)
    parser.add_argument("--cache", default=os.path.join(HERE, "..", "..", "target", "peers"), help="for converted models")
    parser.add_argument("--seconds", type=float, default=1, help="how long each setting is timed, each time")
    parser.add_argument("--serve", action="store_true", help="time the settings named by each line on stdin, as run.py wants")
    return parser


def main(works):
    args = arguments(list(works)).parse_args()
    if os.environ.get("PEER_ISA") != args.isa:
        # Libraries ask for instruction sets and threads when they are loaded: a fresh process.
        os.execve(sys.executable, [sys.executable, *sys.argv], environment(args.isa, args.threads))
    args.cache = network.folder(args.cache, args.weights)
    for name in ("LD_PRELOAD", "CPUID_MASK"):
        os.environ.pop(name, None)  # in force here; compilers that PyTorch starts must not inherit it
    # Runtimes print; only JSON goes to the real stdout.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(what):
        out.write(json.dumps(what) + "\n")
        out.flush()

    try:
        job = works[args.work](args)
    except Exception as e:
        if not args.serve:
            raise
        say({"failed": f"{type(e).__name__}: {e}"})
        return
    about = {"versions": job.versions, "top1": job.top1, "notes": job.notes}
    if not args.serve:
        say({"work": args.work, "threads": args.threads, "isa": args.isa, **rates(job, args.seconds), **about})
        return
    say({"ready": True, **about})
    for line in sys.stdin:
        say(rates(job, args.seconds, json.loads(line)))
