"""An extension of mkdocstrings: what stands under Example is shown as code, not as a quotation."""

from typing import Any

from griffe import Extension, Object


class Examples(Extension):
    """Reads the heading ``Example`` of docstrings as the plural, which griffe knows."""

    def on_object(self, *, obj: Object, **_: Any) -> None:  # noqa: ANN401 - griffe's own
        """Rename the heading."""
        if obj.docstring is not None:
            obj.docstring.value = obj.docstring.value.replace("\nExample:\n", "\nExamples:\n")
