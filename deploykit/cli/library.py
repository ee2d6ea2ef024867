# ruff: noqa: F401
"""The packages that commands call, each module of which is imported when something of it is first reached.

`from deploykit.cli.library import workflow` costs nothing until `workflow.build.build_network` is reached, so that
the help of a command imports none of its work. A type checker sees the packages themselves, with the modules that
commands reach in them.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any


class LazyPackage(ModuleType):
    """Stands for a package or module of deploykit; what is asked of it is imported then, modules of it included."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            # Tools that inspect a module's globals ask every value for these; that is no use of the package.
            raise AttributeError(f"{self.__name__} is not imported yet and has no {name}")
        package = importlib.import_module(self.__name__)
        try:
            return getattr(package, name)
        except AttributeError:
            return importlib.import_module(f"{self.__name__}.{name}")


if TYPE_CHECKING:
    import deploykit.backends.base
    import deploykit.backends.pytorch
    import deploykit.bench.contain
    import deploykit.bench.metric
    import deploykit.bench.phases
    import deploykit.bench.scenario
    import deploykit.claims.verdict
    import deploykit.report.check
    import deploykit.report.compare.rendering
    import deploykit.report.csv
    import deploykit.report.junit
    import deploykit.report.markdown
    import deploykit.report.page.candidates_picture
    import deploykit.report.page.files
    import deploykit.report.page.raster
    import deploykit.report.page.reading
    import deploykit.report.profile_page
    import deploykit.report.states
    import deploykit.report.views
    import deploykit.training.checkpoint
    import deploykit.training.loop
    import deploykit.training.recipes
    import deploykit.workflow.against
    import deploykit.workflow.asked
    import deploykit.workflow.build
    import deploykit.workflow.calibration
    import deploykit.workflow.claim_rows
    import deploykit.workflow.configuration
    import deploykit.workflow.convert
    import deploykit.workflow.duration
    import deploykit.workflow.engine_file
    import deploykit.workflow.export
    import deploykit.workflow.frontier
    import deploykit.workflow.keep
    import deploykit.workflow.layers
    import deploykit.workflow.machine
    import deploykit.workflow.network
    import deploykit.workflow.pareto
    import deploykit.workflow.plan
    import deploykit.workflow.profile
    import deploykit.workflow.races
    import deploykit.workflow.rows
    import deploykit.workflow.run
    import deploykit.workflow.search
    import deploykit.workflow.space
    import deploykit.workflow.stored
    import deploykit.workflow.trained
    import deploykit.workflow.tune
    import deploykit.workflow.tuned
    import deploykit.workflow.what_if
    import deploykit.zoo.weights
    from deploykit import (
        backends,
        bench,
        claims,
        columns,
        data,
        env,
        report,
        training,
        workflow,
        writing,
        zoo,
    )
    from deploykit import data as datasets
    from deploykit import store as artifacts
    from deploykit.cli import display, progress
    from deploykit.report import compare, page
else:
    artifacts = LazyPackage("deploykit.store")
    backends = LazyPackage("deploykit.backends")
    bench = LazyPackage("deploykit.bench")
    claims = LazyPackage("deploykit.claims")
    columns = LazyPackage("deploykit.columns")
    compare = LazyPackage("deploykit.report.compare")
    datasets = LazyPackage("deploykit.data")
    display = LazyPackage("deploykit.cli.display")
    env = LazyPackage("deploykit.env")
    page = LazyPackage("deploykit.report.page")
    progress = LazyPackage("deploykit.cli.progress")
    report = LazyPackage("deploykit.report")
    training = LazyPackage("deploykit.training")
    workflow = LazyPackage("deploykit.workflow")
    writing = LazyPackage("deploykit.writing")
    zoo = LazyPackage("deploykit.zoo")

__all__ = [
    "artifacts",
    "backends",
    "bench",
    "claims",
    "columns",
    "compare",
    "datasets",
    "display",
    "env",
    "page",
    "progress",
    "report",
    "training",
    "workflow",
    "writing",
    "zoo",
]
