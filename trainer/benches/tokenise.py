"""Behind tokenise.sh: ids and speed of our encoder and of PyPI sentencepiece.

Usage: python3 tokenise.py PROGRAM VOCAB FILE...
"""

import gzip
import json
import os
import subprocess
import sys
import time

import sentencepiece

ROUNDS = 5


def texts(path):
    """The texts of a file: the records' text of a WET, or `text` of JSON lines."""
    data = open(path, "rb").read()
    if data[:2] == b"\x1f\x8b":
        whole = bytearray()
        try:
            with gzip.open(path) as file:
                while block := file.read(1 << 16):
                    whole += block
        except EOFError:
            pass  # A file that is cut has texts, too.
        data = bytes(whole)
    if b"WARC/1.0" not in data[:1000]:
        return [json.loads(line)["text"] for line in data.splitlines() if b'"text"' in line]
    records = data.decode("utf-8", "replace").split("WARC/1.0")[1:]
    bodies = (record.replace("\r\n", "\n").partition("\n\n")[2] for record in records)
    return [body for body in bodies if body.strip()]


def pin():
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def theirs_seconds(model, documents):
    """CPU seconds of one round: a new model, every text once."""
    processor = sentencepiece.SentencePieceProcessor(model_file=model)
    start = time.process_time()
    for document in documents:
        processor.encode(document)
    return time.process_time() - start


def main(program, vocab, *paths):
    processor = sentencepiece.SentencePieceProcessor(model_file=vocab)
    failed = False
    for path in paths:
        documents = texts(path)
        lines = [line for document in documents for line in document.split("\n")]
        for name, units in (("texts", documents), ("lines", lines)):
            stdin = "".join(json.dumps(unit) + "\n" for unit in units)
            out = subprocess.run([program, vocab], input=stdin.encode(), check=True, capture_output=True).stdout
            ours = [json.loads(line) for line in out.splitlines()]
            assert len(ours) == len(units), (len(ours), len(units))
            different = [unit for unit, ids in zip(units, ours) if processor.encode(unit) != ids]
            print(f"{os.path.basename(path)}: {len(units) - len(different)} of {len(units)} {name} with the same ids")
            for unit in different[:3]:
                print(f"  differs: {unit[:200]!r}")
            failed |= bool(different)
        size = sum(len(document.encode()) for document in documents)
        stdin = "".join(json.dumps(document) + "\n" for document in documents).encode()
        pin()
        mine, other = [], []
        # The system's count of CPU time moves by milliseconds: small inputs are encoded several times.
        repeats = min(int(20e6 / size) + 1, 30)
        for _ in range(ROUNDS):
            command = [program, vocab, str(repeats)]
            out = subprocess.run(command, input=stdin, check=True, capture_output=True).stdout
            mine.append(sum(float(line.split()[1]) for line in out.splitlines()) / repeats)
            other.append(theirs_seconds(vocab, documents))
        mine, other = (size / 1e6 / min(seconds) for seconds in (mine, other))
        print(f"  {size / 1e6:.2f} MB: ours {mine:.1f} MB/s, sentencepiece {other:.1f} MB/s ({mine / other:.1f} times)")
    sys.exit(failed)


if __name__ == "__main__":
    main(*sys.argv[1:])
