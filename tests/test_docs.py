"""Keys, links, commands and outputs in docs/ agree with the repository."""

import dataclasses
import inspect
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import REPOSITORY, call, start

import scaling.cli
from scaling.cli import cli
from tools.api_page import list_entries, split_docstring, write_api_page
from tools.commands_page import write_command_page
from tools.key_page import write_key_page
from tools.laws_table import write_laws_table
from tools.tables_page import write_table_page

DOCS = REPOSITORY / "docs"
PAGES = sorted(DOCS.glob("*.md"))
NUMBER = r"\d+(?:\.\d+)?(?:e[+-]?\d+)?"


def list_commands(text: str) -> Iterator[list[str]]:
    """The words of every `scaling ...` line in the fenced blocks of a page."""
    for block in re.findall(r"```\w*\n(.*?)```", text, flags=re.S):
        for line in block.replace("\\\n", " ").splitlines():
            words = line.removeprefix("$ ").split("#")[0].split()
            if words[:1] == ["scaling"]:
                yield words[1:]


def run_shown(page: str, cwd: Path) -> Iterator[tuple[str, str, str]]:
    """(command, output shown, output now) of every `$ scaling` block."""
    for command, shown in re.findall(r"```\n\$ scaling (.*?)\n(.*?)```", page, flags=re.S):
        done = start(*command.split(), cwd=cwd)
        # Long stages print their name there ("fitting 35 runs …"), more often on a slow machine.
        failed = [line for line in done.errors.splitlines() if not line.endswith(" …")]
        said = done.out if done.code == 0 else "\n".join(failed)
        yield command, shown.strip(), said.strip()


def assert_same_but_for_rounding(said: str, shown: str, *, rel: float) -> None:
    """Processors round differently: the last of the two or three digits shown may differ."""
    assert re.sub(NUMBER, "#", said) == re.sub(NUMBER, "#", shown)
    values = [[float(one) for one in re.findall(NUMBER, text)] for text in (said, shown)]
    assert values[0] == pytest.approx(values[1], rel=rel)


GENERATED = {
    "sweep-file.md": (write_key_page, "key_page"),
    "tables.md": (write_table_page, "tables_page"),
    "commands.md": (write_command_page, "commands_page"),
    "api.md": (write_api_page, "api_page"),
}


@pytest.mark.parametrize("name", GENERATED)
def test_a_generated_page_agrees_with_the_code(name: str) -> None:
    write, tool = GENERATED[name]
    seen = (DOCS / name).read_text(encoding="utf-8")
    assert seen == write(), f"python -m tools.{tool} > docs/{name}"


def test_the_page_of_commands_has_every_verb_and_exit_code() -> None:
    seen = (DOCS / "commands.md").read_text(encoding="utf-8")
    assert re.findall(r"^## scaling ([\w-]+)$", seen, flags=re.M) == list(cli.commands)
    _, _, said = (scaling.cli.__doc__ or "").partition("Exit codes:")
    codes = re.findall(r"^\| (\d+) \| ", seen.partition("## Exit codes")[2], flags=re.M)
    assert codes == re.findall(r"\d+", said)


def test_the_page_of_python_has_every_public_name() -> None:
    seen = (DOCS / "api.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^### `(\w+)`$", seen, flags=re.M)) == sorted(scaling.__all__)


@pytest.mark.parametrize("name", scaling.__all__)
def test_a_public_docstring_documents_every_argument_and_the_return(name: str) -> None:
    thing = getattr(scaling, name)
    is_function = inspect.isfunction(thing)
    if not (is_function or dataclasses.is_dataclass(thing)):
        return
    sections = split_docstring(thing)
    listed = list_entries(sections["Args" if is_function else "Attributes"])
    named = {one.strip() for names, _ in listed for one in names.split(",")}
    assert set(inspect.signature(thing).parameters) - named == set()
    assert not is_function or "Returns" in sections


def test_answers_to_frequent_questions_are_short_and_link_further() -> None:
    _, *answers = re.split(r"^## .*\n\n", (DOCS / "faq.md").read_text(), flags=re.M)
    assert len(answers) >= 12
    for answer in answers:
        assert len(answer.strip().splitlines()) <= 6, answer
        assert "](" in answer or "`" in answer, answer


def test_the_table_of_laws_agrees_with_the_laws() -> None:
    seen = (REPOSITORY / "docs" / "science.md").read_text()
    assert write_laws_table() in seen, "python -m tools.laws_table"


@pytest.mark.parametrize(
    "path",
    [REPOSITORY / "README.md", *sorted(DOCS.rglob("*.md"))],
    ids=lambda path: path.relative_to(REPOSITORY).as_posix(),
)
def test_links_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("folder", [".", "decisions", "measurements"])
def test_every_page_is_in_its_index(folder: str) -> None:
    index = (DOCS / folder / "README.md").read_text(encoding="utf-8")
    others = [path.name for path in (DOCS / folder).glob("*.[mi][dp]*") if path.name != "README.md"]
    assert [name for name in others if f"]({name})" not in index] == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_commands_name_verbs_and_options_that_exist(path: Path) -> None:
    for words in list_commands(path.read_text(encoding="utf-8")):
        verb = cli.commands.get(words[0])
        assert verb is not None, words
        known = {option for parameter in verb.params for option in parameter.opts}
        asked = {word.split("=")[0] for word in words if word.startswith("--")}
        assert asked <= known, words


def test_the_tutorials_sweep_is_what_init_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (DOCS / "tutorial.md").read_text(encoding="utf-8")
    shown = re.search(r"\$ head -4 sweeps/mine.yaml\n(.*?)```", page, flags=re.S)
    (words,) = (words for words in list_commands(page) if words[0] == "init")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps" / "schema.json").touch()
    assert call(*words).code == 0
    written = (tmp_path / "sweeps" / "mine.yaml").read_text(encoding="utf-8")
    assert shown is not None
    assert shown[1].splitlines() == written.splitlines()[:4]


@pytest.mark.slow
def test_the_page_on_trust_shows_how_the_tool_fails(tmp_path: Path) -> None:
    page = (DOCS / "trust.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", page, flags=re.S)
    assert code is not None
    done = subprocess.run(
        [sys.executable, "-c", code[1]], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert done.stdout.strip() in page
    compared = list(run_shown(page, tmp_path))
    assert len(compared) == 7
    for _, shown, said in compared:
        assert_same_but_for_rounding(said, shown, rel=0.05)


@pytest.fixture
def walk(tmp_path: Path) -> Path:
    """The folder in which the walk-through at real scale is followed."""
    page = (DOCS / "real-scale.md").read_text(encoding="utf-8")
    sweep = re.search(r"```yaml\n(.*?)```", page, flags=re.S)
    assert sweep is not None
    (tmp_path / "mine.yaml").write_text(sweep[1])
    (tmp_path / "train.py").touch()
    (tmp_path / "docs").mkdir()
    shutil.copy(DOCS / "real-scale.csv", tmp_path / "docs")
    return tmp_path


def follow(folder: Path, containing: str) -> Iterator[tuple[str, str, str]]:
    """(command, output shown, output now) of the blocks of the walk-through, in their order."""
    page = (DOCS / "real-scale.md").read_text(encoding="utf-8")
    shim = f'scaling() {{ "{sys.executable}" -m scaling "$@"; }}; '
    for command, shown in re.findall(r"```\n\$ (.*?)\n(.*?)```", page, flags=re.S):
        if containing in command:
            done = subprocess.run(
                ["sh", "-c", shim + command], capture_output=True, text=True, cwd=folder
            )
            yield command, shown.strip(), done.stdout.strip()


def test_the_plans_in_the_walk_through_are_reproduced(walk: Path) -> None:
    compared = list(follow(walk, "scaling plan"))
    assert len(compared) == 3
    for command, shown, said in compared:
        assert said == shown, command


@pytest.mark.slow
def test_the_answers_in_the_walk_through_are_reproduced(walk: Path) -> None:
    compared = list(follow(walk, "s"))
    assert len(compared) == 11
    for _, shown, said in compared:
        assert_same_but_for_rounding(said, shown, rel=0.05)


@pytest.mark.slow
def test_the_notebook_runs() -> None:
    nbclient = pytest.importorskip("nbclient", reason="nbclient is in the extra dev")
    nbformat = pytest.importorskip("nbformat")
    notebook = nbformat.read(DOCS / "quickstart.ipynb", as_version=4)
    nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(DOCS)}}
    ).execute()
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    assert any("48 runs" in out.get("text", "") for out in outputs)
