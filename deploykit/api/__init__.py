"""The Python API: what `import deploykit` offers. Each function is what the command of its name does.

Arguments have the names of the command's options, in the plural where several can be given, with numbers for
percentages (0.05, or "5%") and arrays and modules where files and names would stand. They are refused where the
command refuses them, in the same words; every error is a `DeploykitError`. Frames are
`deploykit.report.frame.Frame`.
"""

from __future__ import annotations

from deploykit.api.by_layer import best_mix, layers, layers_to_keep
from deploykit.api.deciding import train, tune
from deploykit.api.judging import check, check_claims, compare, doctor, stored, write_report
from deploykit.api.main_job import run
from deploykit.api.making import (
    build,
    count,
    create_model,
    export,
    list_models,
    model_info,
    quantize,
)
from deploykit.api.measuring import profile
from deploykit.api.running import Loaded, load
from deploykit.spec import BuildOptions, ModelSpec
from deploykit.store import Store

__all__ = [
    "BuildOptions",
    "Loaded",
    "ModelSpec",
    "Store",
    "best_mix",
    "build",
    "check",
    "check_claims",
    "compare",
    "count",
    "create_model",
    "doctor",
    "export",
    "layers",
    "layers_to_keep",
    "list_models",
    "load",
    "model_info",
    "profile",
    "quantize",
    "run",
    "stored",
    "train",
    "tune",
    "write_report",
]
