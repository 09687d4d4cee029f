"""For trajectory.sh: a small T5 of Hugging Face's (make), the losses of its training beside ours (compare), and its answers
(answers)."""

import json
import sys

import torch
from safetensors.torch import load_file, save_file
from transformers import Adafactor, AutoTokenizer, T5Config, T5ForConditionalGeneration

# As `Schedule::Constant` of an imported run.
RATE = 1e-3
# f32 sums in another order, over fifty steps.
LARGEST = 1e-4


def make(version, folder):
    torch.manual_seed(1)
    gated = version == "v1.1"
    config = T5Config(
        vocab_size=512, d_model=128, d_ff=256, d_kv=32, num_heads=4, num_layers=2, dropout_rate=0.0,
        feed_forward_proj="gated-gelu" if gated else "relu", tie_word_embeddings=not gated,
        pad_token_id=0, eos_token_id=1, decoder_start_token_id=0,
    )
    model = T5ForConditionalGeneration(config)
    if gated:
        # A head of its own, which transformers 5 ties whatever the configuration says.
        head = model.shared.weight.detach().clone() * config.d_model**-0.5
        model.lm_head.weight = torch.nn.Parameter(head)
    model.save_pretrained(folder)
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items() if "embed_tokens" not in name}
    if not gated:
        del tensors["lm_head.weight"]
    save_file(tensors, f"{folder}/model.safetensors", metadata={"format": "pt"})


def losses(folder, batches, rate=RATE):
    model = T5ForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).train()
    tensors = load_file(f"{folder}/model.safetensors")
    if "lm_head.weight" in tensors:
        model.lm_head.weight = torch.nn.Parameter(tensors["lm_head.weight"])
    assert len(list(model.parameters())) == len(tensors), "every variable once"
    optimizer = Adafactor(model.parameters(), lr=rate, relative_step=False, scale_parameter=True, warmup_init=False)
    for line in open(batches):
        batch = json.loads(line)
        inputs, targets = torch.tensor(batch["inputs"]), torch.tensor(batch["targets"])
        optimizer.zero_grad()
        labels = targets.masked_fill(targets == 0, -100)
        loss = model(input_ids=inputs, attention_mask=inputs != 0, labels=labels).loss
        loss.backward()
        optimizer.step()
        yield loss.item()


def compare(version, folder, batches, metrics, rate=RATE):
    lines = (json.loads(line) for line in open(metrics))
    ours = [line["loss"] for line in lines if "loss" in line]
    theirs = list(losses(folder, batches, float(rate)))
    assert len(ours) == len(theirs) > 1, (len(ours), len(theirs))
    largest = max(abs(a - b) for a, b in zip(ours, theirs))
    print(f"{version}: {len(ours)} steps, loss {ours[0]:.4f} to {ours[-1]:.4f}, largest difference {largest:.1e}")
    assert ours[-1] < ours[0] - 0.1, "it has learned nothing"
    assert largest < LARGEST, f"differs by {largest} nats"


def answers(folder, beams, *files):
    model = T5ForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = [json.loads(line) for file in files for line in open(file, encoding="utf-8")]
    equal = right = 0
    for row in rows:
        ids = tokenizer(row["inputs"], return_tensors="pt")
        # alpha 0: the score is the sum of log probabilities in both programs.
        how = {"num_beams": int(beams), "length_penalty": 0.0} if int(beams) > 1 else {"num_beams": 1}
        with torch.no_grad():
            found = model.generate(**ids, do_sample=False, max_new_tokens=24, min_length=0, **how)
        answer = tokenizer.decode(found[0], skip_special_tokens=True)
        equal += answer.strip() == row["prediction"].strip()
        right += row["prediction"].strip() == row["targets"]
    print(f"{beams} beams: {equal} of {len(rows)} answers are those of generate; {right} are right")
    # The two searches differ where an answer ends below the first four candidates.
    assert equal == len(rows) or int(beams) > 1 and equal > 0.95 * len(rows)


if __name__ == "__main__":
    {"make": make, "compare": compare, "answers": answers}[sys.argv[1]](*sys.argv[2:])
