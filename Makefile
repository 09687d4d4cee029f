# The menu. `make demo` needs Rust (rustup.rs) and a C compiler; `make test` also needs a C++ compiler and Python 3.10.
CARGO ?= cargo
C4 := target/release/c4
T5 := target/release/t5
OUT ?= out/demo
# The page of the sample crawl that the demo explains.
PAGE := https://millbrook-gazette.example/2024/03/meeting
CHROMIUM ?= chromium
# Settings that suit the sample's few pages: short rows, one batch a step.
DEMO := --set feed.rows=4 --set feed.objective.inputs_length=128 --set batches_per_step=1 --set evaluate_every=10
# A task that takes half a minute to learn, and settings that suit its few rows.
BOOK := data/samples/guestbook
TUNE := --set feed.rows=8 --set batches_per_step=1 --set model.dropout=0 --set schedule.rate=0.01 --set checkpoint_every=100 \
	--set evaluate_every=100
# A crawl archive to measure with, plain or compressed, WET or WARC.
INPUT ?= data/samples/sample-00001.warc.wet.gz

.PHONY: faults wheel wheel-test wheel-peers spark ray cuda cuda-test cuda-driver-test cuda-gpu-test cuda-tools help build demo test fmt lint unit skipped docs bench proofs peers hub detector domains examples multilingual picture samples licenses clean tools scale fuzz step tokenise vocabulary export import decode trajectory events metrics quick deny cuda-fake gpu-proof gpu-proof-emulated

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 18

tools:
	@command -v $(CARGO) >/dev/null || { echo "Rust is missing: install it with the command on https://rustup.rs"; exit 1; }
	@command -v cc >/dev/null || { echo "A C compiler is missing: sudo apt-get install gcc (or your system's)"; exit 1; }

# By name: what the tests' own programs depend on besides, some 30 crates, is not needed to use these.
build: tools ## compile the programs
	$(CARGO) build --release --locked --bin c4 --bin t5

# Two of the four archives are damaged on purpose, so a build ends with exit status 1: done, but not all could be read.
demo: build ## build a corpus from the sample crawl, show the funnel, explain a page, write the report, train a small T5, fine-tune it
	@[ "$(OUT)" != out/demo ] || rm -rf out/demo # an earlier version may have written it
	@echo; echo "\$$ c4 build --output $(OUT) data/samples"
	@$(C4) build --overwrite --output $(OUT) data/samples || [ $$? -eq 1 ]
	@echo; echo "\$$ c4 stats $(OUT)"
	@$(C4) stats $(OUT)
	@echo; echo "\$$ c4 cat -n 1 $(OUT)"
	@$(C4) cat -n 1 $(OUT)
	@echo; echo "\$$ c4 explain --build $(OUT) --url $(PAGE)"
	@$(C4) explain --build $(OUT) --url $(PAGE)
	@echo; echo "\$$ c4 verify $(OUT)"
	@$(C4) verify $(OUT)
	@echo; echo "\$$ c4 report $(OUT)"
	@$(C4) report $(OUT)
	@echo; echo "The corpus is in $(OUT). Exit status 1 of the build is right: two of the four archives are damaged on purpose."
	@echo "What it kept and dropped, and why, is in $(OUT)/report.html: open it in a browser."
	@[ "$(OUT)" != out/demo ] || rm -rf out/demo-t5
	@mkdir -p $(OUT)-t5
	@echo; echo "\$$ t5 vocab train $(OUT) --size 400 -o $(OUT)-t5/vocab.model"
	@$(T5) vocab train $(OUT) --size 400 -o $(OUT)-t5/vocab.model
	@echo; echo "\$$ t5 pretrain --size tiny --corpus $(OUT) --vocab $(OUT)-t5/vocab.model -o $(OUT)-t5/run --steps 30 $(DEMO)"
	@$(T5) pretrain --size tiny --corpus $(OUT) --vocab $(OUT)-t5/vocab.model -o $(OUT)-t5/run --steps 30 $(DEMO)
	@echo; echo "\$$ t5 generate $(OUT)-t5/run \"The river ___ the town.\""
	@$(T5) generate $(OUT)-t5/run "The river ___ the town."
	@echo; echo "Thirty steps teach it no English; the loss has fallen from the first to the last. A task is easier:"
	@echo; echo "\$$ t5 finetune $(OUT)-t5/run --task $(BOOK)/guestbook.toml --data $(BOOK) -o $(OUT)-t5/guestbook --steps 200 $(TUNE)"
	@$(T5) finetune $(OUT)-t5/run --task $(BOOK)/guestbook.toml --data $(BOOK) -o $(OUT)-t5/guestbook --steps 200 $(TUNE)
	@echo; echo "\$$ t5 eval $(OUT)-t5/guestbook"
	@$(T5) eval $(OUT)-t5/guestbook
	@echo; echo "\$$ t5 predict $(OUT)-t5/guestbook -o $(OUT)-t5/answers.tsv"
	@$(T5) predict $(OUT)-t5/guestbook -o $(OUT)-t5/answers.tsv
	@echo; echo "\$$ t5 generate $(OUT)-t5/guestbook --task guestbook \"The tea was cold and the host was rude.\""
	@$(T5) generate $(OUT)-t5/guestbook --task guestbook "The tea was cold and the host was rude."
	@echo; echo "The runs are in $(OUT)-t5/run and $(OUT)-t5/guestbook."

test: tools fmt lint unit cuda-test wheel-test docs skipped ## everything that CI runs

# Of Markdown and of comments in Rust, the width: code blocks count, tables and lines that begin with a link do not.
fmt:
	$(CARGO) fmt --all --check
	@! { find . -name '*.md' -not -path '*/target/*' -not -path './out/*' -print0 | LC_ALL=C.UTF-8 xargs -0 grep -HnE '^.{121,}'; \
		find . -name '*.rs' -not -path '*/target/*' -print0 | LC_ALL=C.UTF-8 xargs -0 grep -HnE '^ *//' | grep -E '^[^:]*:[0-9]+:.{121,}'; } \
		| grep -vE '^[^:]*:[0-9]+:( *//[/!] )?(\||!?\[)' || { echo "Lines of more than 120 characters (above)"; exit 1; }

# The wheel's package is c4-python, in pipeline/python. A crate alone is built with fewer features than all of them together,
# so the first run compiles some dependencies once more; cargo keeps both. Examples in doc comments and tests of minutes
# (modules called `slow`) are left to `make test`.
PACKAGE = $(if $(filter trainer,$(CRATE)),t5-trainer,c4-$(CRATE))

quick: tools ## format, lints and tests of one crate alone: CRATE=data, filters, pipeline, trainer or tests
	@[ -n "$(CRATE)" ] || { echo "Which crate? make quick CRATE=filters"; exit 1; }
	$(CARGO) fmt --check -p $(PACKAGE)
	CARGO_INCREMENTAL=1 $(CARGO) clippy --release --locked -p $(PACKAGE) --all-targets -- -D warnings
	CARGO_INCREMENTAL=1 $(CARGO) test --release --locked -p $(PACKAGE) --lib --bins --tests -- --skip slow::

# All packages at once here and for the pages: what they depend on is checked once, with one set of features.
lint:
	$(CARGO) clippy --release --locked --workspace --all-targets -- -D warnings

unit:
	@rm -f $(SKIPPED)
	$(CARGO) test --release --locked
	target/release/make-samples --check

# Each test that cannot run on this machine adds a line to this file and passes.
SKIPPED := target/skipped-tests

skipped:
	@[ ! -s $(SKIPPED) ] || { echo; echo "Skipped on this machine:"; sort -u $(SKIPPED); }

WHEEL_VENV := target/venv-wheel

# The Python tools that build and test the wheel, below target/. Nothing else needs them.
$(WHEEL_VENV)/ready: pipeline/python/requirements.txt
	@command -v python3 >/dev/null || { echo "Python 3.10 or later is missing: sudo apt-get install python3-venv (or your system's)"; exit 1; }
	python3 -m venv $(WHEEL_VENV) || { echo "Python's venv is missing: sudo apt-get install python3-venv (or your system's)"; exit 1; }
	$(WHEEL_VENV)/bin/pip install --quiet --disable-pip-version-check -r pipeline/python/requirements.txt
	touch $@

wheel: tools $(WHEEL_VENV)/ready ## build the Python wheel, target/wheels/c4-*.whl
	rm -rf target/wheels
	$(WHEEL_VENV)/bin/maturin build --release --locked --quiet -m pipeline/python/Cargo.toml -o target/wheels

wheel-test: wheel ## test the wheel
	$(WHEEL_VENV)/bin/pip install --quiet --disable-pip-version-check --force-reinstall --no-deps target/wheels/c4-*.whl
	$(WHEEL_VENV)/bin/python -m pytest -q -p no:cacheprovider pipeline/python/tests

spark: build wheel ## prove that Spark makes the same corpus, with killed workers and skew (Java 17; INPUT=archives; fetches half a GB)
	pipeline/spark/prove.sh $(C4) $(INPUT)

ray: wheel ## test C4's rules on Ray Data (makes a virtual environment below target/)
	[ -e target/venv-ray ] || { python3 -m venv target/venv-ray && target/venv-ray/bin/pip install --quiet 'ray[data]==2.60.0' pytest==9.2.0; }
	target/venv-ray/bin/pip install --quiet --disable-pip-version-check --force-reinstall --no-deps target/wheels/c4-*.whl
	target/venv-ray/bin/python -m pytest -q -p no:cacheprovider pipeline/ray

# A link to an item of the crate alone is for its readers; the public pages show its name.
docs:
	RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" $(CARGO) doc --release --locked --workspace --no-deps

bench: build ## measure parts (criterion) and whole builds of INPUT=archive
	$(CARGO) build --release --locked --examples
	INPUT=$(INPUT) $(CARGO) bench --locked --bench parts
	pipeline/benches/whole.sh $(C4) target/release/examples/inflate $(INPUT)
	pipeline/benches/bare_sum.sh $(C4) target/release/examples/bare_sum $(INPUT)

proofs: faults peers hub detector domains multilingual export import decode trajectory events metrics tokenise vocabulary step spark ray scale ## run every proof that takes long or needs large Python environments (INPUT=wet)

peers: build ## measure builds beside Python's on INPUT=wet (makes virtual environments below target/)
	pipeline/benches/peers.sh $(INPUT)

wheel-peers: ## measure the wheel beside them, page by page, on INPUT=archives (in the same environments)
	python3 pipeline/python/benches/peers.py $(INPUT)

scale: build ## measure how a build grows, up to ten million synthetic pages in 512 MiB (an hour)
	$(CARGO) build --release --locked --bin synthesize
	pipeline/benches/scale.sh $(C4) target/release/synthesize 512M

faults: tools ## make every system call fail once, cut the power, remove work files (half an hour; prints tables)
	C4_FAULTS=all $(CARGO) test --release --locked --test cli slow::faults -- --nocapture --test-threads 2
	C4_FAULTS=all $(CARGO) test --release --locked --test faults -- --nocapture --test-threads 2

fuzz: build ## run every fuzz target for ten minutes (needs a nightly compiler and cargo-fuzz)
	tests/fuzz/run.sh

# The features change t5-trainer alone, so nothing else is compiled again. Both programs are kept.
CUDA_HOME ?= $(CURDIR)/target/cuda/home

cuda: tools ## build target/cuda/t5, which trains on an NVIDIA GPU; no GPU is needed to build it (gets nvcc below target/)
	@[ -x "$(CUDA_HOME)/bin/nvcc" ] || trainer/cuda.sh target/cuda
	CUDA_HOME=$(CUDA_HOME) $(CARGO) build --release --locked --bins --examples --features t5-trainer/cuda
	cp target/release/t5 target/release/examples/device_step target/cuda/
	@echo; echo "target/cuda/t5 pretrain --device cuda ... It starts anywhere; a GPU needs a driver of the 580 series and libcublas.so.13."

# What a backend must do, and a run on it.
DEVICE_TESTS := backend:: run::a_run_on_a_device run::a_device processes::processes_on_a_device

cuda-tools: tools
	@command -v c++ >/dev/null || { echo "A C++ compiler is missing: sudo apt-get install g++ (or your system's)"; exit 1; }

cuda-test: cuda-tools ## test the GPU's kernels and what launches them, on the CPU
	$(CARGO) clippy --release --locked --workspace --all-targets --features t5-trainer/cuda-emulated -- -D warnings
	$(CARGO) test --release --locked --features t5-trainer/cuda-emulated --test it -- $(DEVICE_TESTS)

# One library stands for the driver, cuBLAS and NCCL, since they work together. It is found before the system's. O3,
# for products.
cuda-fake: cuda-tools
	@mkdir -p target/cuda/fake
	c++ -std=c++17 -O3 -Wno-unknown-pragmas -shared -fPIC -o target/cuda/fake/libcuda.so trainer/kernels/fake_driver.cpp
	@ln -sf libcuda.so target/cuda/fake/libcublas.so
	@ln -sf libcuda.so target/cuda/fake/libnccl.so

cuda-driver-test: cuda cuda-fake ## test all of the GPU's host code on a driver, a cuBLAS and an NCCL that emulate GPUs
	T5_FAKE_DRIVER=1 LD_LIBRARY_PATH=$(CURDIR)/target/cuda/fake $(MAKE) cuda-gpu-test

cuda-gpu-test: ## run the same tests on a GPU (libcublas.so.13 in LD_LIBRARY_PATH)
	CUDA_HOME=$(CUDA_HOME) T5_TEST_DEVICE=cuda $(CARGO) test --release --locked --features t5-trainer/cuda --test it -- $(DEVICE_TESTS)

gpu-proof: cuda cuda-fake ## pack target/gpu-proof.tar: tests and measurements for eight minutes of a GPU elsewhere
	CUDA_HOME=$(CUDA_HOME) $(CARGO) test --release --locked --features t5-trainer/cuda --test it --no-run
	@program=$$(CUDA_HOME=$(CUDA_HOME) $(CARGO) test --release --locked --features t5-trainer/cuda --test it --no-run 2>&1 \
		| sed -n 's/.*Executable.*(\(.*\))$$/\1/p') && \
		CUDA_HOME=$(CUDA_HOME) trainer/benches/gpu_proof/pack.sh "$$program" target/cuda/fake/libcuda.so

# A CPU needs more time for some parts.
gpu-proof-emulated: gpu-proof ## try the packed proof from end to end on an emulated GPU, here
	target/gpu-proof/prove.sh --emulated --limit bits=300 --limit losses=300 --total 1200

step: examples ## measure a training step on the CPU beside Hugging Face's in PyTorch (makes a virtual environment below target/)
	trainer/benches/step.sh small 4 3 3 0 f32

tokenise: examples ## compare ids and speed with the sentencepiece library: INPUT=text VOCAB=spiece.model (or one of the sample crawl)
	T5=$(T5) C4=$(C4) trainer/benches/tokenise.sh target/release/examples/tokenize "$(VOCAB)" $(INPUT)

vocabulary: examples ## compare the vocabulary's trainer with sentencepiece's: TRAIN=wet HELD_OUT=text (or the sample crawl)
	trainer/benches/vocabulary.sh $(T5) $(C4) target/release/examples/tokenize $(TRAIN) $(HELD_OUT)

export: examples ## prove that Hugging Face and candle open what t5 exports, with the same logits and ids (environments of several GB)
	trainer/benches/export.sh $(T5) $(C4) target/release/examples/logits

import: examples ## prove that t5 opens what Hugging Face saves, with the same logits and greedy text (in the environments of export)
	trainer/benches/import.sh $(T5) $(C4) target/release/examples/logits

decode: examples ## prove that t5 answers as transformers' generate does, at twice its speed at least (in the environment of export)
	trainer/benches/decode.sh $(T5) $(C4) target/release/examples/predict

trajectory: examples ## prove that pre-training and fine-tuning give the losses and answers of Hugging Face's T5 and Adafactor
	trainer/benches/trajectory.sh $(T5) $(C4) target/release/examples/batches

events: build ## prove that TensorBoard shows what a run has measured (makes a virtual environment below target/)
	trainer/benches/event_files.sh $(T5) $(C4)

metrics: examples ## prove that scores are those of scikit-learn, SciPy, sacreBLEU and rouge-score (makes a virtual environment below target/)
	trainer/benches/metrics.sh target/release/examples/score $(GOLDEN)

hub: build ## prove that Hugging Face `datasets` reads a corpus with its card (makes a virtual environment below target/)
	pipeline/benches/card.sh $(C4) data/samples

detector: ## prove that CLD3 answers as PyPI gcld3 does, bit by bit (needs protoc and its library; INPUT=wet)
	$(CARGO) build --release --locked -p c4-pipeline --example cld3
	pipeline/benches/cld3.sh target/release/examples/cld3 $(INPUT)

# cargo-deny fetches the list of advisories from GitHub.
deny: tools ## check licences and advisories of all dependencies (needs cargo-deny: cargo install --locked cargo-deny)
	$(CARGO) deny check

licenses: tools ## rewrite the list of crates and their licences, data/licenses/crates.txt (fetches what is missing)
	WRITE_DATA=1 $(CARGO) test --release --locked --test whole licenses::every_crate

examples: build
	$(CARGO) build --release --locked --examples

domains: examples ## compare domains of URLs with `tldextract` on INPUT=wet (makes a virtual environment below target/)
	pipeline/benches/domains.sh $(INPUT)

multilingual: examples ## compare the multilingual recipe with TensorFlow Datasets on INPUT=wet (needs g++ and protobuf; the same)
	pipeline/benches/multilingual.sh $(INPUT)

# The window has the size of the part that the README shows.
picture: build ## draw the picture of the report in README.md (needs Chromium)
	@[ "$(OUT)" != out/demo ] || rm -rf out/demo
	@$(C4) build --overwrite --output $(OUT) data/samples || [ $$? -eq 1 ]
	@$(C4) report $(OUT)
	$(CHROMIUM) --headless --no-sandbox --disable-gpu --hide-scrollbars --no-first-run --disable-background-networking \
		--user-data-dir=$(OUT)/browser --force-device-scale-factor=1 --window-size=1200,1660 \
		--screenshot=pipeline/docs/report.png file://$(CURDIR)/$(OUT)/report.html
	rm -rf $(OUT)/browser

samples: ## rewrite the sample archives from their sources
	$(CARGO) build --release --locked --bin make-samples
	target/release/make-samples

clean: ## remove everything that was built
	$(CARGO) clean
	rm -rf out
