"""Behind import.sh: folders of many kinds that transformers saves, what `t5 generate` says to them, and their logits.

Usage: python3 import.py T5 LOGITS VOCAB BYTES FOLDER, where VOCAB is a SentencePiece model of T5's layout, and BYTES the same with byte
fallback
"""

import json
import os
import shutil
import subprocess
import sys

import numpy
import sentencepiece
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForSeq2SeqLM, MT5Config, MT5ForConditionalGeneration, T5Config, T5ForConditionalGeneration, UMT5Config,
    UMT5ForConditionalGeneration,
)

PROMPTS = ["The river runs by the old town.", "  Two  spaces, a\ttab: and 1,234!!!!!! ", "a"]
# Characters that a small vocabulary does not have, and those that are several bytes.
UNKNOWN = ["日本 the 日 river", "wörld 👍👍 \u3000ﬁ½x", "a é日 b", "\x85 ~ {} <0x41>"]
BLANKS = "Thank you <extra_id_0> me to your party <extra_id_1> week."
TOKENS = 12


def tokenizer(vocab, folder):
    """As this version opens and saves T5's."""
    source = folder + "-vocab"
    os.makedirs(source)
    shutil.copy(vocab, source + "/spiece.model")
    fast = getattr(transformers, "T5TokenizerFast", transformers.T5Tokenizer)
    return fast.from_pretrained(source)


CLASSES = {
    "t5": (T5Config, T5ForConditionalGeneration),
    "mt5": (MT5Config, MT5ForConditionalGeneration),
    "umt5": (UMT5Config, UMT5ForConditionalGeneration),
}


def model(seed=0, kind="t5", **settings):
    torch.manual_seed(seed)
    of_config, of_model = CLASSES[kind]
    config = of_config(
        **{
            "vocab_size": 512, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4, "decoder_start_token_id": 0,
            "dropout_rate": 0.0, **settings,
        }
    )
    made = of_model(config)
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


def to_bin(form=None, wrap=lambda state: state, parts=1):
    """The weights as pytorch_model.bin, `form` being what `torch.save` is told."""

    def do(folder):
        path = folder + "/model.safetensors"
        state = load_file(path)
        os.remove(path)
        # By all names, in one storage, as `state_dict` has them.
        for name in ["encoder.embed_tokens.weight", "decoder.embed_tokens.weight"]:
            state[name] = state["shared.weight"]
        state = wrap(state)
        if parts == 1:
            return torch.save(state, folder + "/pytorch_model.bin", **(form or {}))
        names, index = sorted(state), {}
        for part in range(parts):
            file = f"pytorch_model-{part + 1:05}-of-{parts:05}.bin"
            torch.save({name: state[name] for name in names[part::parts]}, f"{folder}/{file}")
            index.update({name: file for name in names[part::parts]})
        with open(folder + "/pytorch_model.bin.index.json", "w", encoding="utf-8") as text:
            json.dump({"metadata": {}, "weight_map": index}, text)

    return do


def turned(state):
    """Matrices by columns, as those that were converted from TensorFlow."""
    return {name: values.t().contiguous().t() if values.dim() == 2 else values for name, values in state.items()}


def parameters(state):
    return {name: torch.nn.Parameter(values) for name, values in state.items()}


def edit(file, change):
    def do(folder):
        path = f"{folder}/{file}"
        with open(path, encoding="utf-8") as text:
            content = json.load(text)
        change(content)
        with open(path, "w", encoding="utf-8") as text:
            json.dump(content, text)

    return do


class Code:
    """What Python runs when it reads it."""

    def __reduce__(self):
        return exec, ("raise SystemExit('was run')",)


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
    ("pytorch_model.bin", {}, {}, to_bin()),
    ("pytorch_model.bin, v1.1", V11, {}, to_bin()),
    ("pytorch_model.bin before 1.6", {}, {}, to_bin({"_use_new_zipfile_serialization": False})),
    ("pytorch_model.bin, protocol 4, by us alone", {}, {}, to_bin({"pickle_protocol": 4})),
    ("pytorch_model.bin, protocol 5, by us alone", {}, {}, to_bin({"pickle_protocol": 5})),
    ("pytorch_model.bin, turned", V11, {}, to_bin(wrap=turned)),
    ("pytorch_model.bin, parameters", {}, {}, to_bin(wrap=parameters)),
    ("pytorch_model.bin, bf16", {}, {"dtype": torch.bfloat16}, to_bin()),
    ("pytorch_model.bin, f16", {}, {"dtype": torch.float16}, to_bin()),
    ("pytorch_model.bin, f16, before 1.6", V11, {"dtype": torch.float16}, to_bin({"_use_new_zipfile_serialization": False})),
    ("pytorch_model.bin in parts", V11, {}, to_bin(parts=3)),
    ("mt5", {"kind": "mt5"}, {}, None),
    ("mt5, pytorch_model.bin", {"kind": "mt5"}, {}, to_bin()),
    ("mt5, relu, tied", {"kind": "mt5", "feed_forward_proj": "relu", "tie_word_embeddings": True}, {}, None),
    ("umt5", {"kind": "umt5"}, {}, None),
    ("umt5, fewer decoder layers", {"kind": "umt5", "num_layers": 3, "num_decoder_layers": 2}, {}, to_bin()),
    ("umt5, untied", {"kind": "umt5", "tie_word_embeddings": False}, {}, None),
    ("byte fallback, spiece.model alone", {"vocab_size": 768}, {}, "spiece.model"),
    ("byte fallback, tokenizer.json alone", {"vocab_size": 768}, {}, "tokenizer.json"),
    ("spiece.model alone", {}, {}, "spiece.model"),
    ("tokenizer.json alone", {}, {}, "tokenizer.json"),
]
REFUSED = [
    ("longt5", edit("config.json", lambda config: config.update(model_type="longt5")), ["config.json", "`longt5`"]),
    ("t5gemma", lambda folder: open(folder + "/config.json", "w").write('{"model_type": "t5gemma"}'), ["config.json", "T5Gemma"]),
    ("code in pytorch_model.bin", to_bin(wrap=lambda state: {**state, "x": Code()}), ["pytorch_model.bin", "builtin", "exec`"]),
    ("another class in pytorch_model.bin", to_bin(wrap=lambda state: {**state, "x": torch.nn.Linear(1, 1)}), ["`torch.nn.modules.linear.Linear`"]),
    ("a whole checkpoint", to_bin(wrap=lambda state: {"state_dict": state, "epoch": 3}), ["pytorch_model.bin", "`state_dict`"]),
    ("float64", to_bin(wrap=lambda state: {name: values.double() for name, values in state.items()}), ["float64"]),
    ("silu without a gate", edit("config.json", lambda config: config.update(feed_forward_proj="silu")), ["`silu`"]),
    ("a second eos", edit("config.json", lambda config: config.update(eos_token_id=[1, 9])), ["eos_token_id is 9"]),
    ("BPE", edit("tokenizer.json", lambda file: file.update(model={"type": "BPE", "vocab": {}, "merges": []})), ["`BPE`"]),
    ("bytes", edit("tokenizer.json", lambda file: file.update(pre_tokenizer={"type": "ByteLevel"})), ["`ByteLevel`"]),
    ("byte fallback", edit("tokenizer.json", lambda file: file["model"].update(byte_fallback=True)), ["falls back to bytes"]),
    ("NFKC", edit("tokenizer.json", lambda file: file.update(normalizer={"type": "NFKC"})), ["normalizer: `NFKC`"]),
]


def squeezed(text):
    return "".join(text.split())


def text_of(ids, tokens, library):
    """The text of ids; of the rows beyond the vocabulary U+FFFD, and of bytes what the library makes of them."""
    text, run = "", []
    for i in [*ids, None]:
        if i is not None and i < library.get_piece_size() and library.is_byte(i):
            run.append(i)
            continue
        text += library.decode(run) if run else ""
        run = []
        if i is not None:
            text += (tokens.convert_ids_to_tokens(i) or "\ufffd").replace("▁", " ").replace("<unk>", "⁇")
    return text


def compare(program, checkpoint, made, name):
    """Our logits beside those of transformers: the largest difference, by the largest logit."""
    random = numpy.random.default_rng(0)
    inputs = random.integers(2, made.config.vocab_size, (3, 40))
    targets = random.integers(2, made.config.vocab_size, (3, 12))
    inputs[1, 25:] = 0  # padding
    batch = {"input_ids": torch.tensor(inputs), "attention_mask": torch.tensor(inputs != 0).long(), "labels": torch.tensor(targets)}
    with torch.no_grad():
        theirs = made(**batch).logits.numpy()
        exact = made.double()(**batch).logits.numpy()
    made.float()
    batch = json.dumps({"inputs": inputs.tolist(), "targets": targets.tolist()})
    out = subprocess.run([program, checkpoint], input=batch.encode(), check=True, capture_output=True).stdout
    ours = numpy.frombuffer(out, dtype=numpy.float32).reshape(theirs.shape)
    # These values are large, and attention all but a choice: what rounding does is seen by PyTorch's own in 64 bits.
    away, rounding = (abs(logits - exact).max() / abs(exact).max() for logits in (ours, theirs))
    assert away <= 1e-6 + 5 * rounding, (name, away, rounding)
    return away


def main(t5, logits, vocab, bytes_vocab, root):
    os.makedirs(root)
    tokenizers = {path: tokenizer(path, f"{root}/t{i}") for i, path in enumerate([vocab, bytes_vocab])}

    def save(name, settings, how, change):
        folder = f"{root}/{name}"
        vocab = vocab_of(name)
        tokens = tokenizers[vocab]
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

    def vocab_of(name):
        return bytes_vocab if name.startswith("byte fallback, ") else vocab

    def run(*arguments):
        return subprocess.run([t5, *arguments], capture_output=True, text=True)

    worst = 0.0
    for name, settings, how, change in KINDS:
        folder, made = save(name, settings, how, change)
        tokens, library = tokenizers[vocab_of(name)], sentencepiece.SentencePieceProcessor(model_file=vocab_of(name))
        # Read by transformers, too, where it does: it knows no file without shared.weight in all its versions, and no protocol above 2.
        if "alone" not in name:
            made = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=torch.float32).eval()
        texts = set()
        for prompt in PROMPTS:
            ids = tokens(prompt, return_tensors="pt")
            with torch.no_grad():
                said = made.generate(**ids, max_new_tokens=TOKENS, do_sample=False, num_beams=1, eos_token_id=1)[0]
            said = [int(i) for i in said if i not in (0, 1)]
            # Of the rows beyond the vocabulary, transformers says nothing.
            theirs = squeezed(text_of(said, tokens, library))
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
        # Unknown characters as in the library: transformers has <unk> in the place of bytes.
        for text in UNKNOWN:
            ours = [int(i) for i in run("tokenize", "--vocab", f"{folder}/{file}", "--ids", text).stdout.split()]
            assert ours == library.encode(text), (name, text, ours, library.encode(text))
            shown = run("tokenize", "--vocab", f"{folder}/{file}", "--decode", " ".join(map(str, ours))).stdout
            assert shown == library.decode(ours) + "\n", (name, text, shown)
        imported = run("import", folder, "-o", f"{root}/{name}-run")
        assert imported.returncode == 0, (name, imported.stderr)
        worst = max(worst, compare(logits, f"{root}/{name}-run/checkpoints/step-00000000", made, name))
    for name, change, words in REFUSED:
        folder, _ = save(name, {}, {}, change)
        for command in [["generate", folder, "a"], ["import", folder, "-o", f"{root}/{name}-run"]]:
            refused = run(*command)
            assert refused.returncode == 2 and all(word in refused.stderr for word in words), (name, refused)
            assert refused.stderr.count("\n") == 1, refused.stderr
    print(
        f"transformers {transformers.__version__}: its greedy text by t5 generate from {len(KINDS)} kinds of folders, and its logits to "
        f"{worst:.1e} of the largest, at most five times what rounding does to its own; {len(REFUSED)} kinds are refused in a line that says why"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
