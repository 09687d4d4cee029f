"""Behind vocabulary.sh: our vocabulary and that of PyPI sentencepiece, trained on the same text.

Usage: python3 vocabulary.py T5 TOKENIZE FOLDER SIZE HELD_OUT, where FOLDER has corpus/ and its texts, train.jsonl
"""

import json
import os
import resource
import subprocess
import sys

import sentencepiece
from tokenise import texts


def measured(run):
    """CPU seconds and peak MB of a child process that runs `run`."""
    child = os.fork()
    if child == 0:
        run()
        os._exit(0)
    _, status, usage = os.wait4(child, 0)
    assert status == 0, status
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main(t5, tokenize, folder, size, held_out):
    train = texts(f"{folder}/train.jsonl")
    lines = [line for text in train for line in text.split("\n")]

    def theirs():
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines), model_prefix=f"{folder}/theirs-{size}", vocab_size=int(size),
            pad_id=0, eos_id=1, unk_id=2, bos_id=-1, num_threads=2, max_sentence_length=1 << 24, minloglevel=2,
        )  # fmt: skip

    def ours():
        command = [t5, "vocab", "train", f"{folder}/corpus", "--megabytes", "1000000", "--threads", "2"]
        command += ["--size", size, "--output", f"{folder}/ours-{size}.model"]
        with open(f"{folder}/log", "wb") as log:
            os.dup2(log.fileno(), 2)
        os.execv(t5, command)

    for name, run in (("ours", ours), ("theirs", theirs)):
        seconds, megabytes = measured(run)
        print(f"{size} pieces, {name}: {seconds:.1f} CPU s, {megabytes:.0f} MB")
    for name, documents in (("trained on", train), ("held out", texts(held_out))):
        stdin = "".join(json.dumps(document) + "\n" for document in documents).encode()
        rates = {}
        for model in ("ours", "theirs"):
            command = [tokenize, f"{folder}/{model}-{size}.model", "1"]
            out = subprocess.run(command, input=stdin, check=True, capture_output=True).stdout
            count, _, tokens = out.split()
            rates[model] = int(count) / int(tokens)
        ours, theirs = rates["ours"], rates["theirs"]
        print(f"  {name}: ours {ours:.4f} bytes a token, theirs {theirs:.4f} ({100 * (ours / theirs - 1):+.2f} %)")
        # A text that is so small decides by chance.
        least = 0.995 if sum(map(len, train)) >= 5_000_000 else 0.95
        assert ours > least * theirs, rates
    pieces = []
    for model in ("ours", "theirs"):
        processor = sentencepiece.SentencePieceProcessor(model_file=f"{folder}/{model}-{size}.model")
        ids = (processor.pad_id(), processor.eos_id(), processor.unk_id(), processor.bos_id())
        assert ids == (0, 1, 2, -1) and processor.get_piece_size() == int(size), ids
        pieces.append({processor.id_to_piece(i) for i in range(int(size))})
    print(f"  {len(pieces[0] & pieces[1])} pieces are in both")
    ours = f"{folder}/ours-{size}.model"
    processor = sentencepiece.SentencePieceProcessor(model_file=ours)
    documents = texts(held_out)
    stdin = "".join(json.dumps(document) + "\n" for document in documents).encode()
    out = subprocess.run([tokenize, ours], input=stdin, check=True, capture_output=True).stdout
    for document, ids in zip(documents, out.splitlines(), strict=True):
        assert processor.encode(document) == json.loads(ids), document[:200]
    print(f"  sentencepiece reads our file and gives our ids for {len(documents)} texts")


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main(*sys.argv[1:])
