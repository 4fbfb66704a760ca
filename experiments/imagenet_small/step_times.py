"""The callback that a run's recipe names, in a module of its own: this run imports it too."""

import time

import pytorch_lightning as pl


class StepTimes(pl.Callback):
    """Notes when each step ended."""

    ended: list[float] = []  # noqa: RUF012 - read after the run, which makes the instance

    def on_train_batch_end(self, *_: object) -> None:
        """Note the time."""
        self.ended.append(time.perf_counter())
