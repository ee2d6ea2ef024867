from __future__ import annotations

from deploykit import zoo
from deploykit.data import open_dataset
from deploykit.training import recipe_for
from deploykit.training.evaluation import count_correct
from deploykit.types import ModelSpec
from deploykit.zoo.weights import metadata, shipped

LIMIT_BYTES = 300_000


def test_shipped_lenet5_has_the_accuracy_that_it_states() -> None:
    path = shipped()["lenet5-digits"]
    assert path.stat().st_size < LIMIT_BYTES
    stored = metadata(path)
    digits = open_dataset("digits")
    assert stored["train_sha256"] == digits.train.sha256
    assert stored["test_sha256"] == digits.test.sha256
    spec = ModelSpec("lenet5", weights="trained")
    assert stored["recipe"] == str(recipe_for("lenet", "digits"))
    correct, total = count_correct(zoo.create(spec), digits.test, zoo.input_shape(spec))
    assert total == 500
    # One image on the edge may fall otherwise with another version or processor.
    assert abs(correct - float(stored["test_top1"]) * total) <= 1
    assert correct / total >= 0.985
