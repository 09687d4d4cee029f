"""Behind metrics.sh: made-up answers, scored by us and by the libraries that define the metrics.

Usage: python3 metrics.py SCORE [GOLDEN]
"""

import json
import math
import random
import string
import subprocess
import sys
import time
import unicodedata
import warnings
from collections import Counter

import numpy
import sacrebleu
import scipy.stats
import sklearn.metrics
from rouge_score import rouge_scorer, scoring

warnings.filterwarnings("ignore")
ROWS = 10_000
TOLERANCE = 1e-9
rng = random.Random(19)

# ---- made-up texts

STEMS = (
    "relat vari general nation hope controll filing hopp fall agre operat feudal formal electric adjust adopt commun allow"
    " sky die lie tie new inning outing canning howe proceed exceed succeed fli geolog theolog radical vietnam conform digit"
    " happi enjoy say play yyy by eye use see cease rate roll hiss fizz tann siz bl at iz activ 2019 3d 1st x y a an the"
).split()
ENDINGS = (
    " s es ies ied y ed eed ing er al ally alli ational tional ation ator ization ize izer ance ence enci anci able ible bli"
    " ably ness fulness ousness iveness ful fully fulli ousli entli eli ant ement ment ent ion sion tion ou ism ate iti aliti"
    " iviti biliti ous ive icate ative alize iciti ical logi ll e"
).split(" ")
WORDS = (
    "A An THE the a an and Rome ROME cat's dog’s it's don't U.S. e.g. co-op well-known 3.5 1,000 1,000,000.50 $3.50 50% £5"
    " 1990s x_y <skipped> &amp; &quot; &lt;b&gt; &amp;lt; -- - . , ; : ! ? ... ' \" ( ) [ ] { } ~ @ # ^ * / \\ | + = < > `"
    " 5-3 2- -2 3. .3 ,4 4, 10:30 the. .a naïve café CAFÉ Straße İstanbul ΣΑΣ ΌΣΟΣ K Å ½ ² Ⅷ ٣٤ 五 日本語 の は 한국어 привет"
    " ПРИВЕТ the\u0301 a\u0308 an\u093e the\u0bcd \u2019s “quoted” «guillemets» – — … € ¥ ° © ™ ≤ × 😀 👩\u200d👩\u200d👧 z\u200bw na\u00adve"
).split(" ")
SPACES = ["\t", "\n", "\r\n", "  ", "\u00a0", "\u2003", "\u3000", "\u2028", "\x1c", "\x1f", "\x85", "\x0b", " . ", " .", "-\n"]
# What this Python knows; code points that are assigned later have other categories in other libraries.
ASSIGNED = [c for c in map(chr, range(0x110000)) if unicodedata.category(c) not in ("Cn", "Cs", "Co")]
MARKS = [c for c in ASSIGNED if unicodedata.category(c)[0] in "PSNMZC"]


def word():
    kind = rng.random()
    if kind < 0.55:
        made = rng.choice(STEMS) + rng.choice(ENDINGS)
    elif kind < 0.9:
        made = rng.choice(WORDS)
    elif kind < 0.95:
        made = "".join(rng.choice(ASSIGNED) for _ in range(rng.randint(1, 4)))
    else:
        made = rng.choice(STEMS) + rng.choice(MARKS) + rng.choice(STEMS)
    return made.upper() if rng.random() < 0.03 else made.title() if rng.random() < 0.05 else made


def text(most=30):
    kind = rng.random()
    if kind < 0.02:
        return ""
    if kind < 0.04:
        return "".join(rng.choice(string.punctuation + " .") for _ in range(rng.randint(1, 12)))
    if kind < 0.05:
        return "".join(rng.choice(SPACES) for _ in range(rng.randint(1, 4)))
    if kind < 0.2:
        # Few words and short sentences: many longest common subsequences, runs that repeat.
        few = rng.choice(["cat sat mat", "one two three four five the", "A b, c"]).split()
        return "".join(rng.choice(few) + rng.choice("    \n") for _ in range(rng.randint(1, most)))
    if kind < 0.203:
        most *= 20
    made = ""
    for _ in range(rng.randint(1, most)):
        made += word() + (" " if rng.random() < 0.9 else rng.choice(SPACES))
    return made if rng.random() < 0.2 else made.rstrip()


def changed(original):
    """An answer that has much of the text, or nothing."""
    kind = rng.random()
    if kind < 0.1:
        return original
    if kind < 0.15:
        return text()
    if kind < 0.2:
        return original.swapcase()
    words = original.split(" ")
    if kind < 0.25:
        return " ".join(words[::-1])
    if kind < 0.3:
        return normalized(original)
    for _ in range(rng.randint(1, max(1, len(words) // 4))):
        place = rng.randrange(len(words) + 1)
        change = rng.random()
        if change < 0.4:
            words[place : place + 1] = []
        elif change < 0.7:
            words.insert(place, word())
        elif change < 0.8:
            words.insert(place, rng.choice(["the", "a", "an", ".", "\n"]))
        else:
            words[place : place + 1] = [word()]
    if rng.random() < 0.1:
        rng.shuffle(words)
    return " ".join(words)


# ---- the rules of the scripts, and of T5 around the libraries


def normalized(answer):
    """SQuAD v1.1: lower case; punctuation, articles and superfluous white space removed."""
    import re

    kept = [c for c in answer.lower() if c not in string.punctuation]
    return " ".join(re.sub(r"\b(?:a|an|the)\b", " ", "".join(kept)).split())


def squad_f1(truth, answer):
    truth, answer = normalized(truth).split(), normalized(answer).split()
    same = sum((Counter(truth) & Counter(answer)).values())
    if same == 0:
        return 0.0
    precision, recall = same / len(answer), same / len(truth)
    return 2 * precision * recall / (precision + recall)


def best(case, score):
    rows = zip(case["truths"], case["answers"])
    return [max(score(truth, answer) for truth in truths) for truths, answer in rows]


def percent(values):
    return 100 * sum(values) / len(values)


def first_of_groups(case):
    """ReCoRD: each query once."""
    first = {}
    for row, group in enumerate(case["groups"]):
        first.setdefault(group, row)
    rows = list(first.values())
    return {key: [case[key][row] for row in rows] for key in ("truths", "answers")}


def classes(case):
    labels = case["labels"]
    number = lambda text: labels.index(text) if text in labels else -1
    return numpy.array([number(t[0]) for t in case["truths"]]), numpy.array([number(a) for a in case["answers"]])


def f1_with_invalid(case):
    truths, answers = classes(case)
    answers = numpy.where((answers == 0) | (answers == 1), answers, 1 - truths)
    return 100 * sklearn.metrics.f1_score(truths, answers)


def all_of_question(case):
    truths, answers = classes(case)
    right = {}
    for group, truth, answer in zip(case["groups"], truths, answers):
        right[group] = right.get(group, True) and bool(truth == answer)
    return percent(list(right.values()))


def numbers(case):
    def number(text):
        try:
            return float(text)
        except ValueError:
            return -1.0

    return [number(t[0]) for t in case["truths"]], [number(a) for a in case["answers"]]


DETERMINERS = set(
    "a an few her his each every many much my our some that the their these this those which whose your".split()
)


def names(answer, referent):
    words = lambda text: " ".join(w for w in text.strip().lower().split(" ") if w not in DETERMINERS)
    answer, referent = words(answer), words(referent)
    if not answer:
        return -1
    if ("'" in answer) != ("'" in referent):
        return 0
    answer, referent = set(answer.split(" ")), set(referent.split(" "))
    return int(answer <= referent or referent <= answer)


def winograd(case):
    rows = zip(case["holds"], case["truths"], case["answers"])
    return percent([int(holds) == names(answer, truths[0]) for holds, truths, answer in rows])


SCORERS = {
    stemming: rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeLsum"], use_stemmer=stemming)
    for stemming in (False, True)
}


def rouge(case, kind):
    scorer = SCORERS[case["score"].get("stemming") == "porter"]
    lines = lambda text: text.replace(" . ", " .\n")
    rows = zip(case["truths"], case["answers"])
    return [scorer.score_multi([lines(t) for t in truths], lines(answer))[kind].fmeasure for truths, answer in rows]


def bleu_metric(case):
    return sacrebleu.BLEU(tokenize=case["score"]["bleu_tokenizer"], force=True)


def bleu(case):
    # A list of references each, some of which a row may lack.
    most = max(len(truths) for truths in case["truths"])
    references = [[t[i] if i < len(t) else None for t in case["truths"]] for i in range(most)]
    metric = bleu_metric(case)
    return metric.corpus_score(case["answers"], references).score, str(metric.get_signature())


REFERENCES = {
    "accuracy": lambda case: winograd(case) if "holds" in case else 100 * sklearn.metrics.accuracy_score(*classes(case)),
    "f1": f1_with_invalid,
    "macro_f1": lambda case: 100
    * sklearn.metrics.fbeta_score(*classes(case), beta=1, labels=range(len(case["labels"])), average="macro"),
    "matthews": lambda case: 100 * sklearn.metrics.matthews_corrcoef(*classes(case)),
    "pearson": lambda case: 100 * scipy.stats.pearsonr(*numbers(case))[0],
    "spearman": lambda case: 100 * scipy.stats.spearmanr(*numbers(case))[0],
    "multirc_f1a": f1_with_invalid,
    "multirc_em": all_of_question,
    "squad_em": lambda case: percent(best(case, lambda t, a: normalized(t) == normalized(a))),
    "squad_f1": lambda case: percent(best(case, squad_f1)),
    "record_em": lambda case: REFERENCES["squad_em"](first_of_groups(case)),
    "record_f1": lambda case: REFERENCES["squad_f1"](first_of_groups(case)),
    "rouge1": lambda case: percent(rouge(case, "rouge1")),
    "rouge2": lambda case: percent(rouge(case, "rouge2")),
    "rouge_lsum": lambda case: percent(rouge(case, "rougeLsum")),
    "bleu": lambda case: bleu(case)[0],
    "exact_match": lambda case: percent([a in t for t, a in zip(case["truths"], case["answers"])]),
    "subset_match": lambda case: percent(best(case, lambda t, a: names(a, t) == 1)),
}

# ---- cases


def sizes(rows):
    """Data sets of all sizes from one row, together so many rows: an error in one row must not drown."""
    left = rows
    while left > 0:
        size = min(left, rng.choice([1, 1, 1, 1, 2, 3, 10, 100]))
        left -= size
        yield size
    yield rows


def label_case(size, labels, metrics):
    odd = ["", labels[0].upper(), labels[1] + " ", "\n" + labels[1], "hamburger", labels[0][:-1]]
    truths = [rng.choice(labels) for _ in range(size)]
    rate = rng.random()
    answers = [t if rng.random() < rate else rng.choice(labels + odd) for t in truths]
    if rng.random() < 0.1:
        answers = [rng.choice(answers)] * size
    groups = [str(rng.randrange(1 + size // 4)) for _ in range(size)]
    case = {"score": {"postprocess": "label", "metrics": metrics}, "labels": labels}
    return case | {"truths": [[t] for t in truths], "groups": groups, "answers": answers}


def number_text(number):
    kind = rng.random()
    odd = ["", "x", "5 .0", "1_0.5", "1__0", "_1", "0x10", " 3.2\n", "\u00a02.4\u3000", "٣.٥", "𝟙.𝟝", "²", "½", "+.5", "5.", "1e1", "-0.0"]
    if kind < 0.9:
        return f"{number:.1f}"
    if kind < 0.94:
        return repr(number * rng.choice([1, -1, 1e-3, 1e5]))
    return rng.choice(odd)


def number_case(size):
    truths = [rng.randrange(26) / 5 for _ in range(size)]
    noise = rng.choice([0, 0.2, 1, 5])
    answers = [number_text(t + rng.gauss(0, noise)) for t in truths]
    kind = rng.random()
    if kind < 0.05:
        answers[rng.randrange(size)] = rng.choice(["nan", "NaN", "-nan"])
    elif kind < 0.1:
        answers = [rng.choice(answers)] * size
    case = {"score": {"postprocess": "number", "metrics": ["pearson", "spearman"]}}
    return case | {"truths": [[f"{t:.1f}"] for t in truths], "answers": answers}


def text_case(size, score, most=30, several=3):
    truths = [[text(most) for _ in range(rng.choice([1, 1, rng.randint(1, several)]))] for _ in range(size)]
    answers = [changed(rng.choice(t)) for t in truths]
    groups = [str(rng.randrange(1 + size // 2)) for _ in range(size)]
    return {"score": score, "truths": truths, "groups": groups, "answers": answers}


NOUNS = "Tom tom Bob Bob's hat the dog big The his her their  a cat those which İ Σ \u00a0 \t".split(" ")


def noun_case(size):
    noun = lambda: " ".join(rng.choice(NOUNS) for _ in range(rng.randint(0, 4)))
    case = {"score": {"postprocess": "wsc", "metrics": ["accuracy"]}, "holds": [rng.random() < 0.5 for _ in range(size)]}
    return case | {"truths": [[noun()] for _ in range(size)], "answers": [noun() for _ in range(size)]}


def cases(rows):
    """Cases of every metric, of so many rows each and once more all at once."""
    squad = {"postprocess": "squad", "metrics": ["squad_em", "squad_f1", "record_em", "record_f1"]}
    for size in sizes(rows):
        yield label_case(size, ["no", "yes"], ["accuracy", "f1", "matthews", "multirc_f1a", "multirc_em"])
        yield label_case(size, ["entailment", "contradiction", "neutral"], ["accuracy", "macro_f1", "matthews"])
        # A correlation needs two rows.
        yield number_case(size + 1)
        yield text_case(size, squad, most=8)
        yield noun_case(size)
        noun = noun_case(size)
        noun["score"] = {"postprocess": "text", "metrics": ["subset_match", "exact_match"]}
        yield {key: value for key, value in noun.items() if key != "holds"}
        for stemming in ("none", "porter"):
            yield text_case(size, {"metrics": ["rouge1", "rouge2", "rouge_lsum", "exact_match"], "stemming": stemming})
        for tokenizer in ("13a", "intl"):
            yield text_case(size, {"metrics": ["bleu"], "bleu_tokenizer": tokenizer})


def ours(score, cases):
    lines = "".join(json.dumps(case) + "\n" for case in cases)
    out = subprocess.run([score], input=lines.encode(), check=True, capture_output=True).stdout
    return [json.loads(line) for line in out.splitlines()]


def expected(case):
    return [float(REFERENCES[metric](case)) for metric in case["score"]["metrics"]]


def differ(a, b):
    """The difference of two scores; of a score that does not exist: none."""
    a, b = (math.nan if x is None else x for x in (a, b))
    return 0.0 if math.isnan(a) and math.isnan(b) else math.inf if math.isnan(a) or math.isnan(b) else abs(a - b)


def compare(score, made):
    """Compares all scores, and prints rows and the largest difference for each metric and setting."""
    rows, most, failed = Counter(), {}, 0
    for case, scores in zip(made, ours(score, made), strict=True):
        setting = " ".join(str(value) for key, value in case["score"].items() if key in ("stemming", "bleu_tokenizer"))
        for found, value in zip(scores, expected(case), strict=True):
            of = " ".join([found["metric"], setting or case["score"]["postprocess"]])
            difference = differ(found["value"], value)
            rows[of] += len(case["answers"])
            most[of] = max(most.get(of, 0.0), difference)
            if difference > TOLERANCE:
                failed += 1
                if failed < 5 and len(json.dumps(case)) < 3000:
                    print(found, value, json.dumps(case))
            if found["metric"] == "bleu":
                assert found["signature"] == bleu(case)[1], (found["signature"], bleu(case)[1])
    for of in sorted(rows):
        print(f"{of:30} {rows[of]:7} answers, largest difference {most[of]:.1e}")
    assert failed == 0, f"{failed} scores differ"


def compare_intervals(score):
    """Intervals are drawn by other random numbers, so that they can only be near: within a tenth of their width."""
    case = text_case(1000, {"metrics": ["rouge1", "rouge2", "rouge_lsum"], "stemming": "none"}, several=1)
    case["bootstrap"] = {"resamples": 10_000, "seed": 1}
    numpy.random.seed(1)
    aggregator = scoring.BootstrapAggregator(n_samples=10_000)
    kinds = ("rouge1", "rouge2", "rougeLsum")
    for values in zip(*(rouge(case, kind) for kind in kinds)):
        aggregator.add_scores({kind: scoring.Score(v, v, v) for kind, v in zip(kinds, values)})
    theirs = aggregator.aggregate()
    theirs = [(100 * theirs[kind].low.fmeasure, 100 * theirs[kind].high.fmeasure) for kind in kinds]
    found = [tuple(scores["interval"]) for scores in ours(score, [case])[0]]
    for kind, a, b in zip(kinds, found, theirs):
        print(f"interval of {kind}: {a[0]:.3f} to {a[1]:.3f}, rouge-score {b[0]:.3f} to {b[1]:.3f}")
        assert max(abs(a[0] - b[0]), abs(a[1] - b[1])) < 0.1 * (b[1] - b[0])
    case = text_case(1000, {"metrics": ["bleu"], "bleu_tokenizer": "13a"}, several=1)
    case["bootstrap"] = {"resamples": 10_000, "seed": 1}
    theirs = bleu_metric(case).corpus_score(case["answers"], [[t[0] for t in case["truths"]]], n_bootstrap=10_000)
    low, high = ours(score, [case])[0][0]["interval"]
    print(f"interval of bleu: {low:.3f} to {high:.3f}, sacreBLEU {theirs._mean - theirs._ci:.3f} to {theirs._mean + theirs._ci:.3f}")
    assert abs((high - low) / 2 - theirs._ci) < 0.1 * theirs._ci


def golden(path):
    """Small cases with the references' scores, one a line; a score that does not exist is null."""
    made = []
    for case in cases(330):
        if len(json.dumps(case)) < 4000:
            scores = [None if math.isnan(value) else value for value in expected(case)]
            made.append(json.dumps(case | {"expected": scores}, separators=(",", ":")))
    with open(path, "w") as file:
        file.write("[\n" + ",\n".join(made) + "\n]\n")
    print(len(made), "cases in", path)


def main(score, path=None):
    if path:
        golden(path)
    made = list(cases(ROWS))
    start = time.time()
    compare(score, made)
    compare_intervals(score)
    print(f"{len(made)} data sets in {time.time() - start:.0f} s: all scores are equal to {TOLERANCE}")


main(*sys.argv[1:])
