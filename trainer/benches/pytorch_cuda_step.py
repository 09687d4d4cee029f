"""Tokens a second of a training step of Hugging Face's T5 on a GPU: SIZE ROWS STEPS DROPOUT adafactor|adamw compile|eager.

Prints what examples/device_step.rs prints: tokens a second, milliseconds, loss a step. Parameters and the optimiser's state are f32,
products bf16 by autocast, as there.
"""

import sys
import time

import torch
from transformers import T5Config, T5ForConditionalGeneration

SIZES = {
    "tiny": dict(num_layers=4, d_model=256, d_ff=1024, d_kv=64, num_heads=4),
    "small": dict(num_layers=6, d_model=512, d_ff=2048, d_kv=64, num_heads=8),
    "base": dict(num_layers=12, d_model=768, d_ff=3072, d_kv=64, num_heads=12),
    "large": dict(num_layers=24, d_model=1024, d_ff=4096, d_kv=64, num_heads=16),
}


def tokens(count, seed):
    return [((i * 2654435761 + seed) % 2**32 >> 8) % 31990 + 2 for i in range(count)]


def main():
    size, rows, steps, dropout, optimiser, mode = sys.argv[1:7]
    rows, steps = int(rows), int(steps)
    torch.manual_seed(0)
    config = T5Config(vocab_size=32128, dropout_rate=float(dropout), decoder_start_token_id=0, **SIZES[size])
    model = T5ForConditionalGeneration(config).cuda().train()
    if optimiser == "adamw":
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    else:
        optimizer = torch.optim.Adafactor(model.parameters(), lr=1e-3, foreach=True)
    run = torch.compile(model) if mode == "compile" else model
    inputs = torch.tensor(tokens(rows * 512, 1), device="cuda").view(rows, 512)
    labels = torch.tensor(tokens(rows * 114, 7), device="cuda").view(rows, 114)
    for _ in range(steps):
        torch.cuda.synchronize()
        start = time.time()
        optimizer.zero_grad()
        with torch.autocast("cuda", dtype=torch.bfloat16):
            loss = run(input_ids=inputs, labels=labels, use_cache=False).loss
        loss.backward()
        optimizer.step()
        torch.cuda.synchronize()
        seconds = time.time() - start
        print(f"{rows * (512 + 114) / seconds:.0f} {1e3 * seconds:.2f} {loss.item():.4f}", flush=True)


main()
