"""The tour runs from top to bottom, and what is stored of it is a whole run, small enough to be looked at anywhere."""

import re

import nbformat
import pytest
from conftest import REPOSITORY
from nbclient import NotebookClient

TOUR = REPOSITORY / "examples" / "tour.ipynb"


@pytest.fixture
def notebook():
    return nbformat.read(TOUR, as_version=4)


def code_of(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def pictures_of(notebook) -> list[int]:
    """How many pictures each code cell shows."""
    return [
        sum("image/jpeg" in output.get("data", {}) or "image/png" in output.get("data", {}) for output in cell.outputs)
        for cell in code_of(notebook)
    ]


def errors_of(notebook) -> tuple[float, float]:
    """The NME in percent that the notebook prints, before and after training."""
    text = "".join(output.get("text", "") for cell in code_of(notebook) for output in cell.outputs)
    ((before, after),) = re.findall(r"NME ([\d.]+)% before training, ([\d.]+)% after", text)
    return float(before), float(after)


def test_what_is_stored_is_one_whole_run_without_complaints_and_small(notebook):
    assert TOUR.stat().st_size <= 600_000
    assert [cell.execution_count for cell in code_of(notebook)] == list(range(1, len(code_of(notebook)) + 1))
    for cell in code_of(notebook):
        for output in cell.outputs:
            assert output.output_type != "error" and output.get("name") != "stderr", cell.source
    before, after = errors_of(notebook)
    assert after < 8 < 50 < before


def test_it_runs_with_a_shorter_training(notebook, tmp_path, monkeypatch):
    for variable in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "MPLCONFIGDIR"):  # the user's own stay as they are
        monkeypatch.setenv(variable, str(tmp_path / variable))
    shown = pictures_of(notebook)
    for cell in code_of(notebook):
        cell.outputs = []
    (parameters,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    assert parameters.source.startswith("EPOCHS = ")
    parameters.source = "EPOCHS = 3"
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(TOUR.parent)}}).execute()
    assert pictures_of(notebook) == shown and sum(shown) >= 12
    before, after = errors_of(notebook)
    assert after < 0.8 * before
