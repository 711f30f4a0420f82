"""De-identification of DICOM by PS3.15 and the independent second pass over what would leave the region."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imaging.deid.api import deidentify_dataset, deidentify_file

__all__ = ["deidentify_dataset", "deidentify_file"]


def __getattr__(name: str) -> Any:
    """Loads the two functions when they are first asked for: most importers of a module here need neither."""
    if name not in __all__:
        raise AttributeError(f"module 'imaging.deid' has no attribute '{name}'")
    return getattr(import_module("imaging.deid.api"), name)
