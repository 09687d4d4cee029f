"""Behind vocabulary.sh: that Hugging Face's T5 tokenizer reads our file as T5's own, with our ids.

Usage: python3 vocabulary_hf.py T5 VOCAB HELD_OUT
"""

import shutil
import subprocess
import sys
import tempfile
import unicodedata

import transformers
from tokenise import texts


def main(t5, vocab, held_out):
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(vocab, f"{folder}/spiece.model")
        tokenizer = transformers.T5Tokenizer.from_pretrained(folder)
    assert len(tokenizer) == 32100, len(tokenizer)
    for k in (0, 1, 99):
        assert tokenizer.convert_tokens_to_ids(f"<extra_id_{k}>") == 32099 - k
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id) == (0, 1, 2)
    lines = [line for text in texts(held_out) for line in text.split("\n") if line.strip()]
    lines = ["The <extra_id_0> walks in <extra_id_1> park, says <extra_id_99>", *lines]
    # Its T5 tokenizer leaves out the file's normalisation rules, for T5's own file too: there, "…" is <unk>.
    lines = [unicodedata.normalize("NFKC", line.replace("\r", " ")) for line in lines if "\x85" not in line]
    command = [t5, "tokenize", "--vocab", vocab, "--ids"]
    out = subprocess.run(command, input="\n".join(lines).encode(), check=True, capture_output=True).stdout
    ours = [[int(i) for i in line.split()] + [1] for line in out.decode().split("\n")[:-1]]
    assert len(ours) == len(lines), (len(ours), len(lines))
    theirs = tokenizer(lines)["input_ids"]
    assert ours[0] == theirs[0], (ours[0], theirs[0])
    same = sum(a == b for a, b in zip(ours, theirs))
    # Its `tokenizers` adds scores word by word, so ties come out otherwise than in sentencepiece.
    print(f"transformers {transformers.__version__}: same ids for {same} of {len(lines)} lines")
    assert same >= 0.99 * len(lines)


if __name__ == "__main__":
    main(*sys.argv[1:])
