"""Behind decode.sh: answers beside those of Hugging Face's transformers, and their cost.

Usage: python3 decode.py PREDICT FOLDER TEXTS ROUNDS COUNT, where TEXTS are lines of JSON with a text, and COUNT rows are
made of them
"""

import json
import os
import random
import statistics
import subprocess
import sys
import time

import torch
import transformers

ROWS, LENGTH, BEAMS = 32, 48, 4
# Logits that differ by less are equal for us: f32 in another order.
TIE = 2e-3


def inputs(tokenizer, texts, count, random):
    """Spans of the texts, of many lengths, with some tokens replaced by sentinels, as the models are trained; with EOS."""
    ids = [json.loads(line)["text"] for line in open(texts, encoding="utf-8")]
    ids = [tokenizer(text, add_special_tokens=False).input_ids for text in ids]
    ids = [row for row in ids if len(row) > 20]
    first = tokenizer.convert_tokens_to_ids("<extra_id_0>")
    rows = []
    while len(rows) < count:
        text = random.choice(ids)
        length = random.randrange(8, 80)
        start = random.randrange(max(1, len(text) - length))
        row, sentinel, place = [], first, 0
        text = text[start : start + length]
        while place < len(text):
            if random.random() < 0.06 and first - sentinel < 10:
                row.append(sentinel)
                sentinel -= 1
                place += random.randrange(1, 5)
            else:
                row.append(text[place])
                place += 1
        rows.append(row + [1])
    return rows


def ours(predict, folder, rows, beams, threads):
    command = [predict, folder, str(ROWS), str(beams), "0", str(LENGTH)]
    environment = os.environ | {"RAYON_NUM_THREADS": str(threads)}
    out = subprocess.run(command, input=json.dumps(rows).encode(), env=environment, check=True, capture_output=True)
    found = json.loads(out.stdout)
    return found["answers"], found["cpu_seconds"], found["log_probabilities"]


def padded(rows):
    longest = max(map(len, rows))
    return torch.tensor([row + [0] * (longest - len(row)) for row in rows])


def cut(answer):
    """Without the decoder's first token and what is behind EOS."""
    answer = answer[1:]
    return answer[: answer.index(1) + 1] if 1 in answer else answer


def theirs(model, rows, beams):
    """In batches of like lengths, the longest first, as ours."""
    order = sorted(range(len(rows)), key=lambda number: -len(rows[number]))
    answers = [None] * len(rows)
    before = time.process_time()
    for start in range(0, len(order), ROWS):
        batch = order[start : start + ROWS]
        ids = padded([rows[number] for number in batch])
        # alpha 0: the score is the sum of log probabilities in both programs.
        how = {"num_beams": beams, "length_penalty": 0.0} if beams else {"num_beams": 1}
        with torch.no_grad():
            found = model.generate(
                ids, attention_mask=(ids != 0).long(), do_sample=False, max_new_tokens=LENGTH, min_length=0, **how
            )
        for number, answer in zip(batch, found.tolist()):
            answers[number] = cut(answer)
    return answers, time.process_time() - before


def next_log_probabilities(model, row, sequences):
    """Of the tokens after each sequence, by a whole pass."""
    ids = torch.tensor([row] * len(sequences))
    with torch.no_grad():
        logits = model(input_ids=ids, decoder_input_ids=torch.tensor([[0, *tokens] for tokens in sequences])).logits
    return torch.log_softmax(logits[:, -1].double(), -1)


def mesh_search(model, row):
    """Mesh TensorFlow's beam search for alpha 0, with nothing kept: all of twice as many candidates as beams that end are
    finished, whatever their rank; transformers takes those among the first BEAMS alone."""
    alive, finished = [(0.0, [])], []
    for _ in range(LENGTH):
        scores = next_log_probabilities(model, row, [tokens for _, tokens in alive])
        candidates = []
        for (score, tokens), following in zip(alive, scores):
            best = following.topk(2 * BEAMS)
            candidates += [(score + p, tokens + [t]) for p, t in zip(best.values.tolist(), best.indices.tolist())]
        candidates.sort(key=lambda candidate: -candidate[0])
        candidates = candidates[: 2 * BEAMS]
        finished += [candidate for candidate in candidates if candidate[1][-1] == 1]
        finished = sorted(finished, key=lambda found: -found[0])[:BEAMS]
        alive = [candidate for candidate in candidates if candidate[1][-1] != 1][:BEAMS]
        if len(finished) == BEAMS and alive[0][0] <= finished[-1][0]:
            break
    return (finished or alive)[0]


def score_of(model, row, tokens):
    """Log probability of an answer, by one whole pass."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([row]), decoder_input_ids=torch.tensor([[0, *tokens[:-1]]])).logits[0]
    return torch.log_softmax(logits.double(), -1).gather(1, torch.tensor(tokens)[:, None]).sum().item()


def compare_greedy(model, rows, mine, other):
    """Where answers part, both tokens must be as likely to rounding."""
    apart = [number for number in range(len(rows)) if mine[number] != other[number]]
    gaps = []
    for number in apart:
        a, b = mine[number], other[number]
        at = next(i for i in range(min(len(a), len(b))) if a[i] != b[i])
        scores = next_log_probabilities(model, rows[number], [a[:at]])[0]
        gaps.append(abs(scores[a[at]] - scores[b[at]]).item())
    worst = max(gaps, default=0)
    equal = len(rows) - len(apart)
    print(f"  greedy: {equal} of {len(rows)} answers equal token by token, {len(apart)} part at a tie (gap <= {worst:.1e})")
    assert worst < TIE, worst


def compare_beams(model, rows, mine, scores, other):
    for number in range(0, len(rows), 25):
        exact = score_of(model, rows[number], mine[number])
        assert abs(exact - scores[number]) < TIE, (number, exact, scores[number])
    apart = [number for number in range(len(rows)) if mine[number] != other[number]]
    equal = better = ties = 0
    for number in apart:
        score, tokens = mesh_search(model, rows[number])
        gain = score_of(model, rows[number], mine[number]) - score_of(model, rows[number], other[number])
        if tokens == mine[number]:
            equal += 1
            better += gain > 0
        else:
            ties += 1
            assert abs(score - scores[number]) < TIE, (number, score, scores[number])
    print(
        f"  beam {BEAMS}, alpha 0: {len(rows) - len(apart)} of {len(rows)} answers are those of generate; of the other "
        f"{len(apart)}, {equal} are those of Mesh's search on transformers' logits ({better} of them likelier than "
        f"generate's), {ties} ties"
    )


def main(predict, folder, texts, rounds, count):
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    rows = inputs(tokenizer, texts, int(count), random.Random(1))
    torch.set_num_threads(2)
    parameters = sum(part.numel() for part in model.parameters())
    sizes = sorted(map(len, rows))
    print(f"{os.path.basename(folder)}: {parameters:,} parameters, {len(rows)} rows of {sizes[0]} to {sizes[-1]} tokens")
    mine, _, _ = ours(predict, folder, rows, 0, 2)
    other, _ = theirs(model, rows, 0)
    ended = sum(answer[-1] == 1 for answer in mine)
    lengths = sorted(map(len, mine))
    middle = statistics.median(lengths)
    print(f"  {ended} greedy answers end; they have {lengths[0]}, {middle}, {lengths[-1]} tokens (least, median, most)")
    compare_greedy(model, rows, mine, other)
    mine, _, scores = ours(predict, folder, rows, BEAMS, 2)
    other, _ = theirs(model, rows, BEAMS)
    compare_beams(model, rows, mine, scores, other)
    for threads in 1, 2:
        torch.set_num_threads(threads)
        for beams in 0, BEAMS:
            # Tokens that answers have, not those computed for nothing.
            rates = {"ours": [], "theirs": []}
            for _ in range(int(rounds)):
                answers, seconds, _ = ours(predict, folder, rows, beams, threads)
                rates["ours"].append(sum(map(len, answers)) / seconds)
                answers, seconds = theirs(model, rows, beams)
                rates["theirs"].append(sum(map(len, answers)) / seconds)
            best = {name: max(found) for name, found in rates.items()}
            median = {name: statistics.median(found) for name, found in rates.items()}
            name = f"beam {beams}" if beams else "greedy"
            print(
                f"  {name}, threads {threads}: tokens a CPU second, ours {median['ours']:.0f} (best {best['ours']:.0f}), "
                f"transformers {median['theirs']:.0f} (best {best['theirs']:.0f}): "
                f"{median['ours'] / median['theirs']:.2f} times",
                flush=True,
            )


if __name__ == "__main__":
    main(*sys.argv[1:])
