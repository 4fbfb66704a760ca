import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch

from distill.bench import processes
from distill.bench.processes import Task, run_tasks
from distill.core.errors import Interrupted, RecipeError
from distill.core.stopping import SIGNALS


def square(x: int) -> int:
    if x == 3:
        raise ValueError("three\nand more")
    if x == 4:
        raise RecipeError("data.train", "is missing")
    if x == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return x * x


def own_process(x: int) -> tuple[int, int]:
    time.sleep(0.05)
    return os.getpid(), torch.get_num_threads()


def wait_for_ever(folder: Path) -> None:
    (folder / str(os.getpid())).touch()
    time.sleep(60)


def tasks(*numbers: int) -> list[Task]:
    return [Task(x, square, (x,)) for x in numbers]


@pytest.fixture
def _forks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start processes as copies of this one: the server would import torch for ten seconds."""
    monkeypatch.setattr(processes, "_CONTEXT", _Forks())


class _Forks:
    Pipe = staticmethod(multiprocessing.Pipe)
    Process = staticmethod(multiprocessing.get_context("fork").Process)
    set_forkserver_preload = staticmethod(lambda modules: None)


@pytest.mark.usefixtures("_forks")
@pytest.mark.parametrize("jobs", [1, 3])
def test_a_task_that_fails_does_not_stop_the_others(jobs: int) -> None:
    found = {outcome.key: outcome for outcome in run_tasks(tasks(2, 3, 4, 6), jobs)}
    assert (found[2].value, found[6].value) == (4, 36)
    assert found[3].error == "ValueError: three"
    assert "in square" in found[3].traceback
    assert found[4].error == "data.train: is missing"


@pytest.mark.usefixtures("_forks")
def test_a_process_that_dies_is_a_task_that_failed() -> None:
    found = {outcome.key: outcome for outcome in run_tasks(tasks(5, 6), jobs=2)}
    assert found[5].error == "its process ended with exit code -9"
    assert found[6].value == 36


@pytest.mark.usefixtures("_forks")
def test_each_task_has_its_process_and_share_of_the_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    monkeypatch.setattr(
        torch, "set_num_threads", lambda n: monkeypatch.setattr(torch, "get_num_threads", lambda: n)
    )
    found = [o.value for o in run_tasks([Task(x, own_process, (x,)) for x in range(4)], jobs=2)]
    assert len({process for process, _ in found} | {os.getpid()}) == 5
    assert [threads for _, threads in found] == [3] * 4


@pytest.mark.usefixtures("_forks")
def test_a_task_is_taken_when_there_is_room_and_earlier_outcomes_are_known() -> None:
    known: list[int] = []
    taken: list[tuple[int, int]] = []

    def given() -> Iterator[Task]:
        for x in (6, 7, 8, 9):
            taken.append((x, len(known)))
            yield Task(x, square, (x,))

    for outcome in run_tasks(given(), jobs=2):
        known += [outcome.value]
    assert [x for x, _ in taken] == [6, 7, 8, 9]
    assert all(before >= place - 1 for place, (_, before) in enumerate(taken))
    assert sorted(known) == [36, 49, 64, 81]


@pytest.mark.usefixtures("_forks")
def test_a_signal_stops_the_tasks_and_then_this(tmp_path: Path) -> None:
    def interrupt() -> None:
        while len(list(tmp_path.iterdir())) < 2:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    threading.Thread(target=interrupt).start()
    with pytest.raises(Interrupted, match="SIGTERM: stopped; run the same command again") as caught:
        list(run_tasks([Task(x, wait_for_ever, (tmp_path,)) for x in range(3)], jobs=2))
    assert caught.value.signum == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == before
    assert len(list(tmp_path.iterdir())) == 2
    assert not any(alive(int(path.name)) for path in tmp_path.iterdir())


def heed_nothing(folder: Path) -> None:
    for signum in SIGNALS:
        signal.signal(signum, signal.SIG_IGN)
    wait_for_ever(folder)


def save_when_told(folder: Path) -> None:
    """Stop on SIGTERM alone, once it may: ``run_tasks`` must pass on any other, and wait."""
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda signum, _: told.append(signum))
    for signum in {*SIGNALS} - {signal.SIGTERM}:
        signal.signal(signum, signal.SIG_IGN)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    (folder / f"begun {os.getpid()}, {len(blocked)} blocked").touch()
    while not told:
        time.sleep(0.005)
    (folder / f"told {os.getpid()}").touch()
    while not (folder / "save").exists():
        time.sleep(0.005)
    (folder / f"saved {os.getpid()}").touch()


def save_two(folder: Path, ignored: tuple[signal.Signals, ...] = ()) -> None:
    for signum in ignored:
        signal.signal(signum, signal.SIG_IGN)
    try:
        list(run_tasks([Task(x, save_when_told, (folder,)) for x in range(2)], jobs=2))
    except Interrupted as error:
        sys.exit(128 + error.signum)


def wait_for_two(folder: Path, what: str) -> list[str]:
    """The names of a folder's files that begin so, once there are two."""
    deadline = time.monotonic() + 120
    while len(names := [path.name for path in folder.glob(f"{what}*")]) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return names


@contextmanager
def started(work: Callable[..., None], *arguments: object) -> Iterator[BaseProcess]:
    """A forked process, ended at the end."""
    process = _Forks.Process(target=work, args=arguments)
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


@pytest.mark.usefixtures("_forks")
@pytest.mark.parametrize("signum", SIGNALS)
def test_tasks_save_on_every_signal_that_a_run_listens_to(
    tmp_path: Path, signum: signal.Signals
) -> None:
    """A closed terminal sends SIGHUP twice, a batch system SIGUSR1 and later SIGTERM."""
    with started(save_two, tmp_path) as parent:
        assert all("0 blocked" in name for name in wait_for_two(tmp_path, "begun"))
        os.kill(parent.pid, signum)
        wait_for_two(tmp_path, "told")
        for again in {*SIGNALS} - {signal.SIGINT}:
            os.kill(parent.pid, again)
        (tmp_path / "save").touch()
        parent.join(timeout=30)
        assert parent.exitcode == 128 + signum
    wait_for_two(tmp_path, "saved")


@pytest.mark.usefixtures("_forks")
def test_a_second_sigint_ends_tasks_that_do_not_stop(tmp_path: Path) -> None:
    with started(run_two, tmp_path, heed_nothing) as parent:
        wait_for_two(tmp_path, "")
        deadline = time.monotonic() + 10
        while parent.is_alive():
            os.kill(parent.pid, signal.SIGINT)
            time.sleep(0.05)
            assert time.monotonic() < deadline


@pytest.mark.usefixtures("_forks")
def test_a_signal_that_nohup_ignores_stays_ignored(tmp_path: Path) -> None:
    (tmp_path / "save").touch()
    with started(save_two, tmp_path, (signal.SIGHUP,)) as parent:
        wait_for_two(tmp_path, "begun")
        os.kill(parent.pid, signal.SIGHUP)
        os.kill(parent.pid, signal.SIGTERM)
        parent.join(timeout=30)
        assert parent.exitcode == 128 + signal.SIGTERM


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGHUP, signal.SIGTERM])
def test_a_signal_to_all_processes_at_once_leaves_time_to_save(
    tmp_path: Path, signum: signal.Signals
) -> None:
    """With the server that benches have, which would die of it and take the waiting with it."""
    code = "import sys, pathlib; from tests.bench import test_processes as here; "
    code += "here.processes._PRELOAD = ['tests.bench.test_processes']; "
    code += "here.save_two(pathlib.Path(sys.argv[1]))"
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, start_new_session=True) as parent:
        try:
            assert all("0 blocked" in name for name in wait_for_two(tmp_path, "begun"))
            os.killpg(parent.pid, signum)
            wait_for_two(tmp_path, "told")
            (tmp_path / "save").touch()
            assert parent.wait(timeout=60) == 128 + signum
        finally:
            parent.kill()
    wait_for_two(tmp_path, "saved")


def run_two(folder: Path, task: Callable[[Path], None]) -> None:
    list(run_tasks([Task(x, task, (folder,)) for x in range(2)], jobs=2))


@pytest.mark.usefixtures("_forks")
def test_tasks_do_not_outlive_a_process_that_is_killed(tmp_path: Path) -> None:
    with started(run_two, tmp_path, wait_for_ever):
        wait_for_two(tmp_path, "")
    deadline = time.monotonic() + 10
    while any(alive(int(path.name)) for path in tmp_path.iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def alive(process: int) -> bool:
    """Whether a process runs; one that ended and waits to be asked for its exit code does not."""
    status = Path(f"/proc/{process}/status")
    try:
        return "State:\tZ" not in status.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
