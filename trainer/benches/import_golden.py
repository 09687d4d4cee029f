"""Behind import.sh: small models of transformers for the tests, each a folder with its logits (`case.json`).

Usage: python3 import_golden.py FOLDER
"""

import json
import os
import sys

import torch
import transformers
from transformers import MT5Config, MT5ForConditionalGeneration, UMT5Config, UMT5ForConditionalGeneration


def write(folder, of_config, of_model, form, **settings):
    torch.manual_seed(1)
    config = of_config(
        vocab_size=40, d_model=8, d_kv=4, d_ff=12, num_layers=2, num_heads=2, dropout_rate=0.0, relative_attention_num_buckets=8,
        relative_attention_max_distance=16, **settings,
    )
    model = of_model(config).eval()
    with torch.no_grad():
        for name, values in model.named_parameters():
            values.copy_(torch.randn(values.shape) * (1.0 if "layer_norm" not in name else 0.1) + ("layer_norm" in name))
    os.makedirs(folder, exist_ok=True)
    config.architectures = [of_model.__name__]
    config.save_pretrained(folder)
    torch.save(model.state_dict(), f"{folder}/pytorch_model.bin", **form)
    inputs = torch.randint(2, 40, (2, 24))
    inputs[1, 15:] = 0
    targets = torch.randint(2, 40, (2, 6))
    with torch.no_grad():
        logits = model(input_ids=inputs, attention_mask=(inputs != 0).long(), labels=targets).logits
    case = {
        "transformers": transformers.__version__,
        "torch": torch.__version__,
        "inputs": inputs.tolist(),
        "targets": targets.tolist(),
        "logits": logits.flatten().tolist(),
    }
    with open(f"{folder}/case.json", "w", encoding="utf-8") as file:
        json.dump(case, file)
        file.write("\n")


def main(folder):
    old = {"_use_new_zipfile_serialization": False}
    write(f"{folder}/hf_umt5", UMT5Config, UMT5ForConditionalGeneration, {}, tie_word_embeddings=False)
    write(f"{folder}/hf_mt5", MT5Config, MT5ForConditionalGeneration, old)


if __name__ == "__main__":
    main(*sys.argv[1:])
