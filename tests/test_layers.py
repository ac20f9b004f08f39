"""The floors of the house: an import goes down the list, never up, and never from one command to another."""

import ast
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY

COMMANDS = ("train", "evaluate", "predict", "video", "visualize", "export", "prepare")
FLOORS = (  # from the ground up
    ("face68",),
    ("datasets",),
    ("models", "data_load"),
    ("evaluation",),
    ("plots",),
    ("training",),
    ("cli",),
    COMMANDS,
    ("benchmarks",),
)
FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
WITHOUT_TORCH = {"face68", "datasets"}
LIBRARY_NEEDS = {"numpy", "cv2", "PIL", "tqdm", "onnxruntime", "av"}
FILES = sorted(
    path for path in REPOSITORY.rglob("*.py") if path.relative_to(REPOSITORY).parts[0].removesuffix(".py") in FLOOR_OF
)


def imports_of(path: Path) -> dict[str, int]:
    """The modules that a file imports, wherever in it, and the lines."""
    found = {}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name: node.lineno for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            found[node.module] = node.lineno
    return found


def name_of(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


def test_every_file_has_a_floor():
    rooms = {path.relative_to(REPOSITORY).parts[0].removesuffix(".py") for path in FILES}
    assert rooms == set(FLOOR_OF)
    assert {path.stem for path in REPOSITORY.glob("*.py")} <= set(FLOOR_OF)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_go_down(path):
    room = path.relative_to(REPOSITORY).parts[0].removesuffix(".py")
    for module, line in imports_of(path).items():
        other = module.partition(".")[0]
        if other in FLOOR_OF and other != room:
            below = FLOOR_OF[other] < FLOOR_OF[room]
            beside = FLOOR_OF[other] == FLOOR_OF[room] and room not in COMMANDS
            assert below or beside, f"{name_of(path)}:{line} imports {module}, which is above it"


@pytest.mark.parametrize("path", [path for path in FILES if name_of(path).split("/")[0] in WITHOUT_TORCH], ids=name_of)
def test_the_lower_floors_know_no_torch(path):
    others = {module.partition(".")[0] for module in imports_of(path)}
    assert not others & {"torch", "torchvision"}
    if name_of(path).startswith("face68/"):
        assert others <= LIBRARY_NEEDS | {"face68"} | sys.stdlib_module_names


def test_an_example_knows_the_library_and_what_it_is_about():
    for path in REPOSITORY.glob("examples/*.py"):
        others = {module.partition(".")[0] for module in imports_of(path)}
        assert (
            others
            <= LIBRARY_NEEDS
            | {"ray", "filelock", "fastapi", "starlette", "uvicorn", "gradio", "face68"}
            | sys.stdlib_module_names
        ), path


def test_there_is_no_circle():
    """Within a floor, as between floors."""
    modules = {name_of(path).removesuffix(".py").removesuffix("/__init__").replace("/", "."): path for path in FILES}
    seen, path = set(), []

    def visit(module):
        assert module not in path, " → ".join([*path[path.index(module) :], module])
        if module in seen:
            return
        path.append(module)
        for node in ast.walk(ast.parse(modules[module].read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):  # `from package import module` names a module
                names = [f"{node.module}.{alias.name}" for alias in node.names]
                names = [name if name in modules else node.module for name in names]
            for name in sorted({*names} & {*modules}):
                visit(name)
        path.pop()
        seen.add(module)

    for module in modules:
        visit(module)


@pytest.mark.parametrize("module", COMMANDS)
def test_a_command_has_its_lines_in_its_docstring(module):
    text = (REPOSITORY / f"{module}.py").read_text(encoding="utf-8")
    assert f"python {module}.py" in ast.get_docstring(ast.parse(text))
