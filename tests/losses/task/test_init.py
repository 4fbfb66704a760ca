"""What the package says of the losses that torch has."""

import re
import textwrap

import torch
import yaml
from torch import nn

import distill.losses.task
from distill.modules import Term
from distill.wiring.term import check_arguments


def test_label_smoothing_mixes_the_labels_with_all_classes() -> None:
    """(1 - e) CE + e mean_k(-log p_k)."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 5, generator=generator, dtype=torch.float64)
    target = torch.randint(5, (6,), generator=generator)
    for e in (0.0, 0.1, 0.5, 1.0):
        found = nn.CrossEntropyLoss(label_smoothing=e)(logits, target)
        expected = 0.0
        for row, y in zip(logits.numpy(), target, strict=True):
            costs = [torch.tensor(row).exp().sum().log().item() - z for z in row]
            expected += ((1 - e) * costs[y] + e * sum(costs) / 5) / 6
        torch.testing.assert_close(found.item(), expected)


def test_the_terms_of_the_docstring_are_terms() -> None:
    snippets = re.findall(r"::\n\n((?:    .*\n)+)", distill.losses.task.__doc__)
    ofs = [yaml.safe_load(textwrap.dedent(snippet)) for snippet in snippets]
    assert [set(terms) for terms in ofs] == [{"ce", "l1", "l2", "smooth_l1"}, {"ce"}]
    for term in (term for terms in ofs for term in terms.values()):
        spec = term["loss"] if isinstance(term["loss"], dict) else {"class_path": term["loss"]}
        package, _, name = spec["class_path"].rpartition(".")
        make = getattr({"torch.nn": nn, "distill.losses": distill.losses}[package], name)
        made = Term(make(**spec.get("init_args", {})), inputs=term["inputs"])
        check_arguments(made)
