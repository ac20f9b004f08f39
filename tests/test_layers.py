"""The house as its imports draw it: the root trains, face68 predicts and knows neither torch nor the root."""

import ast
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY

COMMANDS = {"train", "evaluate", "predict", "video", "visualize", "export", "prepare", "benchmarks.__main__"}
LIBRARY_NEEDS = {"numpy", "cv2", "PIL", "tqdm", "onnxruntime"}


def module_name(path: Path) -> str:
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {
    module_name(path): path
    for pattern in ("*.py", "face68/**/*.py", "curation/**/*.py", "benchmarks/*.py")
    for path in REPOSITORY.glob(pattern)
}


def imports_of(path: Path) -> set[str]:
    """What a file imports, wherever in it: modules of ours by their full names, others by their package."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            # `from package import module` names a module, `from module import name` doesn't.
            found |= {
                f"{node.module}.{a.name}" if f"{node.module}.{a.name}" in FILES else node.module for a in node.names
            }
    return {name if name in FILES else name.partition(".")[0] for name in found}


IMPORTS = {module: imports_of(path) for module, path in FILES.items()}


def of(package: str) -> list[str]:
    return [module for module in FILES if module == package or module.startswith(package + ".")]


def test_every_file_is_read():
    assert {"train", "models", "face68", "face68.landmarker", "face68.command.results", "curation.audit"} <= set(FILES)
    assert "face68.landmarker" in IMPORTS["predict"] and "torch" in IMPORTS["checkpoint"]


def test_the_library_knows_neither_torch_nor_the_root():
    allowed = LIBRARY_NEEDS | set(of("face68")) | sys.stdlib_module_names
    for module in of("face68"):
        lazily = {"filelock"} if module == "face68.command.places" else set()
        assert IMPORTS[module] <= allowed | lazily, module


def test_an_example_knows_the_library_and_what_it_is_about():
    for path in REPOSITORY.glob("examples/*.py"):
        assert imports_of(path) <= LIBRARY_NEEDS | {"ray"} | set(of("face68")) | sys.stdlib_module_names, path


def test_what_commands_share_is_known_to_commands_alone():
    shared = set(of("face68.command"))
    for module in set(FILES) - COMMANDS - {"launch", "face68.__main__"} - set(of("benchmarks")) - shared:
        assert not IMPORTS[module] & shared, module


def test_nothing_imports_a_command_but_commands_the_pictures():
    for module in FILES:
        assert IMPORTS[module] & COMMANDS <= ({"visualize"} if module in COMMANDS else set()), module


def test_nothing_imports_the_benchmarks():
    for module in set(FILES) - set(of("benchmarks")):
        assert not IMPORTS[module] & set(of("benchmarks")), module


def test_there_is_no_circle():
    seen, path = set(), []

    def visit(module):
        assert module not in path, " → ".join([*path[path.index(module) :], module])
        if module in seen:
            return
        path.append(module)
        for other in sorted(IMPORTS[module] & set(FILES)):
            visit(other)
        path.pop()
        seen.add(module)

    for module in FILES:
        visit(module)


@pytest.mark.parametrize("module", sorted(COMMANDS & set(FILES)))
def test_a_command_has_its_lines_in_its_docstring(module):
    line = "python -m benchmarks" if module == "benchmarks.__main__" else f"python {module}.py"
    assert line in ast.get_docstring(ast.parse(FILES[module].read_text()))
