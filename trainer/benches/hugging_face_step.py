"""CPU seconds of a training step of Hugging Face's T5: SIZE ROWS STEPS f32|bf16 [DROPOUT].

Prints what examples/step.rs prints: CPU seconds, wall seconds, loss a step; at the end the largest resident memory in MB.
"""

import os
import resource
import sys
import time

import torch
from transformers import Adafactor, T5Config, T5ForConditionalGeneration

SIZES = {
    "tiny": dict(num_layers=4, d_model=256, d_ff=1024, d_kv=64, num_heads=4),
    "small": dict(num_layers=6, d_model=512, d_ff=2048, d_kv=64, num_heads=8),
    "base": dict(num_layers=12, d_model=768, d_ff=3072, d_kv=64, num_heads=12),
}


def tokens(count, seed):
    return [((i * 2654435761 + seed) % 2**32 >> 8) % 31990 + 2 for i in range(count)]


def main():
    size, rows, steps, precision = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    dropout = float(sys.argv[5]) if len(sys.argv) > 5 else 0.0
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.manual_seed(0)
    config = T5Config(vocab_size=32128, dropout_rate=dropout, decoder_start_token_id=0, **SIZES[size])
    model = T5ForConditionalGeneration(config).train()
    optimizer = Adafactor(model.parameters(), lr=1e-3, relative_step=False, scale_parameter=True, warmup_init=False)
    inputs = torch.tensor(tokens(rows * 512, 1)).view(rows, 512)
    labels = torch.tensor(tokens(rows * 114, 7)).view(rows, 114)
    for _ in range(steps):
        before, start = os.times(), time.time()
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
            loss = model(input_ids=inputs, labels=labels).loss
        loss.backward()
        optimizer.step()
        after = os.times()
        cpu = after.user + after.system - before.user - before.system
        print(f"{cpu:.2f} {time.time() - start:.2f} {loss.item():.4f}", flush=True)
    print(f"memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f}")


main()
