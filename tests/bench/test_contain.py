"""Calls in a process of their own: whatever becomes of one, the program gets a value or one line, and goes on."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from interrupts import interrupt, start, wait_until

from deploykit import env
from deploykit.bench import contain
from deploykit.bench.contain import contained
from deploykit.errors import BuildFailed, InvalidModel, MissingDependency, UnknownName

PLUGIN = Path(__file__).parent / "plugin"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def calls(plugin, monkeypatch):
    """The functions to call, found here and there; what answers them serves the next test too."""
    monkeypatch.syspath_prepend(PLUGIN)
    import deploykit_calls

    yield deploykit_calls
    contain.limit_time(None)
    contain.limit_memory(None)


def do(function, *arguments, **options):
    return contained(function, *arguments, doing="reading net.onnx", failed=InvalidModel, **options)


def ended(pid: int) -> bool:
    """Whether a process is gone, or waits for nothing but its parent's notice."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_call_sees_what_the_caller_sees_in_a_process_of_its_own(calls, monkeypatch, tmp_path):
    first = do(calls.look, "SEEN")
    monkeypatch.chdir(tmp_path)
    second = do(calls.look, "SEEN")
    assert second.folder == tmp_path
    assert len({os.getpid(), first.pid, second.pid, first.parent}) == 4
    assert first.parent == second.parent  # what is imported once serves all calls
    monkeypatch.setenv("SEEN", "now")
    assert (first.variable, do(calls.look, "SEEN").variable) == (None, "now")
    assert first.session != os.getsid(0)  # Ctrl-C reaches the program alone


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "crash",
            r"ended in a crash \(SIGSEGV\): in kernel.cc:7; the file is damaged or meets a fault",
        ),
        ("leave", "ended with status 7; the file is damaged or meets a fault"),
        ("be_ended", r"was ended from outside \(SIGTERM\); run it again"),
    ],
)
def test_a_death_is_one_line_and_the_next_call_is_answered(calls, name, said):
    with pytest.raises(InvalidModel, match=f"^reading net.onnx {said}"):
        do(getattr(calls, name))
    assert do(calls.chat) == "said"


def test_a_call_that_takes_too_long_is_given_up_with_all_that_it_started(calls, tmp_path):
    note = tmp_path / "note"
    limit_s = 1.0
    while not note.exists() or not note.read_text():  # a busy machine needs longer until it hangs
        limit_s *= 2
        contain.limit_time(limit_s)
        with pytest.raises(
            InvalidModel, match=f"not done after {limit_s:g} s; raise --build-timeout"
        ):
            do(calls.hang, note)
    assert all(ended(int(pid)) for pid in note.read_text().split())


def test_a_search_may_take_longer_than_each_of_its_conversions(calls, monkeypatch):
    limits_s = []
    ask = contain._ask

    def asked(call, *rest):
        limits_s.append(call.limit_s)
        return ask(call, *rest)

    monkeypatch.setattr(contain, "_ask", asked)
    with contain.limiting_time(60.0):
        do(calls.chat, beside_s=900.0)
        do(calls.chat)
    do(calls.chat, limit_s=300.0)
    assert limits_s == [960.0, 60.0, 300.0]


def test_a_call_that_takes_more_memory_than_is_left_is_given_up(calls, monkeypatch):
    monkeypatch.setattr(env, "memory_left_bytes", lambda: 2**27)
    with pytest.raises(
        InvalidModel, match=r"took more than the 0\.112 GiB of memory that were left; take a"
    ):
        do(calls.take_memory, 2**29)


def test_a_call_may_be_given_less_memory_than_is_left(calls):
    most_bytes = 2**27
    contain.limit_memory(most_bytes)
    assert (
        0 < do(calls.memory_left) <= most_bytes
    )  # what is too large is refused before it is taken
    with pytest.raises(InvalidModel, match=r"took more than the 0\.125 GiB of memory"):
        do(calls.take_memory, 2**29)
    contain.limit_memory(None)
    assert do(calls.memory_left) > most_bytes


def test_errors_keep_class_text_and_code(calls, monkeypatch, tmp_path):
    with pytest.raises(UnknownName, match="unknown model 'lenet': did you mean lenet5") as caught:
        do(calls.find, "lenet")
    assert (caught.value.known, caught.value.exit_code) == (["lenet5"], 2)
    with pytest.raises(MissingDependency, match="no such package; install it"):
        do(calls.miss)
    with pytest.raises(BuildFailed, match="not enough memory \\(Unable to allocate 9 TiB\\)"):
        do(calls.exhaust)
    with pytest.raises(OSError, match="No space left") as full:
        do(calls.fill_disk, tmp_path)
    assert (full.value.errno, full.value.filename) == (28, str(tmp_path))
    fault = r"net\.onnx met a fault of deploykit .*UnicodeDecode"
    with pytest.raises(InvalidModel, match=f"^reading {fault}"):  # the file is what is refused
        do(calls.fail)
    with pytest.raises(BuildFailed, match=f"^building {fault}"):
        contained(calls.fail, doing="building net.onnx", failed=BuildFailed)
    with pytest.raises(
        InvalidModel, match=r"^reading net\.onnx: ONNX Runtime refuses the graph: .*no\.onnx"
    ):
        do(calls.ask_runtime)
    monkeypatch.setenv("DEPLOYKIT_TRACEBACK", "1")
    with pytest.raises(RuntimeError, match="UnicodeDecodeError") as unforeseen:
        do(calls.fail)
    assert "in fail" in unforeseen.value.__notes__[0]


def test_what_a_call_reports_reaches_the_caller_as_it_goes_on(calls):
    said = []
    assert do(calls.report, 3, say=said.append) == 3
    assert said == ["step 0", "step 1", "step 2"]
    with contain.in_place():
        assert do(calls.report, 1, say=said.append) == 1
    assert said[3:] == ["step 0"]


def test_what_one_call_had_to_import_is_there_for_the_next(calls):
    contain.close()  # by another test's call it may be there already
    assert not do(calls.look, "").pillow
    do(calls.need_pillow)
    assert do(calls.look, "").pillow


def test_the_thread_that_made_the_first_call_may_end(calls):
    seen = []
    thread = threading.Thread(target=lambda: seen.append(do(calls.look, "")))
    thread.start()
    thread.join()
    assert do(calls.look, "").parent == seen[0].parent


def test_a_fork_of_the_program_has_a_maker_of_its_own(calls):
    before = do(calls.look, "").parent
    read_end, write_end = os.pipe()
    fork = os.fork()
    if fork == 0:
        try:
            os.write(write_end, str(do(calls.look, "").parent).encode())
            contain.close()
        finally:
            os._exit(0)
    os.waitpid(fork, 0)
    assert int(os.read(read_end, 20)) != before
    os.close(read_end)
    os.close(write_end)
    assert do(calls.look, "").parent == before


@pytest.fixture
def program(calls, tmp_path):
    """A program that hangs in a call; given with the processes of the call once it does."""
    script = tmp_path / "program.py"  # without a guard: no other process may run it again
    script.write_text(
        "import pathlib, sys\n"
        f"sys.path.insert(0, {str(PLUGIN)!r})\n"
        "import deploykit_calls\n"
        "from deploykit.bench.contain import contained\n"
        "from deploykit.errors import BuildFailed\n"
        "print('runs', flush=True)\n"
        "contained(deploykit_calls.hang, pathlib.Path(sys.argv[1]), doing='it', failed=BuildFailed)\n"
    )
    paths = os.pathsep.join([str(ROOT), os.environ["PYTHONPATH"]])
    note = tmp_path / "note"
    process = start(
        [sys.executable, str(script), str(note)],
        env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    pids = wait_until(lambda: note.exists() and note.read_text().split(), process)
    yield process, [int(pid) for pid in pids]
    process.kill()
    process.communicate()


def test_ctrl_c_ends_the_call_and_all_that_it_started(program):
    process, pids = program
    out, err = interrupt(process)
    assert out == "runs\n"
    assert "KeyboardInterrupt" in err
    assert all(map(ended, pids))


def test_a_program_that_is_killed_leaves_nothing(program):
    process, pids = program
    process.kill()
    process.wait()
    wait_until(lambda: all(map(ended, pids)))


def test_a_program_that_is_killed_while_its_maker_imports_leaves_nothing(calls, tmp_path):
    code = "import os; from deploykit.bench import contain; contain.start(); "
    code += "print(contain._maker.channel._process.pid, flush=True); os.kill(os.getpid(), 9)"
    paths = os.pathsep.join([str(ROOT), os.environ["PYTHONPATH"]])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    wait_until(lambda: ended(int(done.stdout)))


#: What parses a graph, and the functions that call it and run only in calls of `contained` without being one.
PARSES = frozenset(
    "onnx.load parse read_source read_model read_inlined load_model open_model GraphView".split()
)
RUN_BY_A_CALL = frozenset({"layers_by_snr", "check_finite"})


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem)
        for part in ("workflow", "cli", "api")
        for path in sorted((ROOT / "deploykit" / part).glob("*.py"))
    ],
)
def test_commands_parse_graphs_in_contained_calls_alone(path):
    tree = ast.parse(path.read_text())
    contained_here = {
        node.args[0].id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.args[0] if node.args else None, ast.Name)
        and ast.unparse(node.func).rpartition(".")[2] == "contained"
    }
    parsing = {
        function.name
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in PARSES
    }
    assert parsing <= contained_here | RUN_BY_A_CALL
