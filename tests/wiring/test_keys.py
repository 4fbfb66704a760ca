import pytest

from distill.wiring.keys import Key, Sources, split_key

TWO = Sources(("student", "teacher"))
PEERS = Sources(("student", "b"), placeholders=("peer", "other"))


@pytest.mark.parametrize("key", ["student.logits", "teacher.logits", "batch.target", "batch.index"])
def test_outputs_and_parts_of_the_batch_are_known(key: str) -> None:
    assert str(TWO.read(key)) == key
    assert TWO.read(key).mark == "."


def test_a_tapped_key_names_network_and_path() -> None:
    assert TWO.read("student@layer3.2:input") == Key("student", "@", "layer3.2:input")


@pytest.mark.parametrize(
    "key", ["studnet@a", "student@", "student", "batch.image", "", "@a", "student.maps", "b.logits"]
)
def test_other_keys_are_refused(key: str) -> None:
    with pytest.raises(ValueError, match=f"^unknown source {key!r}"):
        TWO.read(key)


@pytest.mark.parametrize("key", ["b.logit", "d.logits", "b@", "batch.targets", "logits", "b", ""])
def test_peers_have_the_same_grammar(key: str) -> None:
    assert PEERS.read("b@a.b:input") == Key("b", "@", "a.b:input")
    with pytest.raises(ValueError, match=rf"^unknown source '{key}'"):
        PEERS.read(key)


def test_the_nearest_source_is_named() -> None:
    with pytest.raises(ValueError, match=r"did you mean 'student.logits'\?; known: peer\.logits"):
        PEERS.read("studnet.logits")


def test_a_network_that_was_left_out_is_told() -> None:
    alone = Sources(("student",), absent={"teacher": "model.teacher is null"})
    with pytest.raises(ValueError, match=r"^reads from the teacher, but model\.teacher is null$"):
        alone.read("teacher@layer3")


def test_a_task_declares_outputs_and_parts_of_the_batch() -> None:
    found = Sources(("student",), ("classes", "edges"), {"batch.mask": "mask"})
    assert found.read("student.edges").rest == "edges"
    assert found.read("batch.mask").rest == "mask"
    with pytest.raises(ValueError, match=r"known: student\.classes, student\.edges, batch\.mask"):
        found.read("student.logits")


def test_a_key_is_split_at_its_first_mark() -> None:
    assert split_key("a@b.c@d") == Key("a", "@", "b.c@d")
    assert split_key("a.b@c") == Key("a", ".", "b@c")
    assert split_key("plain") == Key("plain", "", "")
