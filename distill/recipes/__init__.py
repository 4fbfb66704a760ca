"""Recipes: found, read, checked and built."""

from distill.recipes.files import (
    Tree,
    copy,
    find,
    load,
    names,
    parse,
    put,
    read,
    resolve,
    root,
)

__all__ = ["Tree", "copy", "find", "load", "names", "parse", "put", "read", "resolve", "root"]
