# The menu. `make demo` and `make test` need Rust (rustup.rs) and a C compiler, nothing else.
CARGO ?= cargo
C4 := target/release/c4
OUT ?= out/demo
# A crawl archive to measure with, plain or compressed, WET or WARC.
INPUT ?= data/samples/sample-00001.warc.wet.gz

.PHONY: help build demo test fmt lint unit docs bench proofs peers hub samples clean tools

help: ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

tools:
	@command -v $(CARGO) >/dev/null || { echo "Rust is missing: install it with the command on https://rustup.rs"; exit 1; }
	@command -v cc >/dev/null || { echo "A C compiler is missing: sudo apt-get install gcc (or your system's)"; exit 1; }

build: tools ## compile the programs
	$(CARGO) build --release --locked --workspace --bins

# Two of the four archives are damaged on purpose, hence exit status 1: done, but not all could be read.
demo: build ## build a corpus from the sample crawl, show the funnel and the first documents
	@echo; echo "\$$ c4 build --output $(OUT) data/samples"
	@$(C4) build --overwrite --output $(OUT) data/samples || [ $$? -eq 1 ]
	@echo; echo "\$$ c4 stats $(OUT)"
	@$(C4) stats $(OUT)
	@echo; echo "\$$ c4 cat -n 3 $(OUT)"
	@$(C4) cat -n 3 $(OUT)
	@echo; echo "The corpus is in $(OUT). Exit status 1 above is right: two of the four archives are damaged on purpose."

test: tools fmt lint unit docs ## all that CI runs

fmt:
	$(CARGO) fmt --all --check

lint:
	$(CARGO) clippy --release --locked --workspace --all-targets -- -D warnings

unit:
	$(CARGO) test --release --locked --workspace
	target/release/make-samples --check

docs:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --release --locked --workspace --no-deps

bench: build ## criterion for parts, whole processes on INPUT=archive
	$(CARGO) build --release --locked --workspace --examples
	INPUT=$(INPUT) $(CARGO) bench --locked --workspace --bench parts
	pipeline/benches/whole.sh $(C4) target/release/examples/inflate $(INPUT)

proofs: peers hub ## what takes long or needs large Python environments (INPUT=wet)

peers: build ## the Python peers on INPUT=wet (makes virtual environments below target/)
	pipeline/benches/peers.sh $(INPUT)

hub: build ## that Hugging Face `datasets` reads a corpus with its card (makes a virtual environment below target/)
	pipeline/benches/card.sh $(C4) data/samples

samples: ## write the sample archives from their sources
	$(CARGO) build --release --locked --workspace --bins
	target/release/make-samples

clean: ## remove what was built
	$(CARGO) clean
	rm -rf out
