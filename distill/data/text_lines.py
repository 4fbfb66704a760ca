"""Lines of text drawn with Pillow: no download, in any number."""

from collections.abc import Sequence

import torch
import torchvision.transforms.v2.functional as TF
from PIL import Image, ImageFont
from torch import Tensor, nn

from distill import tasks
from distill.core.randomness import fold, uniform
from distill.data.datasets import InMemoryImages
from distill.data.fonts import drawn, find_fonts
from distill.data.keyed import KeyedData
from distill.data.pipeline import Pipeline

_SPLITS = ("train", "val", "test")
_ATTEMPTS = 200
_LEAST_CONTRAST = 48


class TextLines(KeyedData):
    """Grey lines of random characters (1, h, w) in many fonts, sizes, places and shades.

    A line is a function of its split and its number alone, not of the run's seed. Every string
    belongs to one split, by a key of its own, so no line of the test has a text that training or
    validation has. Fonts are those of all splits.

    Targets are the class numbers of the characters (b, longest), with 0 behind the last one: class
    0 is the blank of CTC, so a network needs one class more than the alphabet has characters.

    Args:
        train: Training lines.
        val: Validation lines; at least 1.
        test: Test lines.
        alphabet: Characters that lines are made of, each once.
        shortest: Fewest characters of a line.
        longest: Most characters of a line.
        height: Of a line in pixels.
        width: Of a line in pixels; a text that would be wider is narrowed.
        fonts: A folder or font file, or several; None: the fonts of the system that draw the
            alphabet, or the one that Pillow brings along. Other fonts make other images.
        batch_size: Training lines per step.
        augment: Augmentations of training batches, in order.
        workers: Loader processes.
        seed: Determines the order of samples and their augmentation; None: the run's seed.
            Runs that share it see the same views, and can share a cache of teacher outputs.
        views: Epoch e shows the views of epoch ``e % views``; None: every epoch shows new ones.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> data = TextLines(train=32, val=8, test=8, batch_size=4)
        >>> data.setup("fit")
        >>> batch = next(iter(data.train_dataloader()))
        >>> batch.image.shape, batch.target.shape
        (torch.Size([4, 1, 16, 96]), torch.Size([4, 6]))
    """

    task = tasks.TextLines()
    mean, std = (0.5,), (0.25,)

    def __init__(  # noqa: PLR0913 - these are a recipe's keys, given by name
        self,
        train: int = 1000,
        val: int = 500,
        test: int = 1000,
        alphabet: str = "0123456789",
        shortest: int = 3,
        longest: int = 6,
        height: int = 16,
        width: int = 96,
        fonts: str | list[str] | None = None,
        batch_size: int = 50,
        augment: Sequence[nn.Module] = (),
        workers: int = 0,
        seed: int | None = None,
        views: int | None = None,
    ) -> None:
        super().__init__(Pipeline(batch_size, workers, augment, seed, views))
        if min(train, test) < 0 or val < 1:
            found = f"got {train}, {val}, {test}"
            raise ValueError(f"train, val and test must be at least 0, 1 and 0, {found}")
        if len(set(alphabet)) != len(alphabet) or not alphabet or any(map(str.isspace, alphabet)):
            raise ValueError(f"alphabet must be characters, each once, no spaces, got {alphabet!r}")
        if not 1 <= shortest <= longest:
            raise ValueError(f"shortest must be in 1..longest, got {shortest} and {longest}")
        if height < 8 or width < 8:
            raise ValueError(f"height and width must be at least 8, got {height} and {width}")
        self.classes = ("", *alphabet)
        self._counts = dict(zip(_SPLITS, (train, val, test), strict=True))
        self._lengths, self._size, self._fonts = (shortest, longest), (height, width), fonts

    def setup(self, stage: str) -> None:
        """Draw the three sets, once.

        Raises:
            ValueError: If no font draws the alphabet, or there are too few different strings.
        """
        if self.pipeline.train is not None:
            return
        alphabet = "".join(self.classes)
        fonts = find_fonts(self._fonts, alphabet)
        for split, count in self._counts.items():
            texts = draw_texts(split, count, alphabet, *self._lengths)
            images = _images(split, texts, fonts, self._size)
            setattr(
                self.pipeline,
                split,
                InMemoryImages(images, self._targets(texts), torch.arange(count)),
            )

    def _targets(self, texts: list[str]) -> Tensor:
        targets = torch.zeros(len(texts), self._lengths[1], dtype=torch.int64)
        for row, text in zip(targets, texts, strict=True):
            row[: len(text)] = torch.tensor([self.classes.index(each) for each in text])
        return targets


def draw_texts(split: str, count: int, alphabet: str, shortest: int, longest: int) -> list[str]:
    """Draw random strings of a split, each by its number, again until the split has it.

    Lengths and characters are uniform. A string belongs to one of the three splits by a key made of
    itself, so each has about a third of all strings.

    Raises:
        ValueError: If there are so few strings that the split seems to have none.
    """
    texts = [""] * count
    missing = torch.arange(count)
    for attempt in range(_ATTEMPTS):
        draws = uniform(fold("text lines", split, attempt), missing, 1 + longest)
        for index, (first, *rest) in zip(missing.tolist(), draws.tolist(), strict=True):
            length = shortest + int(first * (longest - shortest + 1))
            text = "".join(alphabet[int(each * len(alphabet))] for each in rest[:length])
            if _SPLITS[fold("split of", text) % len(_SPLITS)] == split:
                texts[index] = text
        missing = torch.tensor([index for index in missing.tolist() if not texts[index]]).long()
        if not len(missing):
            return texts
    few = f"{len(alphabet)} characters and lines of {shortest} to {longest}"
    raise ValueError(f"alphabet and longest must give enough strings for three sets, got {few}")


def _images(
    split: str, texts: list[str], fonts: list[ImageFont.FreeTypeFont], size: tuple[int, int]
) -> Tensor:
    """Draw lines (n, 1, h, w), uint8."""
    draws = uniform(fold("looks of text lines", split), torch.arange(len(texts)), 7)
    images = torch.empty((len(texts), 1, *size), dtype=torch.uint8)
    for image, text, (which, *looks) in zip(images, texts, draws.tolist(), strict=True):
        ink = drawn(text, fonts[int(which * len(fonts))])
        image.copy_(TF.pil_to_tensor(_line(ink, looks, size)))
    return images


def _line(ink: Image.Image, looks: list[float], size: tuple[int, int]) -> Image.Image:
    """Place a text in an image of the given height and width, by six numbers in [0, 1)."""
    tall, wide, down, right, paper, contrast = looks
    height = round((size[0] - 2) * (0.6 + 0.4 * tall))
    width = round(ink.width / ink.height * height * (0.8 + 0.4 * wide))
    width = min(max(width, 1), size[1] - 2)
    mask = ink.resize((width, height), Image.Resampling.BILINEAR)
    # A shade of paper, and another of ink at least so far from it.
    shade = int(256 * paper)
    step = _LEAST_CONTRAST + int((256 - 2 * _LEAST_CONTRAST + 1) * contrast)
    line = Image.new("L", (size[1], size[0]), shade)
    place = int(right * (size[1] - width + 1)), int(down * (size[0] - height + 1))
    line.paste((shade + step) % 256, place, mask)
    return line
