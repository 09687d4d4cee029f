"""The proof's parts, one after another, each within a limit of its own; see prove.sh.

A part is a process (parts.py NAME), the leader of a group that is killed when the part has ended or its limit is over.
What it has found is in a file that it replaces as it goes on, so a part that is killed leaves what it had. proof.json
is replaced after every part.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

HERE = Path(__file__).resolve().parent

# Seconds of each, by the clock, from when its turn comes. Together below eight minutes.
LIMITS = {
    "versions": 15,
    "goldens": 75,
    "bits": 45,
    "sanitizer": 60,
    "steps": 205,
    "kernels": 40,
    "losses": 30,
}
TOTAL = 475
# torch.compile takes minutes: what is to be measured is compiled from the start, while other parts use the GPU little.
BEGINS_EARLY = ["steps"]


def read_json(path):
    """What a file holds; None where it is missing or cut short."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def write_json(path, value):
    """Whole or not at all."""
    new = path.with_name(path.name + ".new")
    new.write_text(json.dumps(value, indent=1) + "\n")
    os.replace(new, path)


class Part:
    """A part's process."""

    def __init__(self, name, out, emulated):
        self.out, self.name = out, name
        self.log = out / "logs" / f"{name}.log"
        environment = os.environ | {"PROOF_OUT": str(out), "PROOF_EMULATED": "1" if emulated else ""}
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-u", str(HERE / "parts.py"), name],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )

    def finish(self, limit):
        """Its turn: gives its entry of proof.json."""
        started = time.monotonic()
        try:
            self.process.stdin.write(f"{limit}\n".encode())
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended; its status says how
        try:
            code = self.process.wait(limit)
        except subprocess.TimeoutExpired:
            code = None
        seconds = time.monotonic() - started
        self.kill()
        found = read_json(self.out / "work" / f"{self.name}.json") or {}
        entry = {"part": self.name, "status": "passed", "seconds": round(seconds, 1), "limit": round(limit, 1)}
        if code is None:
            why = f"its limit of {limit:.0f} s was over; what it had found is in `result`"
            entry |= {"status": "killed", "why": why}
        elif code != 0:
            how = f"ended by signal {-code}" if code < 0 else f"exit status {code}"
            entry |= {"status": "failed", "why": found.pop("failed", None) or f"{how}; see its log"}
        elif "skipped" in found:
            entry |= {"status": "skipped", "why": found.pop("skipped")}
        if entry["status"] in ("killed", "failed"):
            entry["log_end"] = self.log.read_text(errors="replace").splitlines()[-25:]
        return entry | {"log": f"logs/{self.name}.log", "result": found}

    def kill(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()


def arguments():
    parser = argparse.ArgumentParser(prog="prove.sh", description="Proves on a GPU what the trainer does there.")
    parser.add_argument("--out", type=Path, default=HERE / "out", help="folder of proof.json and the logs")
    parser.add_argument("--parts", default=",".join(LIMITS), help="some parts, in this order: NAME,...")
    parser.add_argument("--limit", action="append", default=[], metavar="NAME=SECONDS", help="another limit of a part")
    parser.add_argument("--total", type=float, default=TOTAL, metavar="SECONDS", help="limit of all parts together")
    parser.add_argument("--emulated", action="store_true", help="on a driver and a cuBLAS that emulate a GPU")
    chosen = parser.parse_args()
    limits = dict(LIMITS)
    for limit in chosen.limit:
        name, _, seconds = limit.partition("=")
        if name not in limits:
            parser.error(f"--limit {limit}: no part `{name}`; there are {', '.join(limits)}")
        try:
            limits[name] = float(seconds)
        except ValueError:
            parser.error(f"--limit {limit}: write NAME=SECONDS")
    names = [name for name in chosen.parts.split(",") if name]
    for name in names:
        if name not in limits:
            parser.error(f"--parts: no part `{name}`; there are {', '.join(limits)}")
    return chosen, names, limits


def main():
    chosen, names, limits = arguments()
    out = chosen.out.resolve()
    for folder in ("logs", "work"):
        shutil.rmtree(out / folder, ignore_errors=True)
        (out / folder).mkdir(parents=True)
    started = time.monotonic()
    proof = {
        "pack": read_json(HERE / "pack.json"),
        "emulated": chosen.emulated,
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "seconds": 0.0,
        "parts": [{"part": name, "status": "not reached"} for name in names],
    }

    def write():
        proof["seconds"] = round(time.monotonic() - started, 1)
        write_json(out / "proof.json", proof)

    write()
    running = {}

    def stop(signal_number, _frame):
        for part in running.values():
            part.kill()
        sys.exit(128 + signal_number)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    for name in names:
        if name in BEGINS_EARLY:
            running[name] = Part(name, out, chosen.emulated)
    for place, name in enumerate(names):
        left = chosen.total - (time.monotonic() - started)
        if left < 1:
            proof["parts"][place]["why"] = f"the limit of {chosen.total:.0f} s for all parts was over"
        else:
            if name not in running:
                running[name] = Part(name, out, chosen.emulated)
            proof["parts"][place] = entry = running[name].finish(min(limits[name], left))
            print(f"{name}: {entry['status']} after {entry['seconds']} s {entry.get('why', '')}".rstrip(), flush=True)
        write()
    stop_early = [part for part in running.values() if part.process.poll() is None]
    for part in stop_early:
        part.kill()
    shutil.rmtree(out / "work", ignore_errors=True)
    print(f"{out / 'proof.json'}: {proof['seconds']} s")
    bad = [entry for entry in proof["parts"] if entry["status"] not in ("passed", "skipped")]
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
