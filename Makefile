# `make demo` and `make test` need Python 3.10 or newer and make; each sets up what it needs in .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help demo test pictures

help:  ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/installed  ## train on the drawn sample, then find the keypoints of a photograph: a minute or two
	$(BIN)/python train.py --epochs 3 --batch-size 4 --loss wing --optimizer muon --lr 4e-3 --data data/sample --output-dir outputs/demo
	$(BIN)/python evaluate.py --checkpoint outputs/demo/best.pt --data data/sample --output-dir outputs/demo
	$(BIN)/python predict.py --checkpoint outputs/demo/best.pt --image data/sample/test --detector none --output outputs/demo/sample
	$(BIN)/python predict.py --checkpoint saved_models/pretrained.onnx --output outputs/demo/photo.png
	@echo
	@echo "Look at these: outputs/demo/photo.png (the shipped network on a photograph),"
	@echo "outputs/demo/learning.png (how yours learned: the same five faces after each epoch), training_curves.png,"
	@echo "untrained_faces.png and validation_faces.png (before and after), outputs/demo/sample/ (what yours predicts)"

test: $(VENV)/installed-dev  ## lint, and run the tests: some minutes
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal

pictures: $(VENV)/installed  ## rebuild the pictures of README and docs: a quarter of an hour
	$(BIN)/python visualize.py landmarks --output docs/landmarks.png
	$(BIN)/python -m docs.pictures overlays docs/overlays.jpg
	$(BIN)/python -m docs.pictures overview docs/overview.jpg
	$(BIN)/python -m docs.pictures page docs/page.webp
	$(BIN)/python visualize.py photo --checkpoint saved_models/pretrained.pt --output docs/photo.webp
	$(BIN)/python visualize.py heatmaps --checkpoint saved_models/pretrained.pt --output docs/heatmaps.webp
	$(BIN)/python visualize.py annotators --checkpoint saved_models/pretrained.pt --output docs/annotators.png
	$(BIN)/python video.py --every 2 --identities --output docs/film.webp
	$(BIN)/python -m benchmarks tracking --films still speech fast --output-dir docs
	@echo "With the public set in data/ also, and copy calibration.png and speed.png from outputs/ to docs/:"
	@echo "$(BIN)/python evaluate.py --data data --checkpoint saved_models/pretrained.pt --output-dir outputs"
	@echo "$(BIN)/python -m benchmarks photo --data data --every 5"

$(VENV)/installed: requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -r requirements.txt
	@touch $@

$(VENV)/installed-dev: tests/requirements.txt $(VENV)/installed
	$(BIN)/pip install --quiet -r tests/requirements.txt
	@touch $@
