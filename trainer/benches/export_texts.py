"""Behind export.sh: the ids and the text that others make of an exported folder, beside those of `t5`.

Usage: python3 export_texts.py T5 FOLDER TEXTS OUT, where TEXTS is JSON lines with `text`, and OUT gets what this version of
transformers gives: ids and greedy answers, to be compared with the other version's and with candle's
"""

import json
import subprocess
import sys

import tokenizers
import torch
import transformers
from tokenise import texts

TOKENS = 12
PROMPTS = [
    "The river <extra_id_0> the town.",
    "Thank you <extra_id_0> me to your party <extra_id_1> week.",
    "  Two  spaces, a\ttab: and 1,234!!!!!! ",
    "ﬁne ½ Å ① 日本 wörld \u3000x",
    "a",
]


def words(text):
    """Of a text with unknown characters as the library shows them, or as transformers does."""
    return text.replace("<unk>", " ⁇ ").split()


def main(t5, folder, path, out):
    lines = [line for text in texts(path) for line in text.replace("\r", " ").split("\n") if line.strip()]
    lines = [*PROMPTS, *lines]

    def ours(*arguments, lines):
        command = [t5, "tokenize", "--vocab", f"{folder}/spiece.model", *arguments]
        shown = subprocess.run(command, input="\n".join(lines).encode(), check=True, capture_output=True).stdout
        return shown.decode().split("\n")[:-1]

    wanted = [[int(i) for i in line.split()] for line in ours("--ids", lines=lines)]
    assert len(wanted) == len(lines)
    alone = tokenizers.Tokenizer.from_file(f"{folder}/tokenizer.json")
    theirs = [encoding.ids for encoding in alone.encode_batch(lines)]
    assert all(ids[-1] == 1 for ids in theirs)
    auto = transformers.AutoTokenizer.from_pretrained(folder)
    assert auto.model_max_length == 512, auto.model_max_length
    size = len(auto)
    assert [auto.convert_tokens_to_ids(f"<extra_id_{k}>") for k in (0, 1, 99)] == [size - 1, size - 2, size - 100]
    assert (auto.pad_token_id, auto.eos_token_id, auto.unk_token_id) == (0, 1, 2)
    named = type(auto).__name__
    classes = {f"AutoTokenizer ({named})": auto}
    if named.startswith("T5"):
        classes["T5Tokenizer"] = transformers.T5Tokenizer.from_pretrained(folder)
    for name, tokenizer in classes.items():
        is_fast = getattr(tokenizer, "is_fast", False)
        ids = tokenizer(lines)["input_ids"]
        if is_fast:
            different = [i for i in range(len(lines)) if ids[i] != theirs[i]]
            assert not different, (name, lines[different[0]], ids[different[0]], theirs[different[0]])
        else:
            # On the sentencepiece library itself, as ours.
            different = [i for i in range(len(lines)) if ids[i][:-1] != wanted[i]]
            assert not different, (name, lines[different[0]], ids[different[0]], wanted[different[0]])
        print(f"transformers {transformers.__version__}, {name}: {len(lines)} lines with the ids of {'tokenizers' if is_fast else 't5'}")
    different = [i for i in range(len(lines)) if theirs[i][:-1] != wanted[i]]
    print(f"tokenizers {tokenizers.__version__} alone: our ids for {len(lines) - len(different)} of {len(lines)} lines")
    for i in different[:3]:
        at = next(k for k in range(len(theirs[i])) if theirs[i][: k + 1] != wanted[i][: k + 1])
        print(f"  {lines[i][:60]!r}: from id {at} on, ours {wanted[i][at:at + 4]}, theirs {theirs[i][at:at + 4]}")
    # `tokenizers` sums scores word by word in 64 bits, so that ties come out otherwise, and applies rules to clusters.
    assert not set(different) & set(range(len(PROMPTS))) and len(different) <= 0.01 * len(lines)
    # The same ids are the same text, to white space around sentinels.
    plain = [i for i in range(len(lines)) if "<extra_id_" not in lines[i] and i not in different]
    decoded = ours("--decode", lines=[" ".join(map(str, wanted[i])) for i in plain])
    for i, text in zip(plain, decoded):
        for name, other in [("tokenizers", alone.decode(wanted[i], skip_special_tokens=False)), (named, auto.decode(wanted[i]))]:
            assert words(other) == words(text), (name, text, other)
    # What the model says.
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=torch.float32).eval()
    answers = []
    for prompt in PROMPTS:
        ids = auto(prompt, return_tensors="pt")
        with torch.no_grad():
            said = model.generate(**ids, max_new_tokens=TOKENS, do_sample=False, num_beams=1)[0].tolist()
        said = [i for i in said[1:] if i not in (0, 1)]
        answers.append({"ids": ids["input_ids"][0].tolist(), "said": said, "text": auto.decode(said)})
        if "<extra_id_" not in prompt:
            shown = subprocess.run([t5, "generate", folder, prompt, "--max-tokens", str(TOKENS)], check=True, capture_output=True).stdout
            # White space beside sentinels is each one's own.
            assert "".join(words(shown.decode())) == "".join(words(answers[-1]["text"])), (prompt, shown, answers[-1])
    with open(out, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(answer) + "\n" for answer in answers)


if __name__ == "__main__":
    main(*sys.argv[1:])
