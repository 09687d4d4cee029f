"""Behind export.sh: an exported model in Hugging Face's transformers.

Usage: python3 export_model.py LOGITS CHECKPOINT EXPORTED HALF SAVED, where HALF is the same in bf16 and in parts, and SAVED the
folder that transformers shall write
"""

import json
import os
import subprocess
import sys

import numpy
import torch
import transformers


def main(logits, checkpoint, exported, half, saved):
    model, info = transformers.AutoModelForSeq2SeqLM.from_pretrained(exported, output_loading_info=True)
    problems = {key: list(found) for key, found in info.items() if found}
    assert not problems, problems
    model.eval()
    random = numpy.random.default_rng(0)
    size = model.config.vocab_size
    inputs = random.integers(2, size, (3, 96))
    targets = random.integers(2, size, (3, 24))
    inputs[1, 60:] = 0  # padding
    with torch.no_grad():
        theirs = model(
            input_ids=torch.tensor(inputs), attention_mask=torch.tensor(inputs != 0).long(), labels=torch.tensor(targets)
        ).logits.numpy()
    batch = json.dumps({"inputs": inputs.tolist(), "targets": targets.tolist()})
    out = subprocess.run([logits, checkpoint], input=batch.encode(), check=True, capture_output=True).stdout
    ours = numpy.frombuffer(out, dtype=numpy.float32).reshape(theirs.shape)
    worst, largest = abs(ours - theirs).max(), abs(theirs).max()
    name = os.path.basename(exported).removesuffix("-exported")
    print(
        f"{name}: transformers {transformers.__version__} opens it, nothing missing or left over; {ours.size} logits up to "
        f"{largest:.1f} are ours to {worst:.1e}"
    )
    assert worst <= 1e-4, worst
    model.save_pretrained(saved)
    halves = transformers.AutoModelForSeq2SeqLM.from_pretrained(half, dtype="auto")
    assert halves.dtype == torch.bfloat16, halves.dtype
    theirs, rounded = halves.state_dict(), model.to(torch.bfloat16).state_dict()
    assert theirs.keys() == rounded.keys() and all(torch.equal(theirs[name], rounded[name]) for name in rounded)
    parts = len([file for file in os.listdir(half) if file.endswith(".safetensors")])
    print(f"{name}: in bf16 and {parts} parts, every value is that of f32 rounded by PyTorch")
    assert parts > 1


if __name__ == "__main__":
    main(*sys.argv[1:])
