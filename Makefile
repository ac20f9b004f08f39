# `make demo` and `make test` need Python 3.10 or newer and make; each sets up what it needs in .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test

# Train on the drawn sample, then find the keypoints of a photograph.
demo: $(VENV)/installed
	$(BIN)/python train.py --epochs 3 --batch-size 4 --loss wing --optimizer muon --lr 4e-3 --data data/sample --output-dir outputs/demo
	$(BIN)/python evaluate.py --checkpoint outputs/demo/best.pt --data data/sample --output-dir outputs/demo
	$(BIN)/python predict.py --checkpoint outputs/demo/best.pt --image data/sample/test --detector none --output outputs/demo/sample
	$(BIN)/python predict.py --checkpoint saved_models/pretrained.onnx --output outputs/demo/photo.png
	@echo
	@echo "Look at these: outputs/demo/photo.png (the shipped network on a photograph),"
	@echo "outputs/demo/learning.png (how yours learned: the same five faces after each epoch), training_curves.png,"
	@echo "untrained_faces.png and validation_faces.png (before and after), outputs/demo/sample/ (what yours predicts)"

test: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest

$(VENV)/installed: requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -r requirements.txt
	@touch $@

$(VENV)/installed-dev: requirements-dev.txt $(VENV)/installed
	$(BIN)/pip install --quiet -r requirements-dev.txt
	@touch $@
