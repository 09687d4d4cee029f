"""Behind event_files.sh: what TensorBoard shows against metrics.jsonl.

Usage: python3 event_files.py RUNS, where RUNS holds a run named `run`
"""

import json
import os
import struct
import subprocess
import sys
import time
import urllib.parse
import urllib.request

from tensorboard.backend.event_processing import event_accumulator


def f32(x):
    return struct.unpack("f", struct.pack("f", x))[0]


def measured(run):
    """Steps and values by name, as metrics.jsonl has them."""
    scalars = {}
    for line in open(f"{run}/metrics.jsonl"):
        line = json.loads(line)
        section = "train" if "loss" in line else "validation"
        values = {f"{section}/{name.removeprefix('validation_')}": x for name, x in line.items() if name != "step"}
        if section == "train":
            values["train/tokens_per_second"] = line["tokens"] / max(line["seconds"], 1e-9)
            values["train/waited_share"] = line["waited"] / max(line["seconds"], 1e-9)
        for name, value in values.items():
            scalars.setdefault(name, []).append((line["step"], f32(value)))
    return scalars


def accumulated(run):
    found = event_accumulator.EventAccumulator(run, size_guidance={event_accumulator.TENSORS: 0, "scalars": 0})
    found.Reload()
    return {name: [(e.step, f32(e.value)) for e in found.Scalars(name)] for name in found.Tags()["scalars"]}


def served(runs, fast, expected):
    """What the server answers, once it has loaded as many points as there should be."""
    port = 16006 + os.getpid() % 10000
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", runs, "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen([*command, "--load_fast", fast], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(120):
            time.sleep(0.5)
            try:
                found = {}
                for name in expected:
                    query = urllib.parse.urlencode({"run": "run", "tag": name})
                    url = f"http://127.0.0.1:{port}/data/plugin/scalars/scalars?{query}"
                    points = json.load(urllib.request.urlopen(url, timeout=10))
                    found[name] = [(step, f32(value)) for _, step, value in points]
                return found
            except OSError:
                assert server.poll() is None, "the server has ended"
        raise AssertionError("the server does not answer")
    finally:
        server.terminate()
        server.wait()


def main(runs):
    run = f"{runs}/run"
    expected = measured(run)
    assert [step for step, _ in expected["train/loss"]] == list(range(1, 28))
    assert [step for step, _ in expected["validation/loss"]] == [5, 10, 15, 20, 25]
    files = [name for name in os.listdir(run) if "tfevents" in name]
    assert len(files) == 2, files
    points = sum(map(len, expected.values()))
    for name, found in (
        ("its reader", accumulated(run)),
        ("its server", served(runs, "false", expected)),
        ("its data server", served(runs, "true", expected)),
    ):
        assert found == expected, (name, found, expected)
        print(f"TensorBoard, {name}: {len(found)} scalars with {points} points as in metrics.jsonl, every step once")


if __name__ == "__main__":
    main(*sys.argv[1:])
