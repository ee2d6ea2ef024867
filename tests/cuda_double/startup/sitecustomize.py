"""Puts the double of CUDA under a child process of a test; Python imports this first, from PYTHONPATH."""

import importlib.abc
import os
import sys
from pathlib import Path


class _BeforeTheBindings(importlib.abc.MetaPathFinder):
    """Installs the double when the bindings are first imported, so that processes without CUDA pay nothing."""

    def find_spec(self, name, path=None, target=None):
        if name == "cuda.bindings.runtime":
            sys.meta_path.remove(self)
            import cuda_double

            cuda_double.install(cuda_double.settings_of_environment())
        return None


if os.environ.get("CUDA_DOUBLE"):
    sys.path.append(str(Path(__file__).parents[2]))
    sys.meta_path.insert(0, _BeforeTheBindings())
    from cuda_double import current, settings_of_environment
    from cuda_double.libraries import replace_libraries

    _settings = settings_of_environment()
    replace_libraries(lambda: current.settings if current else _settings)

    def _end(status, _exit=os._exit):
        """A process that measured ends so; what it did not give back is an offence."""
        import cuda_double

        if cuda_double.current is not None:
            for leak in cuda_double.current.leaks():
                cuda_double.log(f"leaked {leak}")
        _exit(status)

    os._exit = _end
