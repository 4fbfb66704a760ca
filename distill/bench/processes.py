"""Several tasks at once: a process each, with its share of the threads."""

import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any, NamedTuple

import torch

from distill.core.errors import Interrupted, NonFiniteError, RecipeError
from distill.core.stopping import SIGNALS, handled_signals

# Its server imports torch once and forks each task from there: neither seconds of imports per run
# nor a fork of a process that has computed, which torch does not survive.
_CONTEXT: Any = multiprocessing.get_context("forkserver")
_PRELOAD = ["distill.runs.single"]


@dataclass(frozen=True)
class Task:
    """A call to run in a process.

    Attributes:
        key: Names the task for the caller.
        function: Is called; must be importable by name, as must its arguments and its result.
        arguments: The function's arguments.
    """

    key: Any
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


class TaskResult(NamedTuple):
    """The value that a task returned, or its error: a line, the exception's class, a traceback."""

    key: Any
    value: Any = None
    error: str = ""
    kind: str = ""
    traceback: str = ""


def run_tasks(tasks: Iterable[Task | None], jobs: int) -> Iterator[TaskResult]:
    """Run tasks, ``jobs`` at once, and yield each result when its task ends.

    A task that fails, or whose process dies, does not stop the others. With one job, tasks run in
    this process. A task is taken from ``tasks`` when a process is free, after all earlier results
    were yielded. If this process is killed, so are the tasks' processes.

    Args:
        tasks: The calls to make; None where the next one is known when one in progress has ended.
        jobs: Number of tasks at once, at least 1.

    Raises:
        Interrupted: After a signal that a run handles, once the tasks in progress have saved and
            stopped.
    """
    if jobs == 1:
        for task in filter(None, tasks):
            yield _run_task(task)
        return
    threads = max(1, torch.get_num_threads() // jobs)
    _CONTEXT.set_forkserver_preload(_PRELOAD)
    waiting, running = iter(tasks), list[_Running]()
    with _stopped_by_signals(running):
        while True:
            for task in _known(islice(waiting, jobs - len(running))):
                running.append(_start(task, threads))
            if not running:
                return
            ready = wait([one.connection for one in running])
            for one in [one for one in running if one.connection in ready]:
                running.remove(one)
                yield _receive(one)


def _known(tasks: Iterable[Task | None]) -> Iterator[Task]:
    """The tasks before the first that is not known yet."""
    for task in tasks:
        if task is None:
            return
        yield task


def run_in_subprocess(task: Task) -> TaskResult:
    """Run one task in a process of its own; may be called from any thread.

    Args:
        task: The call to make.
    """
    _CONTEXT.set_forkserver_preload(_PRELOAD)
    return _receive(_start(task, torch.get_num_threads()))


class _Running(NamedTuple):
    task: Task
    connection: Connection
    process: BaseProcess


def _run_task(task: Task) -> TaskResult:
    try:
        return TaskResult(task.key, task.function(*task.arguments))
    except Interrupted:
        raise
    except Exception as error:
        kind = type(error).__name__
        return TaskResult(task.key, None, _line(error), kind, traceback.format_exc())


def _line(error: Exception) -> str:
    first = (str(error).strip().splitlines() or [""])[0]
    complete = isinstance(error, (RecipeError, NonFiniteError, Interrupted))
    return first if complete else f"{type(error).__name__}: {first}"


def _start(task: Task, threads: int) -> _Running:
    ours, theirs = _CONTEXT.Pipe(duplex=False)
    process: BaseProcess = _CONTEXT.Process(target=_child, args=(theirs, task, threads))
    with _blocked_signals():
        process.start()
    theirs.close()
    return _Running(task, ours, process)


@contextmanager
def _blocked_signals() -> Iterator[None]:
    """Block signals for processes started here: they outlive a signal to a terminal's processes.

    The fork server must, as it reports when the tasks' processes end.
    """
    former = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        # The server starts the tracker, which unblocks some signals when it starts.
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)


def _child(connection: Connection, task: Task, threads: int) -> None:
    for signum in handled_signals():
        signal.signal(signum, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    threading.Thread(target=_die_with_the_parent, daemon=True).start()
    torch.set_num_threads(threads)
    try:
        result = _run_task(task)
    except Interrupted as error:
        result = TaskResult(task.key, None, _line(error))
    connection.send(result[1:])


def _die_with_the_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _receive(one: _Running) -> TaskResult:
    try:
        result = TaskResult(one.task.key, *one.connection.recv())
    except EOFError:
        one.process.join()
        message = f"its process ended with exit code {one.process.exitcode}"
        result = TaskResult(one.task.key, None, message)
    one.process.join()
    one.connection.close()
    return result


@contextmanager
def _stopped_by_signals(running: list[_Running]) -> Iterator[None]:
    """On a signal, let running tasks save and stop, then raise Interrupted.

    Further signals change nothing, but a second SIGINT kills the tasks at once.
    """
    received: list[int] = []

    def stop(signum: int, frame: FrameType | None) -> None:
        received.append(signum)
        if len(received) == 1:
            name = signal.Signals(signum).name
            raise Interrupted(signum, f"{name}: stopped; run the same command again to continue")
        if received.count(signal.SIGINT) > 1:
            for one in running:
                one.process.kill()

    former = {signum: signal.signal(signum, stop) for signum in handled_signals()}
    try:
        yield
    finally:
        for one in running:
            one.process.terminate()
        for one in running:
            one.process.join()
        for signum, handler in former.items():
            signal.signal(signum, handler)
