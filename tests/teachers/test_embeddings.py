import pytest
import torch
from torch import nn

from teachers import Embeddings


def network(width: int, mean: float | None = None) -> nn.Module:
    made = nn.Sequential(nn.Flatten(), nn.Linear(3, width))
    if mean is not None:
        made.input_normalization = ((mean,), (2.0,))
    return made


def test_each_embedding_has_length_1() -> None:
    members, image = [network(2), network(4)], torch.rand(5, 1, 1, 3)
    found = Embeddings(members)(image)
    parts = []
    for member in members:
        raw = member(image)
        parts.append(raw / raw.square().sum(1, keepdim=True).sqrt())
    torch.testing.assert_close(found, torch.cat(parts, 1))


def test_the_cosine_of_two_images_is_the_mean_over_members() -> None:
    members, image = [network(2), network(4)], torch.rand(2, 1, 1, 3)
    first, second = Embeddings(members)(image)
    cosines = [torch.cosine_similarity(*member(image), dim=0) for member in members]
    whole = torch.cosine_similarity(first, second, dim=0)
    torch.testing.assert_close(whole, torch.stack(cosines).mean())


def test_members_normalise_their_own_images_where_they_differ() -> None:
    members, image = [network(2, 0.25), network(4, 0.5)], torch.rand(5, 1, 1, 3)
    embeddings = Embeddings(members)
    assert embeddings.input_normalization == ((0.0,), (1.0,))
    expected = members[1]((image - 0.5) / 2.0)
    expected = expected / expected.norm(dim=1, keepdim=True)
    torch.testing.assert_close(embeddings(image)[:, 2:], expected)
    assert Embeddings([network(2, 0.5), network(4, 0.5)]).input_normalization == ((0.5,), (2.0,))
    assert not hasattr(Embeddings([network(2)]), "input_normalization")


def test_what_is_no_embedding_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^members must name at least one network, got none$"):
        Embeddings([])
    message = r"^members must give embeddings \(b, d\), member 1 gives \(5, 1, 1, 3\)$"
    with pytest.raises(ValueError, match=message):
        Embeddings([network(2), nn.Identity()])(torch.rand(5, 1, 1, 3))
