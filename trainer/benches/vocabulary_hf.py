"""Behind export.sh and vocabulary.sh: that Hugging Face's T5 tokenizers read a vocabulary of ours as T5's own, with our ids.

Usage: python3 vocabulary_hf.py T5 FOLDER TEXTS, where FOLDER has spiece.model
"""

import subprocess
import sys
import unicodedata

import transformers
from tokenise import texts


def main(t5, folder, path):
    classes = {transformers.T5Tokenizer.__name__: transformers.T5Tokenizer}
    fast = getattr(transformers, "T5TokenizerFast", None)
    if fast is not transformers.T5Tokenizer and fast is not None:
        classes[fast.__name__] = fast
    lines = [line for text in texts(path) for line in text.split("\n") if line.strip()]
    # One that is made of `tokenizers` leaves out the file's normalisation rules, for T5's own file too.
    lines = [unicodedata.normalize("NFKC", line.replace("\r", " ")) for line in lines if "\x85" not in line]
    lines = ["The <extra_id_0> walks in <extra_id_1> park, says <extra_id_99>", *lines]
    vocab = f"{folder}/spiece.model"
    shown = subprocess.run([t5, "vocab", "show", vocab], check=True, capture_output=True).stdout
    size = int(shown.split()[0])
    command = [t5, "tokenize", "--vocab", vocab, "--ids"]
    out = subprocess.run(command, input="\n".join(lines).encode(), check=True, capture_output=True).stdout
    ours = [[int(i) for i in line.split()] + [1] for line in out.decode().split("\n")[:-1]]
    assert len(ours) == len(lines), (len(ours), len(lines))
    for name, tokenizer in classes.items():
        tokenizer = tokenizer.from_pretrained(folder)
        assert len(tokenizer) == size, (len(tokenizer), size)
        assert (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id) == (0, 1, 2)
        assert [tokenizer.convert_tokens_to_ids(f"<extra_id_{k}>") for k in (0, 1, 99)] == [size - 1, size - 2, size - 100]
        theirs = tokenizer(lines)["input_ids"]
        different = [i for i in range(len(lines)) if ours[i] != theirs[i]]
        print(
            f"transformers {transformers.__version__}, {name}: opens spiece.model; same ids for "
            f"{len(lines) - len(different)} of {len(lines)} lines"
        )
        for i in different[:3]:
            at = next(k for k in range(len(ours[i])) if ours[i][: k + 1] != theirs[i][: k + 1])
            print(f"  {lines[i][:60]!r}: from id {at} on, ours {ours[i][at:at + 4]}, theirs {theirs[i][at:at + 4]}")
        # `tokenizers` adds scores word by word, so ties come out otherwise than in sentencepiece.
        assert 0 not in different and len(different) <= 0.01 * len(lines)


if __name__ == "__main__":
    main(*sys.argv[1:])
