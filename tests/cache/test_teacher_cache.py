from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from distill.cache import CacheSettings, TeacherCache
from distill.core.batch import Batch
from distill.core.errors import RecipeError

FIELDS = {"model.teacher": "Doubles"}


def batch(*samples: int, epoch: int = 0, shift: float = 0) -> Batch:
    index = torch.tensor(samples)
    image = index.float().view(-1, 1, 1, 1).expand(-1, 1, 2, 2) + epoch / 8 + shift
    return Batch(image, index % 3, index, epoch)


class Doubles:
    """A teacher that counts its calls: logits are twice the mean of the image, and minus it."""

    def __init__(self, seen: Batch) -> None:
        self.calls, self._seen = 0, seen

    def __call__(self) -> dict[str, torch.Tensor]:
        self.calls += 1
        mean = self._seen.image.mean((1, 2, 3))
        return {"teacher.logits": torch.stack([2 * mean, -mean], 1)}


def ask(recall: TeacherCache, seen: Batch) -> tuple[torch.Tensor, int]:
    teacher = Doubles(seen)
    return recall.outputs(seen, teacher)["teacher.logits"], teacher.calls


@pytest.fixture
def recall(tmp_path: Path) -> Iterator[TeacherCache]:
    made = TeacherCache(CacheSettings(str(tmp_path / "c.sqlite")), FIELDS, ["teacher.logits"])
    yield made
    made.store.close()


def test_the_teacher_looks_once_at_each_view(recall: TeacherCache) -> None:
    first, calls = ask(recall, batch(4, 9))
    assert calls == 1
    assert torch.equal(first, torch.tensor([[8.0, -4.0], [18.0, -9.0]]))
    again, calls = ask(recall, batch(4, 9))
    assert calls == 0
    assert torch.equal(again, first)
    assert recall.misses == 1


def test_entries_are_found_in_any_batch_and_order(recall: TeacherCache) -> None:
    ask(recall, batch(1, 2, 3, 4))
    found, calls = ask(recall, batch(3, 1))
    assert calls == 0
    assert torch.equal(found, torch.tensor([[6.0, -3.0], [2.0, -1.0]]))


def test_a_batch_of_which_a_part_is_missing_is_computed_whole(recall: TeacherCache) -> None:
    ask(recall, batch(1, 2))
    found, calls = ask(recall, batch(2, 3))
    assert calls == 1
    assert torch.equal(found[:, 0], torch.tensor([4.0, 6.0]))
    assert ask(recall, batch(1, 3))[1] == 0


def test_another_epoch_is_another_view(recall: TeacherCache) -> None:
    ask(recall, batch(1))
    assert ask(recall, batch(1, epoch=1))[1] == 1
    assert ask(recall, batch(1, epoch=1))[1] == 0


def test_another_image_under_the_same_key_is_refused(recall: TeacherCache) -> None:
    ask(recall, batch(1, 2))
    with pytest.raises(
        RecipeError, match=r"entry \(sample 1, epoch 0\) was made from other pixels"
    ):
        ask(recall, batch(1, 2, shift=0.5))


def test_a_run_that_needs_another_tensor_adds_it(recall: TeacherCache) -> None:
    ask(recall, batch(1, 2))
    settings = CacheSettings(str(recall.store.path))
    both = TeacherCache(settings, FIELDS, ["teacher.logits", "teacher@layer"])
    outputs = {"teacher.logits": torch.zeros(2, 2), "teacher@layer": torch.ones(2, 3, 1, 1)}
    found = both.outputs(batch(1, 2), lambda: outputs)
    assert torch.equal(found["teacher@layer"], outputs["teacher@layer"])
    assert ask(recall, batch(1, 2))[0][0, 0] == 2  # what was there first
    both.store.close()


def test_logits_of_evaluation_are_exact_and_found_by_the_image_alone(tmp_path: Path) -> None:
    settings = CacheSettings(str(tmp_path / "c.sqlite"), dtype="float16")
    recall = TeacherCache(settings, FIELDS, ["teacher.logits"])
    images, calls = torch.rand(3, 1, 2, 2), []

    def logits(image: torch.Tensor, first: int) -> torch.Tensor:
        def compute() -> torch.Tensor:
            calls.append(first)
            return image.flatten(1)

        index = torch.arange(len(image)) + first
        return recall.logits(Batch(image, index % 3, index, epoch=0), compute)

    assert torch.equal(logits(images, 0), images.flatten(1))
    assert torch.equal(logits(images.flip(0), 70), images.flip(0).flatten(1))
    assert calls == [0]
    others = torch.cat([images[:1], torch.rand(1, 1, 2, 2)])  # the same samples, another image
    assert torch.equal(logits(others, 0), others.flatten(1))
    assert calls == [0, 0]
    recall.store.close()


def test_images_of_one_key_but_two_hashes_are_two(
    recall: TeacherCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = iter([5, 5 + (1 << 53)])
    monkeypatch.setattr(
        "distill.cache.teacher_cache.view_hash", lambda _: torch.tensor([next(hashes)])
    )
    for value in (1.0, 2.0):
        answer = torch.full((1, 3), value)
        assert torch.equal(recall.logits(batch(0), lambda told=answer: told), answer)


def test_a_full_disk_stops_the_writing_and_not_the_training(recall: TeacherCache) -> None:
    recall.store._connection.execute("PRAGMA max_page_count = 1")
    with pytest.warns(UserWarning, match="the cache is no longer written, .*: .* disk is full"):
        many = ask(recall, batch(*range(500)))
    assert many[1] == 1
    assert ask(recall, batch(*range(500)))[1] == 1


def test_a_full_disk_stops_the_writing_of_shards_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = TeacherCache(CacheSettings(str(tmp_path / "c.shards")), FIELDS, ["teacher.logits"])

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    first, calls = ask(made, batch(1, 2))
    monkeypatch.setattr("distill.cache.folder.os.fsync", full)
    with pytest.warns(UserWarning, match="the cache is no longer written, .*: .*No space left"):
        made.flush()
    again, later = ask(made, batch(1, 2))
    assert torch.equal(first, again)
    assert (calls, later, ask(made, batch(3))[1], ask(made, batch(3))[1]) == (1, 0, 1, 1)
    made.flush()
    assert not list(tmp_path.rglob("*.safetensors*"))


def test_auto_names_the_file_after_the_fields(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = [
        TeacherCache(settings, fields, ["teacher.logits"])
        for settings, fields in (
            (CacheSettings(), FIELDS),
            (CacheSettings(), FIELDS),
            (CacheSettings(dtype="float16"), FIELDS),
            (CacheSettings(), FIELDS | {"data.seed": "1"}),
        )
    ]
    paths = [each.store.path for each in made]
    assert paths[0] == paths[1]
    assert len(set(paths)) == 3
    assert {path.parent for path in paths} == {Path("runs/cache")}
    for each in made:
        each.store.close()
