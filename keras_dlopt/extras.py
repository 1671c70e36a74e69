"""Optional packages: imported where they are used, with one line that says how to get them."""

import importlib.util


def require(module, extra=None):
    """Imports and returns `module`; if it is missing, says which install command brings it.

    Args:
        module: dotted name, e.g. `"jax"`.
        extra: the extra of keras-dlopt that brings it; `None` for a plain dependency.

    Raises:
        ImportError: naming the missing module and `pip install "keras-dlopt[extra]"`.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not (module == error.name or module.startswith(error.name + ".")):
            raise
        package = f'"keras-dlopt[{extra}]"' if extra else "keras-dlopt"
        raise ImportError(f"This needs `{module}`, which is not installed: pip install {package}") from None


def find(module, extra):
    """As `require`, but imports nothing: for packages that another process will load."""
    if importlib.util.find_spec(module) is None:
        raise ImportError(f'This needs `{module}`, which is not installed: pip install "keras-dlopt[{extra}]"')
