"""Every promise of SECURITY.md that can be tested without a browser or a network."""

import ast
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from commands import CODE, REPOSITORY, start, write_table

from scaling.ledger.sweep_table import render_index
from scaling.workflow.stored import open_results

# --- nothing stored is executed ---------------------------------------------------------------

FORBIDDEN_CALLS = {
    *("eval", "exec", "compile", "__import__"),
    *("yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load"),
    *("pd.read_pickle", "pandas.read_pickle", "torch.jit.load", "torch.package.PackageImporter"),
    *("os.system", "os.popen", "runpy.run_path", "runpy.run_module"),
}
FORBIDDEN_MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "shelve", "marshal"}
FORBIDDEN_MODULES |= {"joblib", "jsonpickle", "code", "imp"}


def list_dangers(source: str) -> Iterator[str]:
    """Calls in a source file that could execute the data they read."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            names = []
        yield from (name for name in names if name.split(".")[-1] in FORBIDDEN_MODULES)
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        arguments = {one.arg: ast.unparse(one.value) for one in node.keywords if one.arg}
        if name in FORBIDDEN_CALLS:
            yield name
        if name == "torch.load" and arguments.get("weights_only") != "True":
            yield "torch.load without weights_only=True"
        if name.endswith("np.load") and arguments.get("allow_pickle", "False") != "False":
            yield "np.load(allow_pickle)"
        if arguments.get("shell", "False") != "False":
            yield f"{name}(shell=...)"
        if name.endswith("Environment") and arguments.get("autoescape", "True") != "True":
            yield "a template engine without autoescape"


@pytest.mark.parametrize("folder", ["scaling", "benchmarks"])
def test_no_source_file_could_execute_what_it_reads(folder: str) -> None:
    for path in (REPOSITORY / folder).rglob("*.py"):
        assert list(list_dangers(path.read_text())) == [], path


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from multiprocessing.reduction import pickle",
        "import ray.cloudpickle",
        "eval(text)",
        "yaml.load(text)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "subprocess.run(text, shell=True)",
        "Environment(autoescape=False)",
    ],
)
def test_the_lint_detects_each_dangerous_call(source: str) -> None:
    assert list(list_dangers(source))


# --- a stranger's results folder --------------------------------------------------------------

# Runs verbs in one process and records every file opened or listed outside the folder, every
# process started and every connection made. Opening a link with O_NOFOLLOW does not count.
RECORDER = """
import json, os, sys
outside, record = os.path.realpath(sys.argv[1]), os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT)
STARTS = ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.system", "os.fork")
def hook(event, args):
    said = None
    if event in ("open", "os.listdir", "os.scandir") and args and isinstance(args[0], (str, bytes)):
        path = os.path.abspath(os.fsdecode(args[0]))
        where = os.path.realpath(path)
        if event == "open" and isinstance(args[2], int) and args[2] & os.O_NOFOLLOW:
            where = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
        said = f"{event} {where}" if (where + "/").startswith(outside + "/") else None
    elif event in STARTS:
        said = f"{event} {args}"
    elif event in ("socket.connect", "socket.bind", "socket.getaddrinfo"):
        said = f"{event} {args[1:]}"
    if said:
        os.write(record, (said + "\\n").encode("utf-8", "replace"))
sys.addaudithook(hook)
from scaling.cli import main
codes = {}
for words in json.loads(sys.argv[3]):
    sys.argv = ["scaling", *words]
    try:
        main()
    except SystemExit as end:
        codes[" ".join(words[:1] + words[2:])] = end.code
print("CODES " + json.dumps(codes))
"""
SECRET = "secret-5d1c0b7e"
VERBS = (
    ("status", "FOLDER"),
    ("fit", "FOLDER", "--approach", "parametric", "--bootstrap", "20"),
    ("allocate", "FOLDER", "--flops", "1e11", "--no-bootstrap"),
    ("logs", "FOLDER", "RUN"),
    ("verify", "FOLDER"),
    ("report", "FOLDER"),
    ("retry", "FOLDER", "--failed"),
    ("cancel", "FOLDER", "RUN"),
    ("cancel", "FOLDER"),
    ("verify", "FOLDER", "--repair"),
)
# Places that do not hide each other are attacked together; places within a run one by one.
LAYERS = (
    (
        *("index/runs.csv", "fits/known", "term", ".lock", ".lock-holder", "cancelled"),
        *("trackers", "trunks", "runs/RUN", "runs/RUN/result.json", "runs/RUN/attempts"),
        *("runs/RUN/attempts/ATTEMPT", "runs/RUN/attempts/ATTEMPT/metrics.jsonl"),
        *("runs/RUN/attempts/ATTEMPT/log.txt", "runs/RUN/attempts/ATTEMPT/heartbeat"),
        "runs/RUN/attempts/ATTEMPT/failed.json",
    ),
    ("index", "fits"),
    ("runs",),
    ("sweep.yaml",),
    ("sweep.json",),
)


def make_link(path: Path, outside: Path) -> None:
    """Move the file outside, beside a secret, and link to it."""
    target = outside / path.name.lstrip(".")
    if path.exists():
        path.rename(target)
    else:
        target.write_text(SECRET)
    path.symlink_to(target)


def make_pipe(path: Path, outside: Path) -> None:
    """A pipe that nobody writes to."""
    _remove(path)
    os.mkfifo(path)


def make_huge(path: Path, outside: Path) -> None:
    """A sparse file of a terabyte, which takes no time unless it is read."""
    _remove(path)
    with path.open("wb") as file:
        file.truncate(2**40)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


def list_files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "layer"),
    [
        *((make_link, layer) for layer in LAYERS),
        *((make_pipe, layer) for layer in LAYERS[:2]),
        (make_huge, LAYERS[0]),
    ],
    ids=lambda one: one[0] if isinstance(one, tuple) else one.__name__,
)
def test_a_hostile_folder_opens_writes_and_starts_nothing_outside_it(
    tmp_path: Path, make: Callable[[Path, Path], None], layer: tuple[str, ...]
) -> None:
    folder, outside, record = (tmp_path / name for name in ("code", "outside", "record"))
    shutil.copytree(CODE, folder)
    (folder / "fits" / "known").mkdir(parents=True, exist_ok=True)
    outside.mkdir()
    (outside / "secret.txt").write_text(SECRET)
    runs = sorted((folder / "runs").iterdir())
    for place, run in zip(layer, runs, strict=False):
        attempt = json.loads((run / "result.json").read_text())["attempt_id"]
        make(folder / place.replace("RUN", run.name).replace("ATTEMPT", attempt), outside)
    before = list_files(outside)
    whole = [[w.replace("FOLDER", str(folder)).replace("RUN", runs[-1].name) for w in words]
             for words in VERBS]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", RECORDER, str(outside), str(record), json.dumps(whole)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=240,  # waiting for a pipe, or reading a terabyte, would take longer
    )
    assert "Traceback" not in done.stderr, done.stderr
    codes = json.loads(done.stdout.rpartition("CODES ")[2])
    assert set(codes.values()) <= {0, 2, 4, 5, 7}, done.stderr
    assert SECRET not in done.stdout + done.stderr
    assert record.read_text().splitlines() == []
    assert list_files(outside) == before


# --- the environment's secrets ----------------------------------------------------------------

CANARY = "canary-94be1c77"
SWEEP = """\
name: tiny
corpus: {source: text, paths: [words.txt]}
model: {seq_len: 32}
grid: {cells: [{params: 4e3, tokens: 3e4}, {params: 8e3, tokens: 3e4}]}
"""


def run_sweep(folder: Path, *words: str, prefix: tuple[str, ...] = ()) -> str:
    (folder / "tiny.yaml").write_text(SWEEP)
    rng = random.Random(0)
    text = ("".join(rng.choices("abcdefgh", k=rng.randint(2, 7))) for _ in range(40_000))
    (folder / "words.txt").write_text(" ".join(text))
    secrets = ("AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "WANDB_API_KEY", "PGPASSWORD", "MY_COMPANY_KEY")
    done = subprocess.run(
        [*prefix, sys.executable, "-m", "scaling", "run", "tiny.yaml", *words],
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | dict.fromkeys(secrets, CANARY) | {"PYTHONPATH": str(REPOSITORY)},
    )
    assert done.returncode in (0, 3, 4), done.stderr
    return done.stdout + done.stderr


def assert_no_canary(folder: Path, said: str) -> None:
    assert CANARY not in said
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert [path for path in files if CANARY.encode() in path.read_bytes()] == []


def test_secrets_of_the_environment_are_in_no_file_and_no_message(tmp_path: Path) -> None:
    said = run_sweep(tmp_path, "--executor", "inline")
    assert_no_canary(tmp_path, said)


UNPLUG = """
import fcntl, socket, struct, sys, os
# Bring up loopback; there is no other interface.
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    fcntl.ioctl(s, 0x8914, struct.pack("16sh14x", b"lo", 0x1 | 0x40))
try:
    socket.create_connection(("192.0.2.1", 80), timeout=5)
    sys.exit("the network is plugged in")
except OSError:
    os.execvp(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.slow
@pytest.mark.ray
def test_a_sweep_on_ray_passes_with_the_network_unplugged_and_keeps_secrets(tmp_path: Path) -> None:
    unshare = shutil.which("unshare")
    words = [unshare or "unshare", "--net", "--map-root-user"]
    if unshare is None or subprocess.run([*words, "true"], capture_output=True).returncode:
        pytest.skip("unshare --net is not permitted here")
    said = run_sweep(tmp_path, prefix=(*words, sys.executable, "-c", UNPLUG))
    assert "report: " in said
    assert_no_canary(tmp_path, said)


# --- tables and terminals ---------------------------------------------------------------------


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_of_a_table_begins_like_a_formula(start: str) -> None:
    from scaling.ledger.sweep_table import _guard_cell

    assert _guard_cell(f"{start}cmd()") == f"'{start}cmd()"
    assert _guard_cell(-1.5) == -1.5


def test_the_index_holds_no_text_that_a_spreadsheet_runs() -> None:
    stored = open_results(CODE)
    text = render_index(stored.ledger, stored.ledger.read_results(), stored.plan.cells)
    cells = [cell for line in text.splitlines() for cell in line.split(",")]
    assert [cell for cell in cells if cell[:1] in ("=", "+", "@")] == []


def test_names_in_a_table_or_folder_cannot_control_the_terminal(tmp_path: Path) -> None:
    hostile = "\x1b]0;owned\x07\x9b31m\u202e"
    grid = [(n, d) for n in (1e8, 2e8, 4e8, 8e8) for d in (2e9, 4e9, 8e9, 2e10)]
    losses = [1.7 + 400 / n**0.34 + 2000 / d**0.37 for n, d in grid]
    rows = [
        (n, d, loss, f"{hostile}-{copy}")
        for (n, d), loss in zip(grid, losses, strict=True)
        for copy in (1, 2)
    ]
    write_table(tmp_path / "runs.csv", rows, head=f"N,D,loss,{hostile}")
    shutil.copytree(CODE, tmp_path / "code")
    (tmp_path / "code" / "runs" / hostile).mkdir()
    for words in (
        ("fit", "runs.csv", "--columns", f"group={hostile}", "--no-bootstrap"),
        ("fit", "runs.csv", "--columns", f"run={hostile}", "--no-bootstrap"),
        ("fit", "runs.csv", "--columns", "N=absent"),
        ("fit", "code", "--no-bootstrap", "--approach", "parametric"),
        ("status", "code"),
        ("verify", "code"),
    ):
        done = start(*words, cwd=tmp_path)
        assert "Traceback" not in done.errors
        said = done.out + done.errors
        assert not any(one in said for one in ("\x1b", "\x07", "\x9b", "\u202e")), words
