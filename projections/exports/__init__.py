"""Exports of a ledger's events: JSON Lines, CSV and Parquet, each with a manifest."""

from .export import EventExport, ExportProgress
from .files import export_to_file, manifest_path
from .formats import FORMATS, unguarded
from .manifest import Manifest
from .places import appearing

__all__ = [
    "FORMATS",
    "EventExport",
    "ExportProgress",
    "Manifest",
    "appearing",
    "export_to_file",
    "manifest_path",
    "unguarded",
]
