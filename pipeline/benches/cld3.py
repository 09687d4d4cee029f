"""Our CLD3 against the original, PyPI `gcld3`; cld3.sh makes its environment.

cld3.py compare PROGRAM GOLDEN [WET...]
    Asks both about every page of the archives, the texts of GOLDEN/golden_cld3.jsonl.gz, and 10,000 texts that are put
    together of those: cut, mixed, repeated, with signs between them. Fails if one answer differs in one bit.
cld3.py write GOLDEN
    Writes the original's answers beside the texts of GOLDEN/golden_cld3.jsonl.gz, and fuzz_cld3.jsonl.gz anew.
"""

import gzip
import io
import json
import random
import struct
import subprocess
import sys
import time
from pathlib import Path

import gcld3

# What TensorFlow Datasets asks for.
DETECTOR = gcld3.NNetLanguageIdentifier(min_num_bytes=100, max_num_bytes=10000)
MIN_PROBABILITY = 0.95
# Letters without a script or case of their own, marks, signs, and what ends the text.
SIGNS = [*"01.,;!?-_&<>\"'(){}«»…·、。€½²ªµΩÅʼʻー\u0301\u0308\u0651\u200b\u200d\u2028\u00a0\u3000\ufeff\ufffd\t\n\r\f"]
SIGNS += [*"𝒜𐐀𠀀㍿ﬁſİıẞǄΣςȺⱥⱢႠᏸᲐꭰ①ⅧⓐＡａｱﾡﾜ가힣ㄱˈːͺͅაЖҚҵءیکका्ก็་ཀሀក្", "😀", "👩‍👧", "🇫🇷"]
SIGNS += [*"\x00\x0b\x1b\x7f\x85\u00ad\ufdd0\uffff\U0001fffe\U000e0100\U0010fffd"]


def pages(path):
    """The texts of a WET as the reference takes them: stripped lines, without empty ones and headers."""
    data = bytearray()
    with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
        try:
            while piece := file.read1(1 << 16):
                data += piece
        except EOFError:
            print(f"{path.name} is cut", file=sys.stderr)
    lines = None
    for line in io.StringIO(data.decode("utf-8", "replace"), newline=None):
        line = line.strip()
        if line == "WARC/1.0":
            if lines:
                yield "\n".join(lines)
            lines = []
        elif line and lines is not None and not line.startswith(("WARC", "Content-", "CONTENT-")):
            lines.append(line)
    if lines:
        yield "\n".join(lines)


def put_together(texts, sizes, count, seed):
    """Texts made of pieces of others, of about so many bytes."""
    dice = random.Random(seed)
    texts = [text for text in texts if len(text) > 100]
    characters = sorted({c for text in texts for c in text})

    def any_character():
        return chr(dice.choice((dice.randrange(0x20, 0x7F), dice.randrange(0xA0, 0xD800), dice.randrange(0x10000, 0x20000))))

    def piece(words):
        kind = dice.random()
        if kind < 0.45:
            at = dice.randrange(len(words))
            return " ".join(words[at : at + dice.randrange(1, 40)])
        if kind < 0.6:
            return dice.choice(SIGNS) * dice.choice((1, 1, 1, 2, 7))
        if kind < 0.7:
            return "".join(dice.choices(characters, k=dice.randrange(1, 30)))
        if kind < 0.75:
            return "".join(any_character() for _ in range(dice.randrange(1, 20)))
        if kind < 0.85:
            return dice.choice((str.upper, str.title))(dice.choice(words))
        if kind < 0.93:
            return " ".join(dice.choices(words, k=dice.randrange(1, 4))) * dice.randrange(2, 12)
        return " " * dice.randrange(1, 60)

    for _ in range(count):
        size = dice.choice(sizes)
        glue = dice.choice((" ", " ", " ", "", "\n", ". "))
        # Of a few texts only, so that languages are often sure.
        words = " ".join(dice.choices(texts, k=dice.choice((1, 2, 3, 30)))).split()
        parts, length = [], 0
        while length < size:
            part = piece(words)
            if not glue and dice.random() < 0.5:
                part = part.replace(" ", "")
            parts.append(part)
            length += len(part.encode()) + len(glue)
        yield glue.join(parts)


def decision(language, probability, reliable):
    return language if reliable and probability >= MIN_PROBABILITY else "und"


def compare(program, name, texts):
    stdin = "".join(json.dumps(text) + "\n" for text in texts)
    run = subprocess.run([program], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=True)
    our_seconds = float(run.stderr)
    start = time.process_time()
    found = [DETECTOR.FindLanguage(text) for text in texts]
    their_seconds = time.process_time() - start
    equal = alike = answered = sure = 0
    largest = 0.0
    for text, line, result in zip(texts, run.stdout.splitlines(), found, strict=True):
        language, bits, reliable = line.split()
        (probability,) = struct.unpack("<f", struct.pack("<I", int(bits)))
        ours = (language, probability, reliable == "true")
        theirs = (result.language, result.probability, result.is_reliable)
        answered += theirs[0] != "und"
        sure += decision(*theirs) != "und"
        alike += decision(*ours) == decision(*theirs)
        largest = max(largest, abs(ours[1] - theirs[1]))
        equal += ours == theirs
        if ours != theirs and len(texts) - equal < 5:
            print(f"{ours}, the original {theirs}: {text[:200]!r}", file=sys.stderr)
    mb = sum(len(text.encode()) for text in texts) / 1e6
    report = (
        f"{name}: {len(texts)} texts ({answered} with an answer, {sure} decided); {equal} equal in every bit, "
        f"{alike} decided alike, largest difference {largest:.3g}"
    )
    # Linux accounts CPU time in steps of milliseconds.
    if our_seconds > 0.05:
        rates = f"{mb / our_seconds:.1f} MB a CPU second, the original {mb / their_seconds:.1f}"
        report += f"; {mb:.1f} MB at {rates}: {their_seconds / our_seconds:.1f} times as fast"
    print(report, flush=True)
    return equal == len(texts)


def read(path):
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line)["text"] for line in file]


def write(path, texts):
    with open(path, "wb") as file, gzip.GzipFile(fileobj=file, mode="wb", filename="", mtime=0) as zipped:
        for text in texts:
            result = DETECTOR.FindLanguage(text)
            row = {"text": text, "language": result.language, "probability": result.probability, "reliable": result.is_reliable}
            zipped.write((json.dumps(row, ensure_ascii=False) + "\n").encode())


def main(command, *arguments):
    if command == "write":
        golden = Path(arguments[0])
        texts = read(golden / "golden_cld3.jsonl.gz")
        write(golden / "golden_cld3.jsonl.gz", texts)
        write(golden / "fuzz_cld3.jsonl.gz", put_together(texts, (60, 110, 150, 300, 700, 2000, 12_000), 300, seed=0))
        return True
    program, golden, *archives = arguments
    texts = read(Path(golden) / "golden_cld3.jsonl.gz")
    same = compare(program, "made-up texts", texts)
    for path in map(Path, archives):
        same &= compare(program, path.name, list(pages(path)))
    for seed, sizes in enumerate([(60, 110, 150, 300), (500, 700, 2000), (9_990, 10_010, 20_000), (300, 12_000)], 1):
        same &= compare(program, f"put together, seed {seed}", list(put_together(texts, sizes, 2500, seed)))
    return same


if __name__ == "__main__":
    sys.exit(not main(*sys.argv[1:]))
