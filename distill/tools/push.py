"""A finished run as a repository of the Hugging Face hub: ``distill push``."""

import os
from importlib.util import find_spec
from pathlib import Path

from distill.core.echo import short
from distill.core.errors import RecipeError
from distill.core.preprocessing import FILE as PREPROCESS
from distill.results.model_card import FILE as CARD
from distill.runs.directory import WEIGHTS, read_finished
from distill.tools.snippet import FILE as SNIPPET

TOKEN = "HF_TOKEN"  # noqa: S105 - the variable's name
FILES = (CARD, WEIGHTS, PREPROCESS, "config.yaml", "result.json", "*.onnx", "*.pt2", SNIPPET)
"""What is uploaded, of what is there: neither checkpoints nor images."""


def push(run_dir: Path, repo: str, private: bool = False) -> str:
    """Upload a finished run with its model card, weights and exports.

    Args:
        run_dir: The run.
        repo: ``OWNER/NAME``; made if need be.
        private: Whether a new repository is private.

    Returns:
        The repository's address.

    Raises:
        RecipeError: If there is no finished run, ``huggingface_hub`` or the token is missing, or
            the hub cannot be reached or refuses.
    """
    read_finished(run_dir)
    if not (run_dir / CARD).is_file():
        raise RecipeError(str(run_dir / CARD), "is missing: `distill resume` adds it")
    if find_spec("huggingface_hub") is None:
        raise RecipeError("distill push", "needs huggingface_hub: pip install 'distill[hf]'")
    token = os.environ.get(TOKEN)
    if not token:
        raise RecipeError(TOKEN, "must be set in the environment, to a token that may write")
    from huggingface_hub import HfApi  # an optional package

    api = HfApi(token=token)
    try:
        address = api.create_repo(repo, private=private, exist_ok=True)
        api.upload_folder(repo_id=repo, folder_path=run_dir, allow_patterns=list(FILES))
    except Exception as error:  # of whichever client of HTTP the package uses
        raise RecipeError(repo, f"cannot be pushed: {short(str(error), 300)}") from error
    return str(address)
