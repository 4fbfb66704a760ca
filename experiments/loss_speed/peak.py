"""The memory that one step needs at its peak, in a process of its own.

    python -m experiments.loss_speed.peak RKDAngleLoss usual 256 512

After a step on a small batch, which loads what is loaded once, Linux's high-water mark of the
resident memory is set back; a step at the full size then raises it. Printed in MiB: how far above
the memory that was resident before, so inputs, parameters and libraries do not count.
"""

import sys
from pathlib import Path

from experiments.loss_speed.cases import case

SELF = Path("/proc/self")


def main() -> None:
    name, form, *size = sys.argv[1:]
    sizes = [int(value) for value in size]
    case(name, form, 4, *sizes[1:]).step()
    measured = case(name, form, *sizes)
    (SELF / "clear_refs").write_text("5")
    before = _status("VmRSS")
    measured.step()
    print((_status("VmHWM") - before) / 1024)


def _status(key: str) -> int:
    """KiB."""
    lines = (SELF / "status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))


if __name__ == "__main__":
    main()
