"""What the set-up decides; the set-up itself is what has made the environment these tests run in."""

import importlib.util
import io
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "installer" / "from_source.py"
MADE_BY_PYTHON_3_11 = "home = /usr/bin\nversion = 3.11.2\n"

spec = importlib.util.spec_from_file_location("from_source", SCRIPT)
from_source = importlib.util.module_from_spec(spec)
spec.loader.exec_module(from_source)


def state(project: bytes = b"as it is", extra: str = "") -> dict[str, str]:
    return from_source.wanted_state(project, extra)


def run_script(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True)


def test_the_pythons_it_takes_are_those_of_the_project():
    project = tomllib.loads((SCRIPT.parents[1] / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == ">=3.11,<3.13"
    assert [from_source.python_problem(version) for version in ((3, 11), (3, 12))] == [None, None]
    for version in ((3, 10), (3, 13)):
        assert "is needed" in from_source.python_problem(version)


def test_nothing_is_installed_twice():
    assert from_source.is_satisfied(state(), state())
    assert from_source.is_satisfied(state(extra="dev"), state(extra="dev"))


def test_an_environment_for_testing_also_runs_the_program_but_not_the_other_way_round():
    assert from_source.is_satisfied(state(extra="dev"), state())
    assert not from_source.is_satisfied(state(), state(extra="dev"))


def test_a_changed_project_is_installed_again():
    assert not from_source.is_satisfied(state(project=b"as it was"), state())


@pytest.mark.parametrize("unknown", [None, from_source.UNFINISHED, {}, []])
def test_an_unknown_state_satisfies_nothing(unknown):
    assert not from_source.is_satisfied(unknown, state())


def must_start_afresh(found, pyvenv_cfg: str = MADE_BY_PYTHON_3_11, python: str = "3.11.7") -> bool:
    return from_source.must_start_afresh(found, {**state(), "python": python}, pyvenv_cfg)


def test_a_changed_project_keeps_the_environment_it_has():
    assert not must_start_afresh(state(project=b"as it was"))


def test_an_environment_made_by_hand_is_kept():
    assert not must_start_afresh(None)


def test_a_half_installed_environment_is_made_afresh():
    assert must_start_afresh(from_source.UNFINISHED)


def test_an_environment_that_was_moved_is_made_afresh():
    assert must_start_afresh({**state(), "place": "elsewhere"})


def test_an_environment_of_another_python_or_of_none_is_made_afresh():
    assert must_start_afresh(state(), python="3.12.1")
    assert must_start_afresh(state(), "version = 3.1.5\n")
    assert must_start_afresh(state(), "")


def test_a_damaged_state_file_counts_as_unfinished():
    assert from_source.read_state(io.StringIO('{"python": ')) == from_source.UNFINISHED


def test_a_written_state_is_read_back_whole(tmp_path):
    with from_source.locked(tmp_path / "state") as file:
        from_source.write_state(file, from_source.UNFINISHED)
        from_source.write_state(file, state())
    with from_source.locked(tmp_path / "state") as file:
        assert from_source.read_state(file) == state()


@pytest.mark.skipif(from_source.fcntl is None, reason="only POSIX keeps two set-ups apart")
def test_a_second_set_up_finds_the_first_ones_lock(tmp_path):
    with (
        from_source.locked(tmp_path / "state"),
        (tmp_path / "state").open("a+") as second,
        pytest.raises(BlockingIOError),
    ):
        from_source.fcntl.flock(second, from_source.fcntl.LOCK_EX | from_source.fcntl.LOCK_NB)


def test_clearing_removes_everything_but_the_state(tmp_path, monkeypatch):
    monkeypatch.setattr(from_source, "ENVIRONMENT", tmp_path)
    (tmp_path / "lib" / "python3.11").mkdir(parents=True)
    (tmp_path / "lib64").symlink_to("lib")
    (tmp_path / "pyvenv.cfg").write_text("")
    (tmp_path / from_source.STATE_FILE).write_text("")
    from_source.remove_all_but_state()
    assert [entry.name for entry in tmp_path.iterdir()] == [from_source.STATE_FILE]


def test_a_failed_step_shows_the_end_of_its_output_without_remarks_on_folders(tmp_path):
    lines = [*map(str, range(20)), "WARNING: Location 'file:///nowhere/x' is ignored: it is no folder.", "", "the end"]
    with (
        from_source.locked(tmp_path / "state") as file,
        pytest.raises(SystemExit, match="the next start tries again") as stopped,
    ):
        from_source.run_step([sys.executable, "-c", f"print({chr(10).join(lines)!r}); exit(1)"], file)
    shown = str(stopped.value).splitlines()[1:]
    assert [line.strip() for line in shown] == [*map(str, range(6, 20)), "the end"]


@pytest.mark.parametrize("arguments", [[], ["walk"], ["--help"]])
def test_anything_but_run_and_test_is_answered_with_the_usage(arguments):
    result = run_script(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("Usage: ")


def test_the_program_gets_the_exit_code_arguments_and_environment_through(tmp_path, monkeypatch):
    script = (
        "import importlib.util, pathlib, sys\n"
        f"spec = importlib.util.spec_from_file_location('from_source', {str(SCRIPT)!r})\n"
        "module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module)\n"
        "module.ENVIRONMENT_PYTHON = pathlib.Path(sys.executable)\n"
        "program = 'import os, sys; print(sys.argv[1:], os.environ[\"OMP_NUM_THREADS\"]); sys.exit(75)'\n"
        "module.start(['-c', program, 'two words', '-x'], {**__import__('os').environ, 'OMP_NUM_THREADS': '1'})\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=dict(os.environ))
    assert (result.returncode, result.stdout) == (75, "['two words', '-x'] 1\n")
