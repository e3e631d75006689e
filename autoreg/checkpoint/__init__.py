"""What is on disk: found, looked over before anything is built from it, described, replaced as a whole."""

from __future__ import annotations

from autoreg.checkpoint.annotations import check_fields, fields_of_class, taken_by_class
from autoreg.checkpoint.config import ConfigFile, find_config, read_config
from autoreg.checkpoint.fields import check_sizes
from autoreg.checkpoint.journal import reading
from autoreg.checkpoint.json_file import read_json
from autoreg.checkpoint.names import check_names
from autoreg.checkpoint.weights import Weights, check_files, read_weights

__all__ = [
    "ConfigFile",
    "Weights",
    "check_fields",
    "check_files",
    "check_names",
    "check_sizes",
    "fields_of_class",
    "find_config",
    "read_config",
    "read_json",
    "read_weights",
    "reading",
    "taken_by_class",
]
