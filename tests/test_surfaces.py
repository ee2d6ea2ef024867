"""The recorded interfaces of NVIDIA's bindings: whole, and what the package's code asks of them."""

from __future__ import annotations

import pytest
import recorded_surfaces as recorded

EVERY = [(release, module) for module, found in recorded.RELEASES.items() for release in found]


@pytest.mark.parametrize(("release", "module"), EVERY)
def test_every_recorded_signature_can_be_read(release, module):
    found = recorded.all_signatures(recorded.surface(release, module))
    assert len(found) > 50
    for name, text in found:
        assert recorded.signature(text), name


def test_every_recorded_file_is_of_a_release_that_is_held_against():
    files = {path.stem for path in recorded.FOLDER.glob("*.json")}
    assert files == {release for found in recorded.RELEASES.values() for release in found}


def test_what_distinguishes_releases_is_recorded():
    old, *_, new = recorded.surfaces("tensorrt")
    assert "FP16" in old.enums["BuilderFlag"]
    assert "FP16" not in new.enums["BuilderFlag"]
    assert recorded.takes(new.member("IExecutionContext", "execute_async_v3"), 1, [], method=True)
    assert not recorded.takes(
        new.member("IExecutionContext", "execute_async_v3"), 2, [], method=True
    )
    assert old.member("ICudaEngine", "get_binding_shape") is None
