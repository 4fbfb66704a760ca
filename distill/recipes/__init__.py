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
from distill.recipes.recipe import Recipe

__all__ = [
    "Recipe",
    "Tree",
    "copy",
    "find",
    "load",
    "names",
    "parse",
    "put",
    "read",
    "resolve",
    "root",
]
