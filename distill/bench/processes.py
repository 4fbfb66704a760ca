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
    """Something to do.

    Attributes:
        key: What the caller knows it by.
        function: What does it; importable by name, as are its arguments and what it returns.
        arguments: The function's arguments.
    """

    key: Any
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


class Outcome(NamedTuple):
    """What came of a task: a value, or what went wrong: in one line, of which kind, and where."""

    key: Any
    value: Any = None
    error: str = ""
    kind: str = ""
    traceback: str = ""


def carry_out(tasks: Iterable[Task], jobs: int) -> Iterator[Outcome]:
    """Do tasks, ``jobs`` at once, and give their outcomes as they come.

    A task that fails, or whose process dies, does not stop the others. One task at a time is done
    in this process. A task is taken from ``tasks`` when there is room for it, after all earlier
    outcomes were given. If this process is killed, so are the tasks' processes.

    Args:
        tasks: What to do.
        jobs: How many at once, at least 1.

    Raises:
        Interrupted: After a signal of those that a run listens to, once the tasks in progress have
            saved and stopped.
    """
    if jobs == 1:
        for task in tasks:
            yield _attempt(task)
        return
    threads = max(1, torch.get_num_threads() // jobs)
    _CONTEXT.set_forkserver_preload(_PRELOAD)
    waiting, running = iter(tasks), list[_Running]()
    with _stopped_by_signals(running):
        while True:
            for task in islice(waiting, jobs - len(running)):
                running.append(_start(task, threads))
            if not running:
                return
            ready = wait([one.connection for one in running])
            for one in [one for one in running if one.connection in ready]:
                running.remove(one)
                yield _received(one)


def carry_out_apart(task: Task) -> Outcome:
    """Do one task in a process of its own, from any thread.

    Args:
        task: What to do.
    """
    _CONTEXT.set_forkserver_preload(_PRELOAD)
    return _received(_start(task, torch.get_num_threads()))


class _Running(NamedTuple):
    task: Task
    connection: Connection
    process: BaseProcess


def _attempt(task: Task) -> Outcome:
    try:
        return Outcome(task.key, task.function(*task.arguments))
    except Interrupted:
        raise
    except Exception as error:
        kind = type(error).__name__
        return Outcome(task.key, None, _line(error), kind, traceback.format_exc())


def _line(error: Exception) -> str:
    first = (str(error).strip().splitlines() or [""])[0]
    told = isinstance(error, (RecipeError, NonFiniteError, Interrupted))
    return first if told else f"{type(error).__name__}: {first}"


def _start(task: Task, threads: int) -> _Running:
    ours, theirs = _CONTEXT.Pipe(duplex=False)
    process: BaseProcess = _CONTEXT.Process(target=_child, args=(theirs, task, threads))
    with _blocked_signals():
        process.start()
    theirs.close()
    return _Running(task, ours, process)


@contextmanager
def _blocked_signals() -> Iterator[None]:
    """What is started here outlives a signal to all processes of a terminal.

    The server must, as it tells when the tasks' processes end.
    """
    former = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        # The server has it started, and it unblocks some when it starts.
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
        outcome = _attempt(task)
    except Interrupted as error:
        outcome = Outcome(task.key, None, _line(error))
    connection.send(outcome[1:])


def _die_with_the_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _received(one: _Running) -> Outcome:
    try:
        outcome = Outcome(one.task.key, *one.connection.recv())
    except EOFError:
        one.process.join()
        told = f"its process ended with exit code {one.process.exitcode}"
        outcome = Outcome(one.task.key, None, told)
    one.process.join()
    one.connection.close()
    return outcome


@contextmanager
def _stopped_by_signals(running: list[_Running]) -> Iterator[None]:
    """On a signal lets what is running save and stop, then raises Interrupted.

    Until then further signals change nothing, but a second SIGINT ends it at once.
    """
    came: list[int] = []

    def stop(signum: int, frame: FrameType | None) -> None:
        came.append(signum)
        if len(came) == 1:
            name = signal.Signals(signum).name
            raise Interrupted(signum, f"{name}: stopped; the same command goes on from here")
        if came.count(signal.SIGINT) > 1:
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
