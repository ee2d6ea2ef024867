"""Puts the double of CUDA under a child process of a test; Python imports this first, from PYTHONPATH."""

import os
import sys
from pathlib import Path

if os.environ.get("CUDA_DOUBLE"):
    sys.path.append(str(Path(__file__).parents[2]))
    import cuda_double
    from cuda_double import driver
    from cuda_double.libraries import replace_libraries

    if os.environ.get("CUDA_DOUBLE_ENGINES"):
        from cuda_double.tensorrt import PatchOnImport

        sys.meta_path.insert(0, PatchOnImport())

    cuda_double.in_child = True
    _settings = cuda_double.settings_of_environment()
    cuda_double.install_on_import(_settings)
    driver.install_on_import()
    replace_libraries(lambda: cuda_double.current.settings if cuda_double.current else _settings)
    if os.environ.get("ONNXRUNTIME_DOUBLE"):
        from cuda_double import onnxruntime

        onnxruntime.install()

    def _end(status, _exit=os._exit):
        """A process that measured ends so; what it did not give back is an offence."""
        if cuda_double.current is not None and not cuda_double.current.gone:
            for leak in cuda_double.current.leaks():
                cuda_double.log(f"leaked {leak}")
        if driver.current is not None:
            for leak in driver.current.leaks():
                cuda_double.log(f"leaked {leak}")
        _exit(status)

    os._exit = _end
