"""Our CLD3 against the original, PyPI `gcld3`, bit by bit; cld3.sh runs it.

Usage: cld3.py PROGRAM FOLDER [WET...]
Asks both about every page of the archives, about made-up texts of FOLDER/cld3.jsonl and about others that are put together of
them: words of several languages mixed, cut, repeated, with signs between them. Fails if one answer differs in one bit.
"""

import gzip
import json
import random
import struct
import subprocess
import sys
import time
from pathlib import Path

import gcld3

SIGNS = (
    "0 1 . , ; ! ? - _ & < > \" ' ( ) { } « » … · 、 。 € ½ ² ª µ Ω Å ʼ ʻ ー ّ \u0301 \u0308 \u200b \u200d \u2028 \u00a0 \u3000 \ufeff \ufffd \t \n \r \f "
    "😀 👩‍👩‍👧 🇫🇷 𝒜 𐐀 𠀀 ㍿ ﬁ ſ İ ı ẞ Ǆ Σ ς Ⱥ ⱥ Ɫ Ⴀ ᏸ Ა ꭰ ① Ⅷ ⓐ Ａ ａ ｱ ﾡ ﾜ ᄀ ᅡ 힣 ㄱ ˈ ː ͺ ͅ ა Ж Қ ҵ ء ی ک क ा ् ก ็ ་ ། ሀ ក ្ "
    "\x00 \x0b \x1b \x7f \x85 \u00ad \ufdd0 \uffff \U0001fffe \U000e0100 \U0010fffd"
).split(" ")


def pages(path):
    """The texts of a WET as the reference takes them: all lines but headers, stripped, without empty ones."""
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rb") as file:
            data = b""
            while piece := file.read(1 << 20):
                data += piece
    except EOFError:
        pass
    lines = None
    for line in data.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        line = line.strip()
        if line == "WARC/1.0":
            if lines:
                yield "\n".join(lines)
            lines = []
        elif line and lines is not None and not line.startswith(("WARC", "Content-", "CONTENT-")):
            lines.append(line)
    if lines:
        yield "\n".join(lines)


def made_up(texts, count, seed):
    """Texts put together of others."""
    dice = random.Random(seed)
    words = [text.split() or [text] for text in texts]
    characters = sorted({c for text in texts for c in text})

    def piece():
        kind = dice.random()
        if kind < 0.45:
            own = dice.choice(words)
            at = dice.randrange(len(own))
            return " ".join(own[at : at + dice.randrange(1, 40)])
        if kind < 0.6:
            return dice.choice(SIGNS) * dice.choice((1, 1, 1, 2, 7))
        if kind < 0.7:
            return "".join(dice.choices(characters, k=dice.randrange(1, 30)))
        if kind < 0.75:
            return "".join(chr(dice.choice((dice.randrange(0x20, 0x7F), dice.randrange(0xA0, 0xD800), dice.randrange(0x10000, 0x20000)))) for _ in range(dice.randrange(1, 20)))
        if kind < 0.85:
            own = dice.choice(words)
            return dice.choice(own).upper() if dice.random() < 0.5 else dice.choice(own).title()
        if kind < 0.93:
            own = dice.choice(words)
            return " ".join(dice.choices(own, k=dice.randrange(1, 4))) * dice.randrange(2, 12)
        return " " * dice.randrange(1, 60)

    for _ in range(count):
        size = dice.choice((60, 110, 150, 300, 700, 2000, 9_990, 10_010, 20_000, 40_000))
        glue = dice.choice((" ", " ", " ", "", "\n", ". "))
        # Of one or two texts only, so that languages are often sure.
        some, words_before = dice.sample(range(len(texts)), k=dice.choice((1, 2, 3))), words
        words = [words_before[i] for i in some] if dice.random() < 0.8 else words_before
        parts, length = [], 0
        while length < size:
            part = piece()
            if glue == "" and dice.random() < 0.5:
                part = part.replace(" ", "")
            parts.append(part)
            length += len(part.encode()) + len(glue)
        words = words_before
        yield glue.join(parts)


def main():
    program, folder, archives = sys.argv[1], Path(sys.argv[2]), map(Path, sys.argv[3:])
    with open(folder / "cld3.jsonl", encoding="utf-8") as file:
        texts = [json.loads(line)["text"] for line in file]
    sets = {path.name: list(pages(path)) for path in archives}
    sets["made-up texts"] = texts
    long = [text for text in texts if len(text) > 100]
    for seed, count in enumerate((2_000, 4_000, 4_000)):
        sets[f"put together, seed {seed}"] = list(made_up(long, count, seed))
    detector = gcld3.NNetLanguageIdentifier(min_num_bytes=100, max_num_bytes=10000)
    bad = 0
    for name, texts in sets.items():
        stdin = "".join(json.dumps(text) + "\n" for text in texts)
        ours = subprocess.run([program], input=stdin, capture_output=True, text=True, check=True)
        start = time.process_time()
        found = [detector.FindLanguage(text) for text in texts]
        theirs_seconds = time.process_time() - start
        same, decisions, largest, answered, sure = 0, 0, 0.0, 0, 0
        lines = ours.stdout.splitlines()
        assert len(lines) == len(found)
        for text, line, theirs in zip(texts, lines, found, strict=True):
            language, bits, reliable = line.split()
            probability = struct.unpack("<f", struct.pack("<I", int(bits)))[0]
            mine = (language, probability, reliable == "true")
            his = (theirs.language, theirs.probability, theirs.is_reliable)

            def decide(guess):
                return guess[0] if guess[2] and guess[1] >= 0.95 else "und"

            same += mine == his
            decisions += decide(mine) == decide(his)
            largest = max(largest, abs(mine[1] - his[1]))
            answered += his[0] != "und"
            sure += decide(his) != "und"
            if mine != his and bad < 5:
                print(f"{mine} for {his}: {text[:200]!r}", file=sys.stderr)
            bad += mine != his
        mega = sum(len(text.encode()) for text in texts) / 1e6
        ours_seconds = float(ours.stderr)
        print(
            f"{name}: {len(texts)} texts, {answered} with an answer, {sure} sure; {same} equal in every bit, {decisions} decided alike, "
            f"largest difference {largest:.3g}; {mega:.1f} MB at {mega / ours_seconds:.0f} MB/s, gcld3 at {mega / theirs_seconds:.1f}, "
            f"{theirs_seconds / ours_seconds:.1f} times as fast"
        )
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
