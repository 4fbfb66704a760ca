"""Children of a test that are killed by it."""

import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch


def start(work: Callable[..., object], *arguments: Any, method: str = "fork") -> BaseProcess:
    """Call ``work`` in a forked child, on one thread: a fork has none of the others.

    A fork of a process that has taken gradients cannot take any: ``method="forkserver"`` can.
    """
    context = multiprocessing.get_context(method)
    process = context.Process(target=_on_one_thread, args=(work, *arguments))
    process.start()
    return process


def wait_for(process: BaseProcess, path: Path, seconds: float = 60) -> None:
    """Wait until a child has made a file.

    Raises:
        TimeoutError: If it ends, or takes longer.
    """
    end = time.monotonic() + seconds
    while not path.exists():
        if not process.is_alive() or time.monotonic() > end:
            process.kill()
            raise TimeoutError(f"{path} was not made")
        time.sleep(0.005)


def _on_one_thread(work: Callable[..., object], *arguments: Any) -> None:
    torch.set_num_threads(1)
    work(*arguments)
