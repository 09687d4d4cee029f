"""What the parts share: where things are, how a program is run, how a part says what it has found."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from prove import HERE, write_json

PROGRAMS = HERE / "programs"
DATA = HERE / "data"
OUT = Path(os.environ.get("PROOF_OUT", HERE / "out"))
WORK = OUT / "work"
EMULATED = bool(os.environ.get("PROOF_EMULATED"))
DEVICE = "cuda"


class Failed(Exception):
    """A part fails, and why."""


class Report:
    """What a part has found so far, in a file that is whole at any time."""

    def __init__(self, name):
        self.path = WORK / f"{name}.json"
        self.found = {}

    def add(self, **values):
        self.found |= values
        write_json(self.path, self.found)
        print(json.dumps(values), flush=True)


def tool(name):
    """The path of a program of the machine; None where it is missing, or could not look into an emulated driver."""
    return None if EMULATED else shutil.which(name)


def skipped(name):
    """What the JSON says in place of a tool's result."""
    why = "the device is emulated" if EMULATED else f"{name} is not on this machine"
    return {"skipped": why}


def run(command, timeout=None, **options):
    """Runs a program whose output is in the log, and given back, too."""
    command = [str(part) for part in command]
    print("$", " ".join(command), flush=True)
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout, **options)
    text = done.stdout.decode(errors="replace")
    sys.stdout.write(text if text.endswith("\n") or not text else text + "\n")
    sys.stdout.flush()
    return done.returncode, text


def must(command, **options):
    """As run; the part fails where the program does."""
    code, text = run(command, **options)
    if code != 0:
        last = text.strip().splitlines()[-1:] or [""]
        raise Failed(f"{Path(str(command[0])).name} ended with status {code}: {last[0]}")
    return text


def begin(folder, steps, *settings, precision="bf16", device=DEVICE):
    """The command that begins the proof's run (proof.toml) in a folder."""
    options = [option for setting in settings for option in ("--set", setting)]
    place = ["--device", device, "--precision", precision, "--corpus", DATA / "corpus", "--vocab", DATA / "vocab.model"]
    return [PROGRAMS / "t5", "pretrain", "--size", "tiny", "--config", DATA / "proof.toml", *place,
            "--output", folder, "--steps", steps, *options]


def losses(folder):
    """The losses of a run by step, as the whole lines of its metrics.jsonl have them; none before there is one."""
    try:
        lines = (folder / "metrics.jsonl").read_text()
    except FileNotFoundError:
        return {}
    steps = [json.loads(line) for line in lines[: lines.rfind("\n") + 1].splitlines()]
    return {line["step"]: line["loss"] for line in steps if "loss" in line}
