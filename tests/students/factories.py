"""Which factories of students take what."""

import inspect

import students


def takes_classes_alone(name: str) -> bool:
    parameters = inspect.signature(getattr(students, name)).parameters.values()
    return [p.name for p in parameters if p.default is p.empty] == ["num_classes"]
