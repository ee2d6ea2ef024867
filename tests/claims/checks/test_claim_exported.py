from __future__ import annotations

from deploykit.claims.checks import exported


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

    assert verdict(505).verdict == "confirmed"
    assert verdict(600).verdict == "refuted"


def test_what_is_measured_is_the_export_itself():
    from deploykit.spec import ModelSpec

    files = exported._files(ModelSpec("lenet5"))
    assert 0 < files.deviation < 1e-5
    assert files.fp32_bytes > 4 * 61_706 > files.fp16_bytes > 2 * 61_706
