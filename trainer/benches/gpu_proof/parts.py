"""The proof's parts: `parts.py NAME` runs one when its limit in seconds comes on standard input; see prove.py."""

import hashlib
import json
import os
import platform
import re
import signal
import subprocess
import sys
import time

import steps as steps_part
from common import DATA, DEVICE, EMULATED, HERE, PROGRAMS, WORK, Failed, Report, begin, losses, must, run, skipped, tool

TORCH = "import json, torch, transformers; print(json.dumps([torch.__version__, transformers.__version__]))"


def versions(report, _limit):
    """What this machine is."""
    first_line = {
        "gpu": ["nvidia-smi", "--query-gpu=name,driver_version,memory.total,clocks.max.sm", "--format=csv,noheader"],
        "nvcc": ["nvcc", "--version"],
        "compute-sanitizer": ["compute-sanitizer", "--version"],
        "ncu": ["ncu", "--version"],
    }
    for name, command in first_line.items():
        if tool(command[0]) is None:
            report.add(**{name: skipped(command[0])})
            continue
        _, text = run(command, timeout=10)
        report.add(**{name: [line for line in text.splitlines() if line.strip()][:8]})
    with open("/proc/cpuinfo") as cpus:
        models = re.findall(r"model name\s*: (.*)", cpus.read())
    report.add(
        cpu=f"{len(os.sched_getaffinity(0))} of {models[0] if models else platform.machine()}",
        system=platform.platform(),
        python=platform.python_version(),
        t5=must([PROGRAMS / "t5", "--version"]).strip(),
    )
    if EMULATED:
        report.add(pytorch=skipped("PyTorch"))
        return
    code, text = run([sys.executable, "-c", TORCH])
    version = dict(zip(["torch", "transformers"], json.loads(text.splitlines()[-1]))) if code == 0 else None
    report.add(pytorch=version or {"skipped": f"{sys.executable} has no PyTorch and transformers that start"})


def goldens(report, _limit):
    """The tests of a device: logits, losses, gradients of Mesh TensorFlow, Hugging Face and the CPU, f32 and bf16."""
    # Gradients by differences open hundreds of devices: minutes, and nothing that the comparisons with the CPU don't
    # show.
    command = [PROGRAMS / "tests", "backend::", "run::a_run_on_a_device", "run::a_device", "--show-output",
               "--skip", "gradients_agree_with_differences"]
    environment = os.environ | {
        "T5_TEST_DEVICE": DEVICE,
        "T5_TEST_PROGRAM": str(PROGRAMS / "t5"),
        "T5_TEST_FOLDER": str(HERE / "project/trainer"),
    }
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               env=environment, text=True, errors="replace")
    tests, said, of = {}, {}, None
    for line in process.stdout:
        print(line, end="", flush=True)
        if found := re.match(r"test (\S+) \.\.\. (\w+)", line):
            tests[found[1]] = found[2]
            report.add(tests=tests)
        elif found := re.match(r"---- (\S+) stdout ----", line):
            of = found[1]
        elif line.startswith(("successes:", "failures:", "test result:")):
            of = None
        elif of and line.strip():
            said.setdefault(of, []).append(line.strip())
    process.wait()
    report.add(said={name: lines[:40] for name, lines in said.items()})
    bad = sorted(name for name, status in tests.items() if status not in ("ok", "ignored"))
    if process.returncode != 0 or not tests:
        raise Failed(f"tests failed: {', '.join(bad) or 'the program itself'}")


def state(folder, step):
    """SHA-256 of parameters and optimiser state at a step."""
    checkpoint = folder / f"checkpoints/step-{step:08}"
    parts = [(checkpoint / name).read_bytes() for name in ("model.safetensors", "optimizer.safetensors")]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def bits(report, _limit):
    """Two runs and one that was killed and resumed end with the same bits, in bf16."""
    count, every = 60, "checkpoint_every=10"
    for name in ("one", "two"):
        must(begin(WORK / name, count, every))
        report.add(**{name: state(WORK / name, count)})
    killed = WORK / "killed"
    command = [str(part) for part in begin(killed, count, every)]
    process = subprocess.Popen(command, stderr=subprocess.STDOUT)
    while process.poll() is None and not (killed / "checkpoints/step-00000020").is_dir():
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    there = sorted(path.name for path in (killed / "checkpoints").glob("step-*"))
    if process.returncode != -signal.SIGKILL or f"step-{count:08}" in there:
        raise Failed(f"a run could not be killed in time: status {process.returncode}, {there}")
    report.add(killed_at=there)
    must([PROGRAMS / "t5", "pretrain", "--output", killed, "--resume", "--device", DEVICE])
    report.add(resumed=state(killed, count))
    found = report.found
    report.add(same=found["one"] == found["two"] == found["resumed"])
    if not found["same"]:
        raise Failed("the runs differ")


def sanitizer(report, _limit):
    """compute-sanitizer over a small step: accesses out of bounds, and races in shared memory."""
    name = "compute-sanitizer"
    if tool(name) is None:
        report.add(**skipped(name))
        return
    bad = []
    for precision in ("bf16", "f32"):
        for kind in ("memcheck", "racecheck"):
            started = time.monotonic()
            step = [PROGRAMS / "device_step", DEVICE, "tiny", "48+20", "0.1", precision, "adafactor", "2x1"]
            code, text = run([name, "--tool", kind, "--error-exitcode", 86, *step])
            summary = [line for line in text.splitlines() if "SUMMARY" in line]
            found = {"status": code, "summary": summary, "seconds": round(time.monotonic() - started, 1)}
            report.add(**{f"{kind}_{precision}": found})
            if code != 0:
                bad.append(f"{kind} {precision}: status {code} {' '.join(summary)}")
    if bad:
        raise Failed("; ".join(bad))


def table(path):
    """What T5_KERNEL_TIMES wrote: the kernels that take most of the time first."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def kernels(report, limit):
    """Time by kernel of a step of base: by CUDA events around each of them, and as ncu sees it."""
    started = time.monotonic()
    size, lengths, rows, count = ("tiny", "64+16", 2, 2) if EMULATED else ("base", "512+114", 64, 4)
    step = [PROGRAMS / "device_step", DEVICE, size, lengths, "0.1", "bf16", "adafactor"]
    times = WORK / "kernel-times.jsonl"
    must([*step, f"{rows}x{count}"], env=os.environ | {"T5_KERNEL_TIMES": str(times)})
    rows_of_table = table(times)
    total = sum(row["milliseconds"] for row in rows_of_table)
    report.add(
        size=size, lengths=lengths, rows=rows, dropout=0.1, steps=count,
        milliseconds_a_step=total / count,
        launches_a_step=sum(row["launches"] for row in rows_of_table) / count,
        by_events=rows_of_table[:40],
    )
    name = "ncu"
    if tool(name) is None:
        report.add(by_ncu=skipped(name))
        return
    # One counter, so that every kernel runs once; clocks are left alone.
    log = WORK / "ncu.csv"
    command = [name, "--clock-control", "none", "--metrics", "gpu__time_duration.sum", "--csv", "--log-file", log]
    command += [*step, f"{rows}x1"]
    try:
        code, text = run(command, timeout=max(1.0, limit - (time.monotonic() - started) - 2))
    except subprocess.TimeoutExpired:
        report.add(by_ncu={"skipped": "ncu was not done within the limit"})
        return
    if code != 0:
        report.add(by_ncu={"skipped": f"ncu was refused: {' '.join(text.split()[-30:])}"})
        return
    report.add(by_ncu={"steps": 1, "kernels": ncu_table(log.read_text())})


def ncu_table(text):
    """Sums by kernel of ncu's CSV, in milliseconds."""
    import csv

    lines = text.splitlines()
    start = next((at for at, line in enumerate(lines) if line.startswith('"ID"')), None)
    if start is None:
        return []
    scale = {"nsecond": 1e-6, "usecond": 1e-3, "msecond": 1.0, "second": 1e3}
    scale |= {"ns": 1e-6, "us": 1e-3, "ms": 1.0, "s": 1e3}
    sums = {}
    for row in csv.DictReader(lines[start:]):
        if row.get("Metric Name") != "gpu__time_duration.sum":
            continue
        value = float(row["Metric Value"].replace(",", "")) * scale.get(row["Metric Unit"], 1.0)
        launches, sum_so_far = sums.get(row["Kernel Name"], (0, 0.0))
        sums[row["Kernel Name"]] = (launches + 1, sum_so_far + value)
    rows = [{"kernel": name, "launches": n, "milliseconds": ms} for name, (n, ms) in sums.items()]
    return sorted(rows, key=lambda row: -row["milliseconds"])[:40]


def mean(values):
    values = list(values)
    return sum(values) / max(1, len(values))


# How far the mean loss of the last 50 steps may be from the CPU's, in nats. Rounding moves single steps further, and
# dropout and data are the same.
ALLOWED = {"f32": 0.02, "bf16": 0.05}


def beside(ours, cpu):
    """Losses so far beside the CPU's, [ours, the CPU's]."""
    apart = {step: abs(ours[step] - cpu[step]) for step in ours}
    last = [step for step in ours if step > max(cpu) - 50]
    return {
        "steps": len(ours),
        "first_loss": [ours[1], cpu[1]],
        "most_apart_in_first_20": max(apart[step] for step in ours if step <= 20),
        "most_apart": max(apart.values()),
        "mean_of_last_50": [mean(of[step] for step in last) for of in (ours, cpu)] if last else None,
        "every_20th": {step: [ours[step], cpu[step]] for step in ours if step % 20 == 0},
    }


def training(report, _limit):
    """300 steps beside the CPU's, in f32 and bf16."""
    cpu = losses(DATA / "cpu")
    bad = []
    for precision in ("f32", "bf16"):
        folder = WORK / f"losses-{precision}"
        process = subprocess.Popen([str(part) for part in begin(folder, max(cpu), precision=precision)])
        while process.poll() is None:
            time.sleep(0.5)
            if ours := losses(folder):
                report.add(**{precision: beside(ours, cpu)})
        ours = losses(folder)
        if process.returncode != 0 or len(ours) < len(cpu):
            raise Failed(f"{precision}: t5 ended with status {process.returncode} after {len(ours)} steps")
        found = beside(ours, cpu)
        report.add(**{precision: found})
        means = found["mean_of_last_50"]
        if not abs(means[0] - means[1]) < ALLOWED[precision]:
            bad.append(f"{precision}: the mean of the last 50 losses is {means} (device, CPU)")
    if bad:
        raise Failed("; ".join(bad))


# All but steps, which begins early.
PARTS = {
    "versions": versions,
    "goldens": goldens,
    "bits": bits,
    "sanitizer": sanitizer,
    "kernels": kernels,
    "losses": training,
}


def main():
    name = sys.argv[1]
    report = Report(name)
    prepared = steps_part.Prepared(report) if name == "steps" else None
    line = sys.stdin.readline()
    if not line:
        sys.exit("nobody waits for this part any more")
    limit = float(line)
    try:
        if prepared is None:
            PARTS[name](report, limit)
        else:
            steps_part.steps(report, limit, prepared)
    except Failed as why:
        report.add(failed=str(why))
        sys.exit(1)


if __name__ == "__main__":
    main()
