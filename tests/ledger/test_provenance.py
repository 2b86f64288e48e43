"""A result records what computed it; older results stay readable, and their seals valid."""

import json
import platform
import subprocess
from pathlib import Path

import pytest

from scaling.files.sealed import seal_document
from scaling.ledger import provenance
from scaling.ledger.commit import Ledger
from scaling.ledger.documents import read_result

REPOSITORY = Path(__file__).parents[2]
CODE = REPOSITORY / "results" / "code"


def test_results_of_older_versions_are_read_and_their_seals_hold() -> None:
    stored = Ledger.open(CODE).read_results()
    assert stored.damaged == ()
    assert {one.versions for one in stored.results.values()} == {None}


def test_versions_are_sealed_and_change_no_run_id() -> None:
    path = next(CODE.glob("runs/*/result.json"))
    body = json.loads(path.read_text())
    del body["sha256"]
    versions = provenance.describe_versions()
    sealed = json.loads(seal_document(body | {"versions": versions}))
    result, _ = read_result(sealed, path.parent.name)
    assert result.versions == versions
    assert result.run.run_id == path.parent.name


def test_the_versions_are_those_of_this_process() -> None:
    versions = provenance.describe_versions()
    assert versions["python"] == platform.python_version()
    assert {"scaling", "source", "numpy", "torch", "processor", "system"} <= versions.keys()
    asked = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=REPOSITORY, capture_output=True, text=True
    )
    if asked.returncode == 0:
        assert versions["commit"] == asked.stdout.strip()


@pytest.mark.parametrize("kind", ["detached", "branch", "packed", "worktree", "none", "odd"])
def test_the_commit_is_read_without_git(tmp_path: Path, kind: str) -> None:
    commit = "0123456789abcdef" * 2 + "01234567"
    git = tmp_path / ".git"
    home = tmp_path / "home" if kind == "worktree" else git
    head = commit if kind == "detached" else "ref: refs/heads/main"
    if kind != "none":
        (home / "refs" / "heads").mkdir(parents=True)
        (home / "HEAD").write_text(head + "\n")
    if kind in ("branch", "odd"):
        (home / "refs" / "heads" / "main").write_text("odd" if kind == "odd" else commit + "\n")
    if kind == "packed":
        (home / "packed-refs").write_text(f"# pack-refs\n{commit} refs/heads/main\n")
    if kind == "worktree":
        own = home / "worktrees" / "a"
        own.mkdir(parents=True)
        (own / "HEAD").write_text(head)
        (own / "commondir").write_text("../..\n")
        (home / "refs" / "heads" / "main").write_text(commit)
        git.write_text(f"gitdir: {own}\n")
    found = provenance._read_head(tmp_path)
    assert found == ("" if kind in ("none", "odd") else commit)
