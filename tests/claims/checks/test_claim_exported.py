from __future__ import annotations

from deploykit.claims import list_claims
from deploykit.claims.checks import exported
from studies.mutations.graphs import export_of_other_weights


def test_rounding_is_no_loss_but_for_who_looks_at_bits(verdict_of, monkeypatch):
    def verdict(deviation):
        files = exported._Files(deviation, 200, 100)
        monkeypatch.setattr(exported, "_files", lambda spec: files)
        return verdict_of("onnx-export-lossless")

    assert (verdict(1e-6).verdict, verdict(1e-6).as_expected) == ("in context", True)
    assert verdict(0.0).verdict == "confirmed"
    assert not verdict(0.0).as_expected
    assert verdict(0.01).verdict == "refuted"


def test_a_file_that_is_not_halved_refutes(verdict_of, monkeypatch):
    def verdict(fp16_bytes):
        files = exported._Files(0.0, 1000, fp16_bytes)
        monkeypatch.setattr(exported, "_files", lambda spec: files)
        return verdict_of("fp16-halves-file")

    assert verdict(600).verdict == "refuted"
    assert verdict(505).verdict == "confirmed"


def test_a_file_of_few_weights_is_not_halved(verdict_of):
    """What was tried were files of weights alone, and of those it was confirmed."""
    verdict = verdict_of("fp16-halves-file", networks=["lenet5", "mlp_xor"])
    assert verdict.verdict == "in context"
    assert verdict.outcome.computed < 1


def test_an_export_that_is_off_refutes(verdict_of, monkeypatch):
    """The exporter refused it first, and no verdict was reached: the part could not fail."""
    (claim,) = (one for one in list_claims() if one.id == "onnx-export-lossless")
    with export_of_other_weights(claim):
        verdict = verdict_of("onnx-export-lossless", networks=["lenet5"])
    assert verdict.verdict == "refuted"
    assert verdict.outcome.computed > 0.001


def test_what_is_measured_is_the_export_itself():
    from deploykit.spec import ModelSpec

    files = exported._files(ModelSpec("lenet5"))
    assert 0 < files.deviation < 1e-5
    assert files.fp32_bytes > 4 * 61_706 > files.fp16_bytes > 2 * 61_706
