"""Writes charsmap.bin from the source distribution of sentencepiece; README.md has source and layout.

Usage: python3 extract.py sentencepiece-0.2.1.tar.gz FOLDER
"""

import hashlib
import re
import sys
import tarfile
from pathlib import Path

PACKAGE_SHA256 = "8138cec27c2f2282f4a34d9a016e3374cd40e5c6e9cb335063db66a0a3b71fad"
HEADER = "sentencepiece-0.2.1/sentencepiece/src/normalization_rule.h"


def main(package, folder):
    digest = hashlib.sha256(Path(package).read_bytes()).hexdigest()
    assert digest == PACKAGE_SHA256, f"{package}: not sentencepiece 0.2.1 (SHA-256 {digest})"
    with tarfile.open(package) as tar:
        header = tar.extractfile(HEADER).read().decode("ascii")
    # The first of two copies of the table: all rules in words of 64 bits, then each one's name, size and first word.
    numbers = re.search(r"blob_uint64_t\[\] = \{(.*?)\};", header, re.S).group(1)
    words = [int(word, 16) for word in re.findall(r"0x([0-9A-F]{16})", numbers)]
    rules = r'\{"nmt_nfkc", (\d+),\s*reinterpret_cast<const char \*>\(kNormalizationRules_blob_uint64_t \+ (\d+)\)\}'
    size, first = map(int, re.search(rules, header).groups())
    bytes_ = b"".join(word.to_bytes(8, "little") for word in words[first:])[:size]
    Path(folder, "charsmap.bin").write_bytes(bytes_)
    print(len(bytes_), hashlib.sha256(bytes_).hexdigest())


if __name__ == "__main__":
    main(*sys.argv[1:])
