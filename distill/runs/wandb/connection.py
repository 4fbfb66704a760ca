"""Weights & Biases is never a reason not to train: what cannot be sent is kept for later."""

import json
import netrc
import os
import sys
import warnings
from base64 import b64encode
from collections.abc import Sequence
from copy import deepcopy
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from pytorch_lightning.loggers import Logger, WandbLogger

from distill.recipes import Recipe

_LATER = "logging offline, send later with `wandb sync`"
_PATIENCE = {"WANDB_INIT_TIMEOUT": "10", "WANDB_FINISH_TIMEOUT": "30"}
"""Seconds that W&B may hold up the start and the end of a run, unless the environment says so."""


def offline_if_unreachable(arguments: dict[str, Any], seconds: float = 4.0) -> None:
    """Set ``offline`` in a WandbLogger's arguments where the server cannot be used.

    The server is asked who owns the key, so a wrong key and a server that does not answer are
    noticed too.

    Args:
        arguments: The logger's ``init_args``, changed in place.
        seconds: How long to wait for an answer.
    """
    for name, value in _PATIENCE.items():
        os.environ.setdefault(name, value)
    mode = os.environ.get("WANDB_MODE", "online")
    if arguments.get("offline") or mode in ("offline", "disabled"):
        return
    server = _server()
    key = _key(urlsplit(server).hostname or "")
    problem = _problem(server, key, seconds) if key else "no API key"
    if problem:
        arguments["offline"] = True
        warnings.warn(f"W&B: {problem}; {_LATER}", stacklevel=2)


def wandb_state(seconds: float = 2.0) -> str:
    """Whether the server can be used, and whether there is a key, in words; never the key.

    Args:
        seconds: How long to wait for an answer.
    """
    server = _server()
    host = urlsplit(server).hostname or ""
    key = _key(host)
    problem = _problem(server, key, seconds)
    if key:
        return problem or f"{host} takes the API key"
    answers = problem if "refuses" not in problem else f"{host} is reached"
    return f"{answers}; no API key: runs would be kept offline"


def with_reachable_loggers(recipe: Recipe) -> Recipe:
    """A recipe whose W&B loggers are offline where the server cannot be used."""
    loggers = deepcopy(recipe.loggers)
    for logger in loggers:
        if str(logger.get("class_path")).endswith(".WandbLogger"):
            os.environ.setdefault("WANDB_SILENT", "true")
            offline_if_unreachable(logger["init_args"])
    return recipe.with_loggers(loggers)


def take_offline(loggers: Sequence[Logger], recipe: Recipe) -> None:
    """Have loggers that are built already write offline where their recipe says so by now."""
    for logger, spec in zip(loggers, recipe.loggers, strict=False):
        if isinstance(logger, WandbLogger) and spec["init_args"].get("offline"):
            logger._offline, logger._wandb_init["mode"] = True, "offline"


def start(logger: WandbLogger) -> None:
    """Start a logger's run; offline, with a warning, where the server then fails all the same."""
    import wandb

    try:
        _ = logger.experiment
    except wandb.Error as error:
        problem = str(error).strip().splitlines()[0]
        warnings.warn(f"W&B: {problem}; {_LATER}", stacklevel=2)
        # W&B has read the environment already, so Lightning's own way of being offline is too late.
        logger._wandb_init["mode"] = "offline"
        _ = logger.experiment


def finish() -> None:
    """End this process's W&B run, in which its next run would go on otherwise."""
    wandb = sys.modules.get("wandb")
    if wandb is not None and wandb.run is not None:
        wandb.finish()


def _server() -> str:
    return os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai").rstrip("/")


def _key(host: str) -> str:
    if key := os.environ.get("WANDB_API_KEY"):
        return key
    try:
        found = netrc.netrc().authenticators(host)
    except (OSError, netrc.NetrcParseError):
        return ""
    return found[2] if found else ""


def _problem(server: str, key: str, seconds: float) -> str:
    """Why the server cannot be used with a key; nothing if it can."""
    host = urlsplit(server).hostname
    if urlsplit(server).scheme not in ("http", "https"):
        return f"WANDB_BASE_URL must begin with http:// or https://, is {server}"
    question = json.dumps({"query": "query Viewer { viewer { id } }"}).encode()
    secret = b64encode(f"api:{key}".encode()).decode()
    headers = {"Content-Type": "application/json", "Authorization": f"Basic {secret}"}
    request = Request(f"{server}/graphql", question, headers)  # noqa: S310 - http(s), see above
    try:
        with urlopen(request, timeout=seconds) as answer:  # noqa: S310
            viewer = json.load(answer)["data"]["viewer"]
    except HTTPError as error:
        return f"{host} refuses the API key" if error.code in (401, 403) else f"{host}: {error}"
    except (OSError, ValueError, KeyError, TypeError):
        return f"no connection to {host}"
    return "" if viewer else f"{host} refuses the API key"
