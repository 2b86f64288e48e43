"""Claims about a fit on disk."""

import base64
import dataclasses
import hashlib
import json

import numpy as np
import pytest
from known_law import fit_law, simulate

from scaling.errors import EnvironmentFault, IntegrityError
from scaling.fitting.every_approach import fit_runs
from scaling.fitting.store import FORMAT_VERSION, read_fit, write_fit
from scaling.tables.run_table import make_table


def test_a_stored_fit_is_read_back_equal(tmp_path):
    fit = fit_runs(simulate(), bootstrap=50)
    write_fit(tmp_path / "deep" / "fit.json", fit)
    again = read_fit(tmp_path / "deep" / "fit.json")
    assert again == fit
    assert again.law is not None
    assert list(again.law.params) == list(fit.law.params)  # the draws' columns are in this order
    assert [one.name for one in (tmp_path / "deep").iterdir()] == ["fit.json"]


def test_a_stored_failed_fit_is_read_back_equal(tmp_path):
    fit = fit_runs(make_table([], [], loss=[]))
    write_fit(tmp_path / "fit.json", fit)
    assert read_fit(tmp_path / "fit.json") == fit


def test_an_edited_number_is_noticed(tmp_path):
    path = tmp_path / "fit.json"
    write_fit(path, fit_law(simulate()))
    fit = read_fit(path)
    assert fit.law is not None
    stated = json.dumps(fit.law.params["E"])
    path.write_text(path.read_text().replace(stated, json.dumps(fit.law.params["E"] + 1e-9)))
    with pytest.raises(IntegrityError, match="SHA-256; delete it and run"):
        read_fit(path)


def test_draws_that_are_not_numbers_are_refused(tmp_path):
    """Each file has the SHA-256 of its content, so that only the draws are at fault."""
    path = tmp_path / "fit.json"
    write_fit(path, dataclasses.replace(fit_law(simulate()), draws=((0.5,) * 5,) * 4))
    whole = json.loads(path.read_text())
    broken = base64.b64encode(np.full(5, np.nan).tobytes()).decode()
    for draws in ([5, broken], [3, whole["fit"]["draws"][1]], [5, "%%%"], [], "text", None):
        body = json.dumps(whole["fit"] | {"draws": draws}, separators=(",", ":"))
        head = whole | {"sha256": hashlib.sha256(body.encode()).hexdigest()}
        del head["fit"]
        path.write_text(f'{json.dumps(head, separators=(",", ":"))[:-1]},"fit":{body}}}')
        with pytest.raises(IntegrityError, match="not a stored fit"):
            read_fit(path)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": "other"}', "\xff"])
def test_a_file_that_is_not_a_fit_is_refused(tmp_path, text):
    path = tmp_path / "fit.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(IntegrityError, match="not a stored fit"):
        read_fit(path)


def test_a_stored_fit_is_one_json_document(tmp_path):
    fit = fit_law(simulate())
    write_fit(tmp_path / "fit.json", fit)
    whole = json.loads((tmp_path / "fit.json").read_text())
    assert whole["fit"]["law"]["params"] == dict(fit.law.params)


def test_another_version_is_refused(tmp_path):
    path = tmp_path / "fit.json"
    write_fit(path, fit_runs(make_table([], [], loss=[])))
    mine, other = (f'"version":{number}' for number in (FORMAT_VERSION, FORMAT_VERSION + 1))
    path.write_text(path.read_text().replace(mine, other))
    with pytest.raises(IntegrityError, match=f"version {FORMAT_VERSION + 1}"):
        read_fit(path)


def test_an_absent_fit_names_the_remedy(tmp_path):
    with pytest.raises(EnvironmentFault, match="scaling fit"):
        read_fit(tmp_path / "none.json")


def test_a_folder_that_cannot_be_written_is_an_environment_fault(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFault, match="cannot be written"):
        write_fit(tmp_path / "file" / "fit.json", fit_runs(make_table([], [], loss=[])))
