"""What is on disk: a checkpoint's config.json, found and looked over before anything is built from it."""

from __future__ import annotations

from autoreg.checkpoint.config import ConfigFile, find_config, read_config

__all__ = ["ConfigFile", "find_config", "read_config"]
