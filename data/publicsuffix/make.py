#!/usr/bin/env python3
"""Writes icann.txt, the public suffixes that `filters/src/rules/domains.rs` goes by.

    pip download --no-deps tldextract==5.4.0
    pip install idna==3.20
    python3 data/publicsuffix/make.py tldextract-5.4.0-py3-none-any.whl > data/publicsuffix/icann.txt

Of the snapshot in the package: the rules between the two ICANN marks, in their order. A rule with labels outside ASCII
stands there once more for every way to write these in ASCII (Punycode), since that is how URLs mostly have them.
"""

import hashlib
import itertools
import sys
import zipfile

import idna

SHA256 = "b69315c085d53972724b8f2df111ffc329b0c84fe0a47d62c8c91655cc774a38"
BEGIN, END = "// ===BEGIN ICANN DOMAINS===", "// ===END ICANN DOMAINS==="


def spellings(label):
    mark = "!" if label.startswith("!") else ""
    name = label.removeprefix("!")
    return [label] if name.isascii() else [label, mark + idna.encode(name).decode()]


def main():
    snapshot = zipfile.ZipFile(sys.argv[1]).read("tldextract/.tld_set_snapshot")
    if hashlib.sha256(snapshot).hexdigest() != SHA256:
        sys.exit("the snapshot is not the expected one")
    lines = [line.strip() for line in snapshot.decode().splitlines()]
    head = [line for line in lines[: lines.index(BEGIN)] if line]
    rules = [line for line in lines[lines.index(BEGIN) + 1 : lines.index(END)] if line and not line.startswith("//")]
    out = head + ["", BEGIN, ""]
    for rule in rules:
        if any(c.isspace() for c in rule):
            sys.exit(f"a rule with white space: {rule}")
        out += [".".join(labels) for labels in itertools.product(*map(spellings, rule.split(".")))]
    out += ["", END]
    sys.stdout.reconfigure(encoding="utf-8", newline="\n")
    print("\n".join(out))


if __name__ == "__main__":
    main()
