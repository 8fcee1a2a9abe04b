"""Optional dependencies, imported when first used."""

import importlib


def require(module: str, needed_for: str):
    """The imported module.

    Raises
    ------
    ImportError
        Naming the `pip install` that provides it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = {"sklearn": "scikit-learn"}.get(module.partition(".")[0], module.partition(".")[0])
        raise ImportError(f"{needed_for} needs {package}: pip install 'wengert[demo]'") from error
