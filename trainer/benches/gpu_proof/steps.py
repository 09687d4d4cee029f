"""Steps of small, base and large beside PyTorch's: tokens a second, MFU, memory.

A contender is a process that answers `ROWS STEPS` on its standard input with a line of JSON: what that many steps took.
So a model is compiled once and measured often, in turns with the others. PyTorch's begin to compile with the proof's
first part (see prove.py); while anything is measured here, those that still compile are stopped (SIGSTOP).
"""

import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time

from common import DEVICE, EMULATED, HERE, PROGRAMS, Failed

# Rows that are tried, by size. PyTorch compiles anew for each.
ROWS = {"base": [64, 128], "small": [128, 256], "large": [32, 64]}
PYTORCH_ROWS = {"base": [64, 128], "small": [128, 256], "large": [32]}
LENGTHS = (512, 114)
if EMULATED:
    ROWS, PYTORCH_ROWS, LENGTHS = {"tiny": [1, 2]}, {}, (64, 16)
ATTENTIONS = ["sdpa", "flex"]
# Of a measurement, the first steps do not count: libraries choose kernels.
UNCOUNTED, TRIED, MEASURED, ROUNDS = (1, 1, 2, 2) if EMULATED else (3, 6, 12, 2)

# Layers (of each stack), d_model, d_ff, heads times d_kv, vocabulary.
SIZES = {
    "tiny": (4, 256, 1024, 256, 32128),
    "small": (6, 512, 2048, 512, 32128),
    "base": (12, 768, 3072, 768, 32128),
    "large": (24, 1024, 4096, 1024, 32128),
}
# Operations a second in bf16 without sparsity, as NVIDIA's data sheets of the SXM cards have them.
PEAKS = {"H200": 989.5e12, "H100": 989.5e12, "A100": 312e12}


def operations(size, rows, inputs, targets):
    """Operations of a step's matrix products, attention's as if nothing were masked, backward twice forward."""
    layers, d, d_ff, width, vocab = SIZES[size]
    encoded, decoded = rows * inputs, rows * targets
    projections, feed_forward = 8 * d * width, 4 * d * d_ff
    encoder = encoded * layers * (projections + feed_forward + 4 * inputs * width)
    own = projections + 4 * targets * width
    # Of attention to the encoder, queries and output are of the decoder's positions, keys and values of the encoder's.
    cross = 4 * d * width + 4 * inputs * width
    decoder = decoded * layers * (own + cross + feed_forward) + encoded * layers * 4 * d * width
    head = decoded * 2 * d * vocab
    return 3 * (encoder + decoder + head)


def peak():
    """The GPU's name and its peak; None where none is known."""
    if EMULATED:
        return "emulated", None
    try:
        command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        name = subprocess.run(command, capture_output=True, text=True, timeout=10).stdout.splitlines()[0].strip()
    except (OSError, IndexError, subprocess.TimeoutExpired):
        return "unknown", None
    return name, next((value for short, value in PEAKS.items() if short in name), None)


class Contender:
    """A process that measures."""

    def __init__(self, name, command):
        self.name, self.command = name, [str(part) for part in command]
        self.ready = threading.Event()
        self.why = None  # it measures no more
        print("$", " ".join(self.command), flush=True)
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def line(self):
        """The next line of JSON that it prints; None at its end."""
        for line in self.process.stdout:
            print(f"{self.name}: {line}", end="", flush=True)
            if line.startswith("{"):
                return json.loads(line)
        self.why = self.why or f"{self.name} ended with status {self.process.wait()}; see the log"
        return None

    def await_ready(self):
        """Until it has compiled."""
        while (line := self.line()) is not None and not line.get("ready"):
            pass
        self.ready.set()

    def measure(self, rows, count):
        """Milliseconds of `count` steps that count, and what else it says; None where it cannot."""
        if self.why:
            return None
        try:
            self.process.stdin.write(f"{rows} {count + UNCOUNTED}\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        answer = self.line()
        if answer is None or "failed" in answer:
            return None
        return answer | {"milliseconds": answer["milliseconds"][UNCOUNTED:]}

    def end(self):
        self.process.kill()
        self.process.wait()


def ours(size, dropout=0):
    inputs, targets = LENGTHS
    step = [PROGRAMS / "device_step", DEVICE, size, f"{inputs}+{targets}", dropout, "bf16", "adafactor"]
    return Contender(f"ours-{size}", step)


class Prepared:
    """PyTorch's contenders by size, compiled two at a time."""

    def __init__(self, report):
        self.by_size = {size: {} for size in ROWS}
        self.missing = pytorch_is_missing()
        # Held by whoever measures: nothing is started meanwhile.
        self.quiet = threading.Lock()
        report.add(pytorch=self.missing or {"compiles": "from the proof's first part on"})
        if self.missing is None:
            threading.Thread(target=self.compile, daemon=True).start()

    def compile(self):
        for size in PYTORCH_ROWS:
            with self.quiet:
                for attention in ATTENTIONS:
                    rows = ",".join(str(rows) for rows in PYTORCH_ROWS[size])
                    command = [sys.executable, HERE / "pytorch_step.py", size, attention, *LENGTHS, rows]
                    self.by_size[size][attention] = Contender(f"pytorch-{attention}-{size}", command)
            waiting = [threading.Thread(target=each.await_ready, daemon=True) for each in self.by_size[size].values()]
            for each in waiting:
                each.start()
            for each in waiting:
                each.join()

    def wait(self, size, until):
        """Contenders of a size that have compiled before a point of time."""
        while self.missing is None and not self.by_size[size] and time.monotonic() < until:
            time.sleep(0.1)
        for each in self.by_size[size].values():
            if not each.ready.wait(max(0.0, until - time.monotonic())):
                each.why = "it had not compiled within the part's limit"
        return dict(self.by_size[size])

    def others(self, size):
        """Those of other sizes, which may be compiling."""
        return [each for name, all_of in self.by_size.items() if name != size for each in all_of.values()]


def pytorch_is_missing():
    if EMULATED:
        return {"skipped": "the device is emulated"}
    check = "import torch, transformers; assert torch.cuda.is_available()"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    if done.returncode == 0:
        return None
    last = done.stderr.strip().splitlines()[-1:] or [""]
    return {"skipped": f"{sys.executable} has no PyTorch and transformers that see a GPU: {last[0]}"}


class Quiet:
    """While something is measured, nothing else computes."""

    def __init__(self, prepared, size):
        self.prepared, self.others = prepared, prepared.others(size)

    def send(self, number):
        for each in self.others:
            if each.process.poll() is None:
                os.kill(each.process.pid, number)

    def __enter__(self):
        self.prepared.quiet.acquire()
        self.send(signal.SIGSTOP)
        if self.others:
            time.sleep(1.0)  # what they had begun ends

    def __exit__(self, *_):
        self.send(signal.SIGCONT)
        self.prepared.quiet.release()


def summary(size, rows, answers, best_peak):
    """The best of some rounds by their medians, as the other contenders' is."""
    inputs, targets = LENGTHS
    medians = [statistics.median(answer["milliseconds"]) for answer in answers]
    seconds = min(medians) / 1e3
    found = {
        "rows": rows,
        "milliseconds": min(medians),
        "milliseconds_of_rounds": medians,
        "tokens_a_second": rows * (inputs + targets) / seconds,
        "operations": operations(size, rows, inputs, targets),
        "memory_mib": max(answer["memory_mib"] for answer in answers),
        "loss": answers[-1]["loss"],
    }
    return found | {"mfu": found["operations"] / seconds / best_peak if best_peak else None}


def measure_size(report, prepared, size, best_peak, until):
    """All contenders: each one's best rows, then rounds in turns."""
    found = {}

    def add(name, **values):
        found[name] = found.get(name, {}) | values
        report.add(**{size: found})

    contenders, best = {"ours": ours(size)}, {}

    def find_best(name, contender, candidates):
        tried = {}
        for rows in candidates:
            answer = contender.measure(rows, TRIED)
            if answer is None:
                add(name, failed_at_rows=rows)
                break
            tried[rows] = rows / statistics.median(answer["milliseconds"])
            # Should nothing more come of it.
            add(name, **summary(size, rows, [answer], best_peak))
        if tried:
            best[name] = max(tried, key=tried.get)
        add(name, tried_rows=list(tried))

    with Quiet(prepared, size):
        find_best("ours", contenders["ours"], ROWS[size])
    if prepared.missing is None:
        for attention, contender in prepared.wait(size, until).items():
            name = f"pytorch_{attention}"
            contenders[name] = contender
            if contender.why:
                add(name, skipped=contender.why)
    with Quiet(prepared, size):
        for name, contender in contenders.items():
            if name != "ours" and not contender.why:
                find_best(name, contender, PYTORCH_ROWS[size])
        rounds = {name: [] for name in best}
        for _ in range(ROUNDS):
            for name, rows in best.items():
                answer = contenders[name].measure(rows, MEASURED)
                if answer is not None:
                    rounds[name].append(answer)
                    add(name, **summary(size, rows, rounds[name], best_peak))
    theirs = [entry.get("tokens_a_second", 0) for name, entry in found.items() if name != "ours"]
    if any(theirs) and "tokens_a_second" in found["ours"]:
        add("ours", times_pytorch=found["ours"]["tokens_a_second"] / max(theirs))
    for contender in contenders.values():
        contender.end()
    if "ours" not in best:
        raise Failed(f"no step of {size}: {contenders['ours'].why}")


def steps(report, limit, prepared):
    """Measures all sizes."""
    until = time.monotonic() + limit - 25
    name, best_peak = peak()
    report.add(gpu=name, peak_operations_a_second=best_peak, lengths=LENGTHS, dropout=0,
               optimizers={"ours": "adafactor", "pytorch": "fused AdamW, its fastest"})
    failed = []
    for size in ROWS:
        try:
            measure_size(report, prepared, size, best_peak, until)
        except Failed as why:
            failed.append(str(why))
    if failed:
        raise Failed("; ".join(failed))
