#!/usr/bin/env python3
"""That the step `[domains]` takes the same part of a URL for its domain as the reference does.

    cargo build --release --locked --workspace --examples
    python3 pipeline/benches/domains.py FILE.warc.wet.gz... [--judge target/release/examples/judge]

The reference is Python's `tldextract` 5.4.0 with its own snapshot of the Public Suffix List, from which ours is made
(data/publicsuffix). Its virtual environment is made once, in target/peers/. URLs are those of the archives, in many
odd spellings, and every rule of the list. `--golden FILE` writes the answers for the made-up ones, which the tests read.
"""

import argparse
import gzip
import json
import random
import subprocess
import sys
from pathlib import Path

import peers

ROOT = peers.ROOT
peers.PINS["tldextract"] = """
    certifi==2026.10.18 charset-normalizer==3.5.2 filelock==4.2.11 idna==3.20 requests==2.34.2 requests-file==3.0.1
    tldextract==5.4.0 urllib3==2.8.0"""

MADE_UP = """
http://example.com/a  https://www.example.co.uk/  HTTP://Example.COM  example.com  example.com/  example.com:8080/x
user@example.com  user:pass@news.example.com:81/x?y#z  a@b@example.org  ftp://ftp.example.net/  //example.com/x
//  /  :  @  [  ]  http://  http:///x  https://.  .  ..  ...  com  com.  .com  co.uk  uk  www.co.uk  a..com  a..b.com
example.com.  example.com..  example。com  example．com  example｡com  例え。テスト  www.ck  a.ck  b.a.ck  ck  city.kawasaki.jp
x.city.kawasaki.jp  kawasaki.jp  a.kawasaki.jp  b.a.kawasaki.jp  c.b.a.kawasaki.jp  blogspot.com  x.blogspot.com
y.x.blogspot.co.uk  github.io  x.github.io  s3.amazonaws.com  a.s3.amazonaws.com  compute.amazonaws.com
localhost  localhost:3000/x  intranet/x  host.internal  a.b.c.unknowntld  unknowntld  example.zzz  xn--p1ai  a.xn--p1ai
XN--P1AI  a.XN--P1AI  пример.рф  ПРИМЕР.РФ  b.пример.рф  公司.cn  a.公司.cn  xn--55qx5d.cn  a.xn--55qx5d.cn  xn--.com  xn--a.com
a.xn--zzzzzzz  straße.de  STRASSE.DE  Ünï.Example.DE  İstanbul.com.tr  ΣΑΣ.gr  127.0.0.1  127.0.0.1:80/x  10.0.0.1.  10.0.0
1.2.3.4.5  256.1.1.1  01.2.3.4  1.2.3.4.com  http://user@10.0.0.1/  ١.2.3.4  [::1]  [::1]:8080/x  http://[2001:DB8::1]/x
[::ffff:1.2.3.4]  [::ffff:1.2.3.4]:80/  [fe80::1%eth0]  [fe80::1%]  [not:an:address]  [::1  ::1]  [::1].com  [abc].com/x
news.example.com?q=http://other.org/  news.example.com#frag@other.org  example.com?x@other.org  example.com/a@b.org
http:example.com  http:/example.com  mailto:a@example.com  a//b.com  a:b//c.com  1a+b-c.d://e.com/x  é://example.com
javascript:void(0)  data:text/html,x  example.com%2Fx  exa%6Dple.com  ex_ample.com  -example-.com  example.com\\x  *.com
*.ck  !www.ck  a.*.ck  example.com:  :80  @example.com  user@:80  a.b.c.d.e.f.g.example.com  pvt.k12.ma.us  k12.ma.us
a.pvt.k12.ma.us  ma.us  us  state.ma.us  com.ac  nom.br  a.nom.br  sch.uk  a.sch.uk  b.a.sch.uk  parliament.uk  arpa
e164.arpa  in-addr.arpa  1.in-addr.arpa  onion  x.onion  local  x.local  test  x.test  example  x.example  museum  x.museum
""".split() + ["", " ", " example.com ", "example .com", "example.com /x", "\texample.com\t", "exam ple.co.uk/x", "example.com\u00a0", "\u3000example.com"]


def spellings(host, rng):
    """Odd ways to write a host."""
    first = host.split(".")[0]
    return [
        host,
        host.upper(),
        host.title(),
        host + ".",
        host + ":443",
        f"{host}:/x",
        f"user:secret@{host}/x",
        f"a.{host}",
        f"{rng.choice('bcd')}.{first}.{host}:8080/p?q=1#f",
        host.replace(".", "。", 1),
        host.replace(".", "..", 1),
        host.partition(".")[2],
        host.rpartition(".")[0],
        host + ".invalidtld",
        host.replace("e", "é"),
        f"HTTPS://{host}/a/b@c",
        f"{host}?x=http://example.org/",
        f"{host}#@example.org",
        f" {host} ",
    ]


def urls_of(archive):
    with gzip.open(archive, "rt", encoding="utf-8", errors="replace", newline="\n") as file:
        try:
            for line in file:
                if line.startswith("WARC-Target-URI:"):
                    yield line.partition(":")[2].strip()
        except EOFError:
            print(f"{archive.name} is cut; its first part is used", file=sys.stderr)


def rules():
    text = (ROOT / "data/publicsuffix/icann.txt").read_text(encoding="utf-8")
    for rule in text.splitlines():
        if rule and not rule.startswith("//"):
            name = rule.lstrip("!").replace("*", "any")
            yield from (name, f"example.{name}", f"www.example.{name}", name.partition(".")[2] or name)


def extracted(urls):
    """In the environment: what tldextract says."""
    import tldextract

    extract = tldextract.TLDExtract(cache_dir=None, suffix_list_urls=())
    for url in urls:
        found = extract(url)
        yield [found.subdomain, found.domain, found.suffix]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wets", type=Path, nargs="*", help="gzipped WET files")
    parser.add_argument("--judge", default=str(ROOT / "target/release/examples/judge"), help="the example program")
    parser.add_argument("--golden", type=Path, help="where to write the answers for the made-up URLs")
    parser.add_argument("--extract", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.extract:
        for answer in extracted(map(json.loads, sys.stdin)):
            print(json.dumps(answer))
        return
    python = peers.environment("tldextract")

    def theirs(urls):
        return answers([str(python), str(Path(__file__).resolve()), "--extract"], urls)

    if args.golden:
        rows = [json.dumps({"url": url, "host": host}) for url, host in zip(MADE_UP, theirs(MADE_UP), strict=True)]
        args.golden.write_text("\n".join(rows) + "\n")
        return
    rng = random.Random(1)
    crawled = sorted({url for wet in args.wets for url in urls_of(wet)})
    hosts = sorted({url.partition("//")[2].partition("/")[0] for url in crawled})
    urls = MADE_UP + crawled + [odd for host in hosts for odd in spellings(host, rng)] + list(rules())
    ours, reference = answers([args.judge, "hosts"], urls), theirs(urls)
    differing = [row for row in zip(urls, ours, reference, strict=True) if row[1] != row[2]]
    for url, mine, wanted in differing[:20]:
        print(f"{url!r}: ours {mine}, tldextract {wanted}")
    print(f"{len(urls)} URLs, {len(hosts)} hosts of {len(args.wets)} archives: {len(differing)} differ")
    sys.exit(1 if differing else 0)


def answers(command, values):
    lines = "".join(json.dumps(value) + "\n" for value in values)
    done = subprocess.run(command, input=lines, stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


if __name__ == "__main__":
    main()
