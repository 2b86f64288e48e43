"""ruff and mypy --strict pass, and stored data is never executed."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
FORBIDDEN = {"eval", "exec", "yaml.load", "pickle.load", "pickle.loads", "torch.jit.load"}


@pytest.mark.parametrize(
    "words",
    [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy"],
    ],
    ids=" ".join,
)
def test_linter_passes(words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *words], capture_output=True, text=True, cwd=REPOSITORY
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_stored_is_executed() -> None:
    for path in (REPOSITORY / "scaling").rglob("*.py"):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                assert name not in FORBIDDEN, f"{path}:{node.lineno}: {name}"
                if name == "torch.load":
                    assert "weights_only=True" in ast.unparse(node), f"{path}:{node.lineno}"
                if name == "np.load":
                    assert "allow_pickle" not in ast.unparse(node), f"{path}:{node.lineno}"
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                assert "pickle" not in ast.unparse(node), f"{path}:{node.lineno}"
