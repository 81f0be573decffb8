# mnist_course: `make help` lists what there is. Every target sets up what it needs, once.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
# A wheel is proven anew only when something that goes into it has changed.
# The tests that read the course's images, by themselves or through what they try: what these say on
# MNIST and on the stand-in may differ; what the others say cannot.
DATA_TESTS := $(shell grep -lE 'get_data|load_split|load_data|source_of|patients|capstone' tests/test_*.py)
SHIPPED := $(wildcard mnist_course/*.py mnist_course/lab/*) settings.ini setup.py pyproject.toml MANIFEST.in README.md

.DEFAULT_GOAL := help
.PHONY: help course test test-notebooks test-tools test-suite test-data test-wheel wheels lab work copies data run ledger bench mutants faults zoo exercises readme book epub slides weights test-book clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

$(READY): settings.ini setup.py pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else f"Python 3.11 to 3.13 is needed, and $(PYTHON) is {v[0]}.{v[1]}: name another, such as make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[course,dev]'
	@touch $(READY)

course: $(READY) ## run every lesson in order and print the results
	$(BIN)/mnist_course course

test: test-notebooks test-suite test-wheel ## everything that says the course is right

# Two notebooks, or two files of tests, at a time, one thread each: more threads than cores get in
# each other's way.
test-notebooks: $(READY) ## run the notebooks' own tests
	$(BIN)/mnist_course data
	OMP_NUM_THREADS=1 $(BIN)/nbdev_test --n_workers 2

test-tools: $(READY) ## of these, those of the tools and the laboratory
	$(BIN)/mnist_course data
	OMP_NUM_THREADS=1 $(BIN)/nbdev_test --n_workers 2 --path nbs/api
	OMP_NUM_THREADS=1 $(BIN)/nbdev_test --n_workers 2 --path nbs/lab

test-suite: $(READY) ## run the tests of what a notebook cannot test about itself
	$(BIN)/ruff check
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

test-data: $(READY) ## of these, the tests that read the course's images
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile $(DATA_TESTS)

test-wheel: $(READY) _run/wheel.ok ## install the built package in fresh environments and import it

_run/wheel.ok: $(SHIPPED) tests/wheel.py
	$(BIN)/python tests/wheel.py
	@touch $@

wheels: $(READY) ## the same with the oldest versions allowed and the newest, in PYTHONS (gigabytes)
	$(BIN)/python tests/wheel.py oldest newest --python $(or $(PYTHONS),python3.11 python3.12 python3.13)

# Far too long for every test run; stopped and called again, it goes on where it was.
mutants: $(READY) ## plant small faults and see which no check notices (hours; ARGS="sgd --sample 20")
	$(BIN)/python tests/mutants.py $(ARGS)

faults: $(READY) ## make trouble with files, processes and disks, and count how it is met (half an hour)
	$(BIN)/python tests/faults.py $(ARGS)

zoo: $(READY) ## examine sound and spoilt trainings, and renew the clinic's table in the book (minutes)
	OMP_NUM_THREADS=1 $(BIN)/python -W ignore tests/zoo.py $(ARGS)

# JupyterLab shows the pictures and tables of a notebook that came from elsewhere once it is trusted.
lab: $(READY) ## open the course in JupyterLab (ARGS=... is passed to jupyter lab)
	@$(BIN)/jupyter trust nbs/*.ipynb nbs/api/*.ipynb nbs/lab/*.ipynb > /dev/null
	$(BIN)/jupyter lab --LabApp.default_url=/lab/tree/nbs/index.ipynb $(ARGS)

# Yours to write in: what is there already is left as it is, whatever an update brings to nbs.
work: $(READY) copies ## the same on copies in the folder work, which no update overwrites
	@$(BIN)/jupyter trust work/*.ipynb work/*/*.ipynb > /dev/null
	$(BIN)/jupyter lab --LabApp.default_url=/lab/tree/work/index.ipynb $(ARGS)

copies:
	@cd nbs && find . -name '*.ipynb' -not -path '*/.*' -not -path './exercises/*' | while read -r nb; do \
	  mkdir -p "../work/$$(dirname "$$nb")"; \
	  test -e "../work/$$nb" || cp "$$nb" "../work/$$nb"; done

data: $(READY) ## fetch MNIST, or the stand-in, and say where it is
	$(BIN)/mnist_course data

run: $(READY) ## run one lesson and keep its outputs: make run NB=02
	$(if $(NB),,$(error Name the lesson: make run NB=02))
	$(BIN)/mnist_course run $(NB)
	$(BIN)/nbdev_clean

ledger: $(READY) ## measure every figure again (a while), then put it into the prose
	$(BIN)/python -m mnist_course.lab ledger
	$(BIN)/python -m mnist_course.lab ledger --lessons
	$(BIN)/python -m mnist_course.lab requote

bench: $(READY) ## time the course against its rivals, under 25 minutes (DEVICE=cuda, ARGS=...)
	$(BIN)/python -m benchmarks $(if $(DEVICE),--device $(DEVICE)) $(ARGS)
	$(BIN)/jupyter nbconvert --to notebook --execute --inplace nbs/lab/benchmarks.ipynb
	$(BIN)/python -m mnist_course.lab readme
	$(BIN)/nbdev_clean

exercises: $(READY) ## make the learner's workbooks from nbs/exercises
	$(BIN)/python -m mnist_course.lab workbooks

readme: $(READY) ## make README.md from nbs/index.ipynb
	$(BIN)/python -m mnist_course.lab readme
	$(BIN)/nbdev_clean

book: $(READY) ## make the website from the committed notebooks, in _book (LIVE=1: lesson 07 runs in it; needs npm)
	$(BIN)/python book/make.py $(if $(LIVE),--live)

epub: $(READY) ## make the book as one file for e-readers, _book.epub
	$(BIN)/python book/epub.py

slides: $(READY) ## make slides of the lessons in _slides (NB=02 for one; REVEAL=... names reveal.js)
	$(BIN)/python book/slides.py $(NB)

weights: $(READY) ## train what the book's drawing and moving figures show, and pack it (minutes, MNIST)
	$(BIN)/python book/weights.py
	$(BIN)/python book/live.py

test-book: $(READY) ## test the book in a browser (needs Chromium and npm; CHROMIUM=..., BOOK=a built one)
	$(BIN)/python -m pytest tests/browser.py

clean: ## remove what was made at run time, but not the data
	rm -rf $(VENV) _run _book _book.epub _slides _proc _docs build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
