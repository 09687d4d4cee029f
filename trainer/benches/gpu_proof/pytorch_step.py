"""Steps of Hugging Face's T5 in PyTorch on a GPU: pytorch_step.py SIZE sdpa|flex|eager INPUTS TARGETS ROWS,...

Compiles the whole model (torch.compile) for each of these numbers of rows, says {"ready": true}, and then answers as
device_step does: for `ROWS STEPS` on standard input a line of JSON. Parameters and the optimiser's state are f32,
products bf16 by autocast, as there; the optimiser is AdamW in one kernel, the fastest that PyTorch has; no dropout,
which flex attention doesn't have. Attention to the encoder, whose bias is zero, gets none, so that PyTorch takes its
fastest kernel.
"""

import argparse
import json
import sys
import time

SIZES = {
    "tiny": dict(num_layers=4, d_model=256, d_ff=1024, d_kv=64, num_heads=4),
    "small": dict(num_layers=6, d_model=512, d_ff=2048, d_kv=64, num_heads=8),
    "base": dict(num_layers=12, d_model=768, d_ff=3072, d_kv=64, num_heads=12),
    "large": dict(num_layers=24, d_model=1024, d_ff=4096, d_kv=64, num_heads=16),
}
VOCAB = 32128


def tokens(count, seed):
    """As device_step's: without structure, the same every time."""
    return [((i * 2654435761 + seed) % 2**32 >> 8) % 31990 + 2 for i in range(count)]


def own_bias(bias):
    """The bias of relative positions; None for the zeros that attention to the encoder has in its place."""
    return bias if bias is not None and bias.requires_grad else None


def sdpa_attention(module, query, key, value, attention_mask, scaling=None, position_bias=None, **_):
    import torch

    bias = own_bias(position_bias)
    if bias is not None:
        bias = bias.to(query.dtype)
        if module.is_causal:
            length = query.shape[2]
            seen = torch.ones(length, length, dtype=torch.bool, device=query.device).tril()
            bias = bias.masked_fill(~seen, float("-inf"))
    out = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=scaling)
    return out.transpose(1, 2).contiguous(), None


def flex_attention(module, query, key, value, attention_mask, scaling=None, position_bias=None, **_):
    from torch.nn.attention.flex_attention import flex_attention as flex

    bias = own_bias(position_bias)
    if bias is None:
        return sdpa_attention(module, query, key, value, None, scaling, position_bias)
    bias = bias[0].to(query.dtype)

    def score(score, _batch, head, q, k):
        return score + bias[head, q, k]

    block_mask = module.block_mask if module.is_causal else None
    out = flex(query, key, value, score_mod=score, block_mask=block_mask, scale=scaling)
    return out.transpose(1, 2).contiguous(), None


def model_of(size, attention, targets, device):
    """The model, with one of these functions for its attention."""
    import torch
    from torch.nn.attention.flex_attention import create_block_mask
    from transformers import AttentionInterface, T5Config, T5ForConditionalGeneration

    AttentionInterface.register("proof_sdpa", sdpa_attention)
    AttentionInterface.register("proof_flex", flex_attention)
    torch.manual_seed(0)
    implementation = "eager" if attention == "eager" else f"proof_{attention}"
    config = T5Config(vocab_size=VOCAB, dropout_rate=0.0, decoder_start_token_id=0, **SIZES[size])
    config._attn_implementation = implementation
    with torch.device(device):
        model = T5ForConditionalGeneration(config)
    model.train()
    if attention == "flex":
        mask = create_block_mask(lambda _b, _h, q, k: q >= k, None, None, targets, targets, device=device)
        for layer in model.decoder.block:
            layer.layer[0].SelfAttention.block_mask = mask
    return model


class Steps:
    """Training steps on batches of some rows."""

    def __init__(self, size, attention, inputs, targets, device):
        import torch

        self.torch, self.device, self.lengths = torch, device, (inputs, targets)
        self.model = model_of(size, attention, targets, device)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3, fused=True)
        self.compiled = torch.compile(self.model, dynamic=False) if device == "cuda" else self.model

    def batch(self, rows):
        inputs, targets = self.lengths

        def make(length, seed):
            return self.torch.tensor(tokens(rows * length, seed), device=self.device).view(rows, length)

        return make(inputs, 1), make(targets, 7)

    def run(self, rows, count):
        """Milliseconds of each step, the last loss, the most memory allocated in MiB."""
        torch, (inputs, labels), milliseconds = self.torch, self.batch(rows), []
        cuda = self.device == "cuda"
        if cuda:
            torch.cuda.reset_peak_memory_stats()
        for _ in range(count):
            started = time.perf_counter()
            self.optimizer.zero_grad()
            with torch.autocast(self.device, dtype=torch.bfloat16, enabled=cuda):
                loss = self.compiled(input_ids=inputs, labels=labels, use_cache=False).loss
            loss.backward()
            self.optimizer.step()
            value = loss.item()
            if cuda:
                torch.cuda.synchronize()
            milliseconds.append(1e3 * (time.perf_counter() - started))
        memory = torch.cuda.max_memory_allocated() >> 20 if cuda else 0
        self.give_back()
        return {"rows": rows, "milliseconds": milliseconds, "loss": value, "memory_mib": memory}

    def give_back(self):
        """Memory that the other contenders need."""
        self.optimizer.zero_grad()
        if self.device == "cuda":
            self.torch.cuda.empty_cache()


def say(value):
    print(json.dumps(value), flush=True)


def main():
    parser = argparse.ArgumentParser(description="Steps of T5 in PyTorch.")
    parser.add_argument("size", choices=SIZES)
    parser.add_argument("attention", choices=["sdpa", "flex", "eager"])
    parser.add_argument("inputs", type=int)
    parser.add_argument("targets", type=int)
    parser.add_argument("rows", help="numbers of rows to compile for, as 64,128")
    parser.add_argument("--device", default="cuda")
    chosen = parser.parse_args()
    rows = [int(part) for part in chosen.rows.split(",")]
    steps = Steps(chosen.size, chosen.attention, chosen.inputs, chosen.targets, chosen.device)

    def run(rows, count):
        try:
            return steps.run(rows, count)
        except steps.torch.OutOfMemoryError:
            steps.give_back()
            return {"rows": rows, "failed": "out of memory"}

    for each in rows:
        started = time.perf_counter()
        answer = run(each, 2)
        say({"compiled": each, "seconds": round(time.perf_counter() - started, 1), "failed": answer.get("failed")})
    say({"ready": True})
    for line in sys.stdin:
        each, count = line.split()
        say(run(int(each), int(count)))


if __name__ == "__main__":
    main()
