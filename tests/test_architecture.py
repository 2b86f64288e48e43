"""Imports point one way, heavy libraries stay in their folders, and no name is used twice."""

import ast
import functools
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "scaling"
MODULES = sorted(PACKAGE.rglob("*.py"))

# Folders in order: each may import only earlier ones. The two islands must not import each other.
RANKS = [
    "_version",
    "units",
    "errors",
    "files",
    "sweep",
    "tables",
    "data",
    "ledger",
    "laws",
    "fitting",
    "allocation",
    "compare",
    "design",
    "words",
    "terminal",
    "report",
    "training",
    "orchestration",
    "trackers",
    "workflow",
    "notebook",
    "verbs",
    "cli",
    "__main__",
]
ISLANDS = ({"training", "orchestration"}, {"laws", "fitting", "allocation", "compare", "design"})
ROOMS = {
    "torch": {"training", "sweep/families"},
    "ray": {"orchestration"},
    "scipy": {"fitting"},
    "matplotlib": {"report", "notebook"},
    "pyarrow": {"tables/parquet_rows.py", "data/columnar.py"},
    "datasets": {"data/columnar.py"},
    "tokenizers": {"data/tokenizers.py"},
    "transformers": {"training/huggingface"},
    "safetensors": {"training/huggingface/files.py"},
    "pydantic": {"sweep"},
    "yaml": {"sweep/strict_yaml.py"},
    "click": {"cli.py", "verbs"},
    "rich": {"orchestration"},
    "wandb": {"trackers/offline_wandb.py"},
    "mlflow": {"trackers/local_mlflow.py"},
    "jinja2": {"report"},
}


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@functools.cache  # every file is parsed once, although each library asks for all
def imports_of(path: Path) -> set[str]:
    """Every module that a file imports anywhere, also for type checking."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            found |= {arg.value for arg in node.args if isinstance(arg, ast.Constant)}
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path: Path) -> None:
    here = room_of(path)
    if here == "__init__":  # public names, loaded lazily; tested in tests/test_api.py
        return
    for name in imports_of(path):
        if not name.startswith("scaling."):
            continue
        there = name.split(".")[1]
        assert there == here or RANKS.index(there) < RANKS.index(here), f"{path} imports {name}"
        for island in ISLANDS:
            other = ISLANDS[1] if island is ISLANDS[0] else ISLANDS[0]
            assert not (here in island and there in other), f"{path} crosses over to {name}"


def name_module(path: Path) -> str:
    dotted = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    return dotted.removesuffix(".__init__")


def test_there_are_no_import_cycles() -> None:
    graph: dict[str, set[str]] = {name_module(path): set() for path in MODULES}
    for path in MODULES:
        here = name_module(path)
        for name in imports_of(path):  # a module, or a name in one
            graph[here] |= {name, name.rpartition(".")[0]} & graph.keys() - {here}
    order = tuple(graphlib.TopologicalSorter(graph).static_order())  # CycleError names the cycle
    assert set(order) == set(graph)


def test_folders_are_those_ranked_and_few_files_are_at_the_root() -> None:
    rooms = {room_of(path) for path in MODULES if room_of(path) != "__init__"}
    assert rooms == set(RANKS)
    text = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    tree = text.partition("scaling/\n  ")[2].partition("```")[0]
    assert [line.split()[0].strip("/").removesuffix(".py") for line in tree.splitlines()] == RANKS
    assert len([path for path in MODULES if path.parent == PACKAGE]) <= 6


def test_no_file_has_more_than_500_lines() -> None:
    long = {path: len(path.read_text().splitlines()) for path in MODULES}
    assert {path: lines for path, lines in long.items() if lines > 500} == {}


@pytest.mark.parametrize("library", ROOMS)
def test_libraries_are_imported_only_in_their_folders(library: str) -> None:
    users = {
        path.relative_to(PACKAGE).as_posix()
        for path in MODULES
        if any(name.split(".")[0] == library for name in imports_of(path))
    }
    assert users, f"nobody imports {library}: drop the dependency"
    strangers = {
        user
        for user in users
        if not any(user == room or user.startswith(f"{room}/") for room in ROOMS[library])
    }
    assert not strangers


def test_no_module_and_public_function_share_a_name() -> None:
    modules = {path.stem for path in MODULES}
    functions = {
        node.name: path
        for path in MODULES
        if room_of(path) not in {"cli", "verbs"}  # click passes options as arguments
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    }
    assert modules.isdisjoint(functions), modules & functions.keys()


HEAVY = {"torch", "ray", "scipy", "matplotlib", "pandas", "pyarrow", "datasets", "tokenizers"}


@pytest.mark.parametrize(
    "statement",
    [
        "import scaling",
        "import scaling.cli",
        "import scaling.fitting.fitted, scaling.fitting.store, scaling.allocation",
        "import scaling.workflow.stored, scaling.sweep.families.registry",
    ],
)
def test_importing_loads_nothing_heavy(statement: str) -> None:
    code = f"{statement}; import sys; print(sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
