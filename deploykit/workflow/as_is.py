"""Networks that are taken as they are: files that are quantised already, or in 16 bits."""

from __future__ import annotations

from deploykit.graph.precision import AS_IS, is_reduced
from deploykit.lazy import onnx
from deploykit.spec import ModelFile
from deploykit.workflow.plan import Source


def default_precisions(source: Source) -> tuple[str, ...]:
    """What a network is built in when nobody says: fp32, or as it is where its file is not in float32."""
    path = source.path if isinstance(source, ModelFile) else None
    if path is None or not path.is_file():
        return ("fp32",)
    try:
        model = onnx.load(str(path), load_external_data=False)
    except (
        Exception
    ):  # whatever protobuf raises: opening the network says what is wrong with the file
        return ("fp32",)
    return (AS_IS,) if is_reduced(model) else ("fp32",)
