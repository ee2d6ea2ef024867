"""How the package is put together: no module that nothing reaches, no hidden import without a reason."""

from __future__ import annotations

import re

import source_tree as source

HEAVY = {"numpy", "torch", "onnx", "pandas", "onnxruntime"}


def test_every_module_is_reached():
    from deploykit.cli import COMMANDS

    reached = {"deploykit", "deploykit.__main__"}
    reached |= {f"deploykit.cli.{command}_command" for command in COMMANDS}
    # The catalogue and the claims name functions that make networks.
    statements = sorted((source.PACKAGE / "claims" / "statements").glob("*.toml"))
    for path in (source.PACKAGE / "zoo" / "catalogue.toml", *statements):
        reached |= set(re.findall(r'"(deploykit[\w.]+):\w+"', path.read_text()))
    for module, tree in source.modules().items():
        for node in source.ast.walk(tree):
            reached |= set(source.imported(module, node)) - {module}
        # Workers are started, and backends loaded, by the name of their module.
        named = {text.partition(":")[0] for text in source.strings(tree)} - {module}
        reached |= {text for text in named if re.fullmatch(r"deploykit(\.\w+)+", text)}
    # A module brings the packages that it lies in.
    reached |= {name.rpartition(".")[0] for name in reached}
    assert set(source.modules()) - reached == set()


#: Imports of heavy packages inside functions, which `deploykit.lazy` would otherwise take the place of.
NOT_LAZY = {
    "torch._inductor.config": "a part that `import torch` leaves out",
    "torch._dynamo.utils": "a part that `import torch` leaves out",
    "onnx.reference": "a part that `import onnx` leaves out",
    "onnx.inliner": "a part that `import onnx` leaves out",
}


def hidden_imports() -> set[str]:
    """The heavy packages, and parts of them, that functions import, by their longest name."""
    hidden = set()
    for module, tree in source.modules().items():
        for node in source.imports_in_functions(tree):
            names = [name for name in source.imported(module, node) if name.split(".")[0] in HEAVY]
            parts = [name for name in names if any(name.startswith(p) for p in NOT_LAZY)]
            hidden |= {next(p for p in NOT_LAZY if name.startswith(p)) for name in parts}
            if not parts and names:
                hidden.add(f"{names[-1]} in {module}")
    return hidden


def test_functions_import_heavy_packages_only_where_lazy_ones_do_not_do():
    assert hidden_imports() == set(NOT_LAZY)
