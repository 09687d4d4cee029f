"""Behind import.sh: folders of many kinds that transformers saves, and what `t5 generate` says to them.

Usage: python3 import.py T5 VOCAB FOLDER, where VOCAB is a SentencePiece model of T5's layout
"""

import json
import os
import shutil
import subprocess
import sys

import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import T5Config, T5ForConditionalGeneration

PROMPTS = ["The river runs by the old town.", "  Two  spaces, a\ttab: and 1,234!!!!!! ", "a"]
BLANKS = "Thank you <extra_id_0> me to your party <extra_id_1> week."
TOKENS = 12


def tokenizer(vocab, folder):
    """As this version opens and saves T5's."""
    source = folder + "-vocab"
    os.makedirs(source)
    shutil.copy(vocab, source + "/spiece.model")
    fast = getattr(transformers, "T5TokenizerFast", transformers.T5Tokenizer)
    return fast.from_pretrained(source)


def model(seed=0, **settings):
    torch.manual_seed(seed)
    config = T5Config(
        **{
            "vocab_size": 512, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4, "decoder_start_token_id": 0,
            "dropout_rate": 0.0, **settings,
        }
    )
    made = T5ForConditionalGeneration(config)
    with torch.no_grad():
        for name, values in made.named_parameters():
            # First values are so small that any input has the same answer.
            values.copy_(torch.randn(values.shape) * (1.0 if "layer_norm" not in name else 0.1) + ("layer_norm" in name))
    return made.eval()


def rename(folder, *names):
    """The embedding stored by other names than by `save_pretrained`."""
    path = folder + "/model.safetensors"
    tensors = load_file(path)
    table = tensors.pop("shared.weight")
    save_file({**tensors, **{name: table.clone() for name in names}}, path, metadata={"format": "pt"})


def edit(file, change):
    def do(folder):
        path = f"{folder}/{file}"
        with open(path, encoding="utf-8") as text:
            content = json.load(text)
        change(content)
        with open(path, "w", encoding="utf-8") as text:
            json.dump(content, text)

    return do


V11 = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
# Name, settings, how it is saved, what is done to the folder then.
KINDS = [
    ("tied", {}, {}, None),
    ("v1.1", V11, {}, None),
    ("gated, tied", {"feed_forward_proj": "gated-gelu"}, {}, None),
    ("not gated, untied", {"tie_word_embeddings": False}, {}, None),
    ("gated-silu", {**V11, "feed_forward_proj": "gated-silu"}, {}, None),
    ("gated-silu, tied", {"feed_forward_proj": "gated-silu"}, {}, None),
    ("sharded", {}, {"max_shard_size": "40KB"}, None),
    ("v1.1, sharded", V11, {"max_shard_size": "40KB"}, None),
    ("bf16", {}, {"dtype": torch.bfloat16}, None),
    ("f16", {}, {"dtype": torch.float16}, None),
    ("v1.1, bf16, sharded", V11, {"dtype": torch.bfloat16, "max_shard_size": "20KB"}, None),
    ("fewer decoder layers", {"num_decoder_layers": 1}, {}, None),
    ("other buckets", {"relative_attention_num_buckets": 16, "relative_attention_max_distance": 20}, {}, None),
    ("heads of another width", {"num_heads": 3, "d_kv": 16}, {}, None),
    ("another epsilon", {"layer_norm_epsilon": 0.01}, {}, None),
    ("a list of eos", {}, {}, edit("config.json", lambda config: config.update(eos_token_id=[1]))),
    ("encoder.embed_tokens alone", {}, {}, lambda folder: rename(folder, "encoder.embed_tokens.weight")),
    ("decoder.embed_tokens alone", {}, {}, lambda folder: rename(folder, "decoder.embed_tokens.weight")),
    ("lm_head alone", {}, {}, lambda folder: rename(folder, "lm_head.weight")),
    ("all names", {}, {}, lambda folder: rename(
        folder, "shared.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight")),
    ("spiece.model alone", {}, {}, "spiece.model"),
    ("tokenizer.json alone", {}, {}, "tokenizer.json"),
]
REFUSED = [
    ("mt5", edit("config.json", lambda config: config.update(model_type="mt5")), ["config.json", "`mt5`"]),
    ("silu without a gate", edit("config.json", lambda config: config.update(feed_forward_proj="silu")), ["`silu`"]),
    ("a second eos", edit("config.json", lambda config: config.update(eos_token_id=[1, 9])), ["eos_token_id is 9"]),
    ("BPE", edit("tokenizer.json", lambda file: file.update(model={"type": "BPE", "vocab": {}, "merges": []})), ["`BPE`"]),
    ("bytes", edit("tokenizer.json", lambda file: file.update(pre_tokenizer={"type": "ByteLevel"})), ["`ByteLevel`"]),
    ("byte fallback", edit("tokenizer.json", lambda file: file["model"].update(byte_fallback=True)), ["model.byte_fallback"]),
    ("NFKC", edit("tokenizer.json", lambda file: file.update(normalizer={"type": "NFKC"})), ["normalizer: `NFKC`"]),
]


def squeezed(text):
    return "".join(text.split())


def main(t5, vocab, root):
    os.makedirs(root)
    tokens = tokenizer(vocab, f"{root}/t")

    def save(name, settings, how, change):
        folder = f"{root}/{name}"
        made = model(**settings)
        how = dict(how)
        made.to(how.pop("dtype", torch.float32)).save_pretrained(folder, **how)
        tokens.save_pretrained(folder)
        keep = change if isinstance(change, str) else "tokenizer.json"
        other = {"tokenizer.json": "spiece.model", "spiece.model": "tokenizer.json"}[keep]
        if os.path.exists(f"{folder}/{other}"):
            os.remove(f"{folder}/{other}")
        shutil.copy(vocab, f"{folder}/spiece.model") if keep == "spiece.model" else None
        if callable(change):
            change(folder)
        return folder, made.float()

    def run(*arguments):
        return subprocess.run([t5, *arguments], capture_output=True, text=True)

    for name, settings, how, change in KINDS:
        folder, made = save(name, settings, how, change)
        # Read by transformers, too, where it does: it knows no file without shared.weight in all its versions.
        if "alone" not in name:
            made = T5ForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
        texts = set()
        for prompt in PROMPTS:
            ids = tokens(prompt, return_tensors="pt")
            with torch.no_grad():
                said = made.generate(**ids, max_new_tokens=TOKENS, do_sample=False, num_beams=1, eos_token_id=1)[0]
            said = [int(i) for i in said if i not in (0, 1)]
            # Of the rows beyond the vocabulary, transformers says nothing.
            pieces = [piece or "\ufffd" for piece in tokens.convert_ids_to_tokens(said)]
            theirs = squeezed("".join(pieces).replace("▁", " ").replace("<unk>", "⁇"))
            ours = run("generate", folder, prompt, "--max-tokens", str(TOKENS))
            assert ours.returncode == 0, (name, ours.stderr)
            assert squeezed(ours.stdout) == theirs, (name, prompt, ours.stdout, theirs)
            texts.add(theirs)
        # One answer to all would prove little.
        assert len(texts) > 1 and any(len(text) > 5 for text in texts), (name, texts)
        file = "spiece.model" if change == "spiece.model" else "tokenizer.json"
        for text in [*PROMPTS, BLANKS]:
            ours = run("tokenize", "--vocab", f"{folder}/{file}", "--ids", text)
            assert [int(i) for i in ours.stdout.split()] == tokens(text)["input_ids"][:-1], (name, text, ours)
        imported = run("import", folder, "-o", f"{root}/{name}-run")
        assert imported.returncode == 0, (name, imported.stderr)
    for name, change, words in REFUSED:
        folder, _ = save(name, {}, {}, change)
        for command in [["generate", folder, "a"], ["import", folder, "-o", f"{root}/{name}-run"]]:
            refused = run(*command)
            assert refused.returncode == 2 and all(word in refused.stderr for word in words), (name, refused)
            assert refused.stderr.count("\n") == 1, refused.stderr
    print(
        f"transformers {transformers.__version__}: its greedy text by t5 generate from {len(KINDS)} kinds of folders; "
        f"{len(REFUSED)} kinds are refused in a line that says why"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
