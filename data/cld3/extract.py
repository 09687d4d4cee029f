"""Writes network.bin and letters.bin from the source distribution of gcld3; README.md has source and layout.

Usage: python3 extract.py gcld3-3.0.13.tar.gz FOLDER
The tables of the package are state machines over UTF-8; here they are asked about every code point.
"""

import hashlib
import re
import struct
import sys
import tarfile
from fractions import Fraction
from pathlib import Path

PACKAGE_SHA256 = "47c8c779bfe7372a38564b0cd357556dc362aec81cb55b0c889059e8b952e959"
# Exit codes of the state machines (utf8statetable.h).
ILLEGAL, OK, REJECT, REPLACE1, REPLACE2, REPLACE3, REPLACE21, REPLACE31, REPLACE32 = range(240, 249)
OFFSET1, OFFSET2, REPLACE1_FIRST, SPECIAL, AGAIN, REJECT_ALT = range(249, 255)
NAMES = {
    "X__": ILLEGAL, "RJ_": REJECT, "S1_": REPLACE1, "S2_": REPLACE2, "S3_": REPLACE3, "S21": REPLACE21,
    "S31": REPLACE31, "S32": REPLACE32, "T1_": OFFSET1, "T2_": OFFSET2, "S11": REPLACE1_FIRST, "SP_": SPECIAL,
    "D__": AGAIN, "RJA": REJECT_ALT,
}  # fmt: skip
CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def array(source, name):
    """The items of a C array, as text."""
    body = re.search(rf"\b{name}\[[^\]]*\]\s*=\s*\{{(.*?)\}}\s*;", source, re.S).group(1)
    body = re.sub(r"//[^\n]*", "", body)
    return [item for item in re.split(r"[\s,{}]+", body) if item]


def numbers(source, name):
    return [NAMES[x] if x in NAMES else int(x.rstrip("u"), 0) for x in array(source, name)]


def single(text):
    """A C float literal, rounded once: its four bytes."""
    literal = text.rstrip("f")
    packed = struct.pack("<f", float(literal))
    (value,) = struct.unpack("<f", packed)
    bits = int.from_bytes(packed, "little")
    for other in (bits - 1, bits + 1):
        (neighbour,) = struct.unpack("<f", struct.pack("<I", other & 0xFFFFFFFF))
        exact = Fraction(literal)
        if neighbour == neighbour and abs(Fraction(neighbour) - exact) <= abs(Fraction(value) - exact):
            sys.exit(f"{text}: two roundings")
    return packed


class Machine:
    """A state machine of `script_span/utf8*.h`."""

    def __init__(self, source, name):
        self.table = numbers(source, name)
        self.shift = int(re.search(rf"{name}_SHIFT = (\d+)", source).group(1))
        self.source, self.name = source, name

    def walk(self, encoded, exits=True):
        """The last entry, and where the last state starts."""
        state, entry = 0, 0
        for byte in encoded[:-1]:
            entry = self.table[state + byte]
            if exits and entry >= ILLEGAL:
                return entry, state
            state = entry << self.shift
        return self.table[state + encoded[-1]], state


def scripts(machine):
    return {c: machine.walk(chr(c).encode(), exits=False)[0] for c in CODE_POINTS}


def accepted(machine):
    """The code points that a scanner does not stop at."""
    found = set()
    for c in CODE_POINTS:
        # A scanner that leaves early to try its fast loop (AGAIN) accepts, too.
        if machine.walk(chr(c).encode())[0] not in (ILLEGAL, REJECT):
            found.add(c)
    return found


def lowered(machine):
    """Code points that change: to what."""
    table, entries = machine.table, 1 << machine.shift
    base = numbers(machine.source, machine.name + "_remap_base")
    string = bytes(numbers(machine.source, machine.name + "_remap_string"))
    changed = {}
    for c in CODE_POINTS:
        source = chr(c).encode()
        entry, state = machine.walk(source)
        at = state + source[-1]
        out = bytearray(source)
        if entry == 0:
            continue
        if entry == REPLACE1_FIRST:
            out[-1] = table[at + 256]
        elif entry in (REPLACE1, REPLACE2, REPLACE3):
            for i in range(1, entry - REPLACE1 + 2):
                out[-i] = table[at + entries * i]
        elif entry in (REPLACE21, REPLACE31, REPLACE32):
            new = {REPLACE21: 1, REPLACE31: 1, REPLACE32: 2}[entry]
            gone = {REPLACE21: 2, REPLACE31: 3, REPLACE32: 3}[entry]
            out[-gone:] = bytes(table[at + entries * i] for i in range(new, 0, -1))
        elif entry in (OFFSET1, OFFSET2):
            offset = table[at + entries] + (table[at + entries * 2] << 8 if entry == OFFSET2 else 0)
            delete, add, start = base[3 * offset : 3 * offset + 3]
            assert delete < 128 and add < 128, "no flags"
            out[-delete:] = string[start : start + add]
        else:
            sys.exit(f"U+{c:04X}: {entry}")
        changed[c] = [ord(x) for x in out.decode()]
    return changed


def runs(values):
    """Runs of code points with the same value that is not 0: first, last, value."""
    found = []
    for c in range(0x110000):
        value = values.get(c, 0)
        if found and found[-1][2] == value and found[-1][1] == c - 1:
            found[-1][1] = c
        elif value:
            found.append([c, c, value])
    return found


def main():
    package, folder = Path(sys.argv[1]), Path(sys.argv[2])
    digest = hashlib.sha256(package.read_bytes()).hexdigest()
    if digest != PACKAGE_SHA256:
        sys.exit(f"{package}: SHA-256 is {digest}, expected {PACKAGE_SHA256}")
    with tarfile.open(package) as tar:
        sources = {
            member.name.split("/src/", 1)[1]: tar.extractfile(member).read().decode()
            for member in tar.getmembers()
            if "/src/" in member.name and member.name.endswith((".cc", ".h"))
        }

    # The network.
    nn = sources["lang_id_nn_params.cc"]
    names = re.findall(r'"([^"]+)"', re.search(r"kLanguageNames\[\] = \{(.*?)\}", sources["task_context_params.cc"], re.S)[1])
    out = bytearray([len(names)])
    for name in names:
        out += bytes([len(name)]) + name.encode()
    rows, columns = numbers(nn, "kEmbeddingsNumRows"), numbers(nn, "kEmbeddingsNumCols")
    for i in range(len(rows)):
        weights, scales = numbers(nn, f"kEmbeddingsWeights{i}"), numbers(nn, f"kEmbeddingsQuantScales{i}")
        assert len(weights) == rows[i] * columns[i] and len(scales) == rows[i]
        out += struct.pack("<HB", rows[i], columns[i]) + struct.pack(f"<{rows[i]}H", *scales) + bytes(weights)
    for layer in ("Hidden", "Softmax"):
        (inputs,), (outputs,) = numbers(nn, f"k{layer}NumRows"), numbers(nn, f"k{layer}NumCols")
        weights, bias = array(nn, f"k{layer}Weights0"), array(nn, f"k{layer}BiasWeights0")
        assert len(weights) == inputs * outputs and len(bias) == outputs
        out += struct.pack("<HH", inputs, outputs) + b"".join(map(single, bias + weights))
    (folder / "network.bin").write_bytes(out)

    # The letters.
    machine = lambda name: Machine(sources[f"script_span/{name}.h"], name)
    script = scripts(machine("utf8prop_lettermarkscriptnum"))
    no_letters = accepted(machine("utf8scannot_lettermarkspecial"))
    # Where the original looks for letters fast, it stops at every letter.
    assert not any(script[c] and c in no_letters for c in CODE_POINTS)
    # The rule that is written in filters/src/detect/cld3/scan.rs.
    valid = accepted(machine("utf8acceptinterchange"))
    for c in CODE_POINTS:
        control = c < 0x20 and c not in (9, 10, 12, 13) or 0x7F <= c < 0xA0
        assert (c in valid) == (not control and not 0xFDD0 <= c < 0xFDF0 and c & 0xFFFE != 0xFFFE)
    lower = lowered(machine("utf8repl_lettermarklower"))
    assert all(len(to) == 1 for to in lower.values())
    assert all(script[c] for c in lower), "only letters change"
    letters = runs(script)
    steps = runs({c: (to[0] - c) & 0xFFFFFF for c, to in lower.items()})
    out = bytearray()
    for table, width in ((letters, 1), (steps, 3)):
        out += struct.pack("<H", len(table))
        for first, last, value in table:
            out += first.to_bytes(3, "little") + last.to_bytes(3, "little") + value.to_bytes(width, "little")
    (folder / "letters.bin").write_bytes(out)

    print(f"{len(names)} languages, {len(letters)} runs of letters, {len(steps)} runs of letters with a lower case")
    for name in ("network.bin", "letters.bin"):
        data = (folder / name).read_bytes()
        print(f"{name}: {len(data):,} bytes, SHA-256 {hashlib.sha256(data).hexdigest()}")


if __name__ == "__main__":
    main()
