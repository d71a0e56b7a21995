"""marinecv: from a folder of wildlife images to a classifier whose score can be believed.

    manifest = mcv.find_data("aquarium")
    catalog = mcv.read_catalog(manifest)
    train = mcv.make_dataset(catalog[catalog["split"] == "train"], spec, class_names, training=True)

The public names stand in `__init__.pyi`. Each is imported when it is first used, so that `import marinecv` is quick.
"""

import ast
import importlib
import sys
from pathlib import Path
from types import ModuleType

_STUB = ast.parse(Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
_MODULES = {name.name: node.module for node in _STUB.body if isinstance(node, ast.ImportFrom) for name in node.names}
__all__ = sorted(_MODULES)
__version__ = "0.1.0"


class _Library(ModuleType):
    def __setattr__(self, name: str, value: object) -> None:
        # `mcv.explain` stays the function when something imports a module of the package `marinecv.explain`.
        if name not in _MODULES or not isinstance(value, ModuleType):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Library


def __getattr__(name: str):
    if name not in _MODULES:
        from marinecv.schema import did_you_mean

        raise AttributeError(f"module 'marinecv' has no attribute {name!r}.{did_you_mean(name, __all__)}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *_MODULES]
