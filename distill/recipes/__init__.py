"""Recipes: found, read, checked and built."""

from distill.recipes.files import (
    Tree,
    complete,
    copy,
    find,
    load,
    name_of,
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
    "complete",
    "copy",
    "find",
    "load",
    "name_of",
    "names",
    "parse",
    "put",
    "read",
    "resolve",
    "root",
]
