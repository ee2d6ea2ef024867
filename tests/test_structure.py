"""How the package is put together: no module that nothing reaches, no hidden import without a reason."""

from __future__ import annotations

import re

import source_tree as source

HEAVY = {"numpy", "torch", "onnx", "pandas", "onnxruntime"}


def test_every_module_is_reached():
    from deploykit.cli import COMMANDS

    reached = {"deploykit", "deploykit.__main__"}
    reached |= {f"deploykit.cli.{command}_command" for command in COMMANDS}
    catalogue = (source.PACKAGE / "zoo" / "catalogue.toml").read_text()
    reached |= set(re.findall(r'"(deploykit[\w.]+):\w+"', catalogue))
    for module, tree in source.modules().items():
        for node in source.ast.walk(tree):
            reached |= set(source.imported(module, node)) - {module}
        # Workers are started, and backends loaded, by the name of their module.
        named = {text.partition(":")[0] for text in source.strings(tree)} - {module}
        reached |= {text for text in named if re.fullmatch(r"deploykit(\.\w+)+", text)}
    assert set(source.modules()) - reached == set()
