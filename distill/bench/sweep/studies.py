"""An Optuna study in a journal file that survives its processes."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from filelock import FileLock

from distill.core.errors import RecipeError

if TYPE_CHECKING:
    import optuna


STUDY = "sweep"


def open_study(journal: Path, direction: Literal["maximize", "minimize"]) -> "optuna.Study":
    """Open the study in a journal file; create it if it is missing.

    Args:
        journal: The file.
        direction: ``maximize`` or ``minimize`` the metric.

    Raises:
        RecipeError: If Optuna is not installed.
    """
    try:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
    except ImportError as error:
        raise RecipeError("distill sweep", "needs Optuna: pip install distill[sweep]") from error

    class Lock(JournalFileOpenLock):
        """Ends with its process; Optuna's own outlives a killed one and blocks the next."""

        def __init__(self) -> None:
            self._lock = FileLock(journal.with_name(f"{journal.name}.lock"))

        def acquire(self) -> bool:
            self._lock.acquire()
            return True

        def release(self) -> None:
            self._lock.release()

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(journal), Lock())),
        study_name=STUDY,
        direction=direction,
        load_if_exists=True,
    )
