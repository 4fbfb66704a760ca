from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from scipy import stats

from distill.data.datasets import BatchKey, InMemoryImages, LazyImages, load_table
from distill.data.sources import open_source


@pytest.fixture(autouse=True)
def _nothing_cached() -> Iterator[None]:
    load_table.cache_clear()
    yield
    load_table.cache_clear()


class Pictures:
    """A source that holds its images."""

    def __init__(self, *arrays: np.ndarray) -> None:
        self.classes = tuple("abcdefgh"[: len(arrays)])
        self.targets = torch.arange(len(arrays))
        self._images = [Image.fromarray(array) for array in arrays]

    def name(self, index: int) -> str:
        return f"picture {index}"

    def image(self, index: int) -> Image.Image:
        return self._images[index]


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3))
    return values.astype(np.uint8)


def ramps(height: int, width: int) -> np.ndarray:
    """Red tells the column, green the row."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([columns, rows, 0 * rows], 2).astype(np.uint8)


def files(source: Pictures, size: int, channels: int = 3, seed: int | None = None) -> LazyImages:
    return LazyImages(source, torch.arange(len(source.targets)), size, channels, seed)


def view(samples: LazyImages, sample: int = 0, epoch: int = 0) -> torch.Tensor:
    return samples[BatchKey(epoch, torch.tensor([sample]))].image[0]


def write(path: Path, *arrays: np.ndarray, mode: str = "RGB") -> str:
    for number, array in enumerate(arrays):
        folder = path / f"class{number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).convert(mode).save(folder / f"{number}.png")
    return str(path)


def test_a_batch_of_a_table_is_gathered_in_the_order_of_its_key() -> None:
    images = torch.from_numpy(np.stack([noise(4, 5, seed) for seed in range(6)])).movedim(3, 1)
    table = InMemoryImages(images, torch.arange(6) * 10, torch.arange(3))
    batch = table[BatchKey(7, torch.tensor([4, 0, 4]))]
    for row, sample in enumerate([4, 0, 4]):
        assert np.array_equal(batch.image[row].numpy().transpose(1, 2, 0), noise(4, 5, sample))
    assert batch.target.tolist() == [40, 0, 40]
    assert batch.index.tolist() == [4, 0, 4]
    assert (batch.epoch, batch.step) == (7, 0)
    assert table[BatchKey(7, torch.tensor([1]), step=90)].step == 90
    assert (batch.mask, batch.boxes) == (None, None)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (16, 23), (31, 16)])
def test_evaluation_takes_the_centre(height: int, width: int) -> None:
    array = noise(height, width)
    centre = view(files(Pictures(array), size=14))  # 14 / 0.875 = 16: nothing to resize
    top, left = round((height - 14) / 2), round((width - 14) / 2)
    assert centre.dtype == torch.uint8
    assert np.array_equal(centre.numpy().transpose(1, 2, 0), array[top:, left:][:14, :14])


def test_evaluation_resizes_the_shorter_side_as_pil_does() -> None:
    array = noise(48, 64)
    resized = Image.fromarray(array).resize((21, 16), Image.Resampling.BILINEAR)
    expected = np.asarray(resized)[1:15, 4:18].astype(int)  # half of 7 is rounded to even
    centre = view(files(Pictures(array), size=14)).numpy().transpose(1, 2, 0)
    assert np.abs(centre - expected).max() <= 1  # both round, in fixed point


def test_evaluation_views_are_the_same_in_every_epoch() -> None:
    samples = files(Pictures(noise(20, 30)), size=14)
    assert torch.equal(view(samples, epoch=0), view(samples, epoch=5))


def test_training_crops_have_the_published_areas_and_shapes() -> None:
    samples = files(Pictures(ramps(200, 240)), size=50, seed=0)
    areas, aspects, lefts = [], [], []
    for epoch in range(300):
        red, green, _ = view(samples, epoch=epoch).numpy().astype(float)
        assert np.ptp(red, axis=0).max() <= 1  # the crop is not rotated or mirrored
        columns, rows = red[0], green[:, 0]
        width = np.polyfit(np.arange(4, 46), columns[4:46], 1)[0] * 50
        height = np.polyfit(np.arange(4, 46), rows[4:46], 1)[0] * 50
        left, top = columns[25] - width / 2, rows[25] - height / 2
        assert min(left, top) > -3
        assert left + width < 243  # the slope is known to 1 % only: colours are whole numbers
        assert top + height < 203
        areas.append(width * height / (200 * 240))
        aspects.append(width / height)
        lefts.append(left)
    assert 0.07 < min(areas) < 0.12
    assert 0.9 < max(areas) < 1.01
    assert 0.73 < min(aspects) < 0.79
    assert 1.27 < max(aspects) < 1.37
    assert len({round(left) for left in lefts}) > 60


def test_aspects_of_training_crops_are_drawn_on_a_logarithmic_scale() -> None:
    """As wide as high in the middle of all draws; crops that always fit, as none is redrawn."""
    samples = files(Pictures(ramps(240, 240)), size=10, seed=0)
    places = []
    for epoch in range(1500):
        red, green, _ = view(samples, epoch=epoch).numpy().astype(float)
        width, height = (
            np.polyfit(np.arange(2, 8), line[2:8], 1)[0] for line in (red[5], green[:, 5])
        )
        if width * height * 100 < 0.5 * 240**2:
            places.append(np.log(width / height * 4 / 3) / np.log(16 / 9))
    assert len(places) > 500
    assert stats.kstest(places, stats.uniform.cdf).pvalue > 0.01


def test_an_image_too_narrow_for_any_crop_gives_its_central_square() -> None:
    samples = files(Pictures(ramps(2, 101)), size=2, seed=0)
    for epoch in range(5):
        red, green, _ = view(samples, epoch=epoch).tolist()
        assert red == [[49, 50], [49, 50]]
        assert green == [[0, 0], [1, 1]]


def test_a_training_view_depends_on_seed_epoch_and_sample_alone() -> None:
    source = Pictures(*[noise(30, 40)] * 4)
    samples = files(source, size=12, seed=3)
    batch = samples[BatchKey(2, torch.tensor([3, 0, 1]), step=9)]
    assert batch.image.shape == (3, 3, 12, 12)
    assert (batch.target.tolist(), batch.index.tolist()) == ([3, 0, 1], [3, 0, 1])
    assert (batch.epoch, batch.step) == (2, 9)
    for row, sample in enumerate([3, 0, 1]):
        assert torch.equal(batch.image[row], view(files(source, size=12, seed=3), sample, 2))
    views = [view(samples, 0, 2), view(samples, 1, 2), view(samples, 0, 3)]
    views.append(view(files(source, size=12, seed=4), 0, 2))
    for place, one in enumerate(views):
        assert not any(torch.equal(one, other) for other in views[:place])


def test_channels_are_converted_as_pil_does() -> None:
    array = noise(16, 16)
    grey = np.asarray(Image.fromarray(array).convert("L"))
    assert np.array_equal(view(files(Pictures(array), 14, channels=1))[0], grey[1:15, 1:15])
    three = view(files(Pictures(grey), 14, channels=3))
    assert np.array_equal(three, np.stack([grey[1:15, 1:15]] * 3))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "1", "LA"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_table_holds_every_image_of_its_source(tmp_path: Path, mode: str, channels: int) -> None:
    spec = write(tmp_path, *(noise(4, 5, seed) for seed in range(3)), mode=mode)
    images, targets, classes = load_table(spec, "data", True, None, channels)
    assert images.dtype == torch.uint8
    assert images.shape == (3, channels, 4, 5)
    assert targets.tolist() == [0, 0, 1]
    assert classes == ("class0", "class1")
    for image, name in zip(images, ["class0/0.png", "class0/2.png", "class1/1.png"], strict=True):
        expected = np.asarray(Image.open(tmp_path / name).convert("L" if channels == 1 else "RGB"))
        assert np.array_equal(image.numpy(), expected.reshape(4, 5, channels).transpose(2, 0, 1))


def test_a_table_is_resized_as_pil_does(tmp_path: Path) -> None:
    spec = write(tmp_path, noise(9, 12), noise(6, 6, 1))
    images, _, _ = load_table(spec, "data", True, 6, 3)
    small = Image.fromarray(noise(9, 12)).resize((6, 6), Image.Resampling.BILINEAR)
    assert np.array_equal(images[0].numpy().transpose(1, 2, 0), np.asarray(small))
    assert np.array_equal(images[1].numpy().transpose(1, 2, 0), noise(6, 6, 1))


def test_a_source_is_decoded_once(tmp_path: Path) -> None:
    spec = write(tmp_path, noise(4, 4))
    first = load_table(spec, "data", True, None, 3)
    (tmp_path / "class0/0.png").unlink()
    assert load_table(spec, "data", True, None, 3)[0] is first[0]


def test_images_of_two_sizes_are_refused_by_name(tmp_path: Path) -> None:
    spec = write(tmp_path, noise(4, 5), noise(4, 6))
    told = r"class1/1\.png is 6 x 4 pixels, .*class0/0\.png 5 x 4: resize them to one size"
    with pytest.raises(ValueError, match=told):
        load_table(spec, "data", True, None, 3)


def test_a_damaged_image_is_named(tmp_path: Path) -> None:
    spec = write(tmp_path, noise(20, 20), noise(20, 20, 1))
    damaged = tmp_path / "class1/1.png"
    damaged.write_bytes(damaged.read_bytes()[:200])
    with pytest.raises(ValueError, match=f"cannot read image {damaged}"):
        load_table(spec, "data", True, None, 3)
    samples = LazyImages(open_source(spec), torch.arange(2), 14, 3)
    with pytest.raises(ValueError, match=f"cannot read image {damaged}"):
        samples[BatchKey(0, torch.arange(2))]


def test_a_source_without_images_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    empty = SimpleNamespace(targets=[], classes=["a"])
    monkeypatch.setattr(torchvision.datasets, "MNIST", lambda *_, **__: empty)
    with pytest.raises(ValueError, match="no images in MNIST"):
        load_table("MNIST", "data", True, None, 1)
