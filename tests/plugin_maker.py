"""Real plugins without pip: a package and a `.dist-info` folder, written where `sys.path` finds them."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

__all__ = [
    "PROCESSING",
    "REPOSITORY",
    "Plugin",
    "in_new_process",
    "metadata",
    "write_checkpoint",
    "write_plugin",
]

REPOSITORY = Path(__file__).parents[1]
_number = itertools.count()

PROCESSING = {
    "tokenizer": "processing:{0}Tokenizer",
    "image_processor": "processing:{0}ImageProcessor",
    "feature_extractor": "processing:{0}FeatureExtractor",
    "processor": "processing:{0}Processor",
}
"""What to declare, by field, to have every kind of processing class; `{0}` is the name that the classes begin with."""

_MODULES = {
    "__init__": "",
    "plugin": """
        from autoreg import Architecture, hookimpl

        @hookimpl
        def autoreg_architectures():
            return [Architecture(**$declaration)]
        """,
    "configuration": """
        from transformers import PreTrainedConfig

        class ${Class}Config(PreTrainedConfig):
            model_type = "$model_type"
            hidden_size: int = 4
        """,
    "modeling": """
        import torch
        from transformers import PreTrainedModel

        from .configuration import ${Class}Config

        class ${Class}Model(PreTrainedModel):
            config_class = ${Class}Config

            def __init__(self, config):
                super().__init__(config)
                self.scale = torch.nn.Parameter(torch.ones(config.hidden_size))
                self.post_init()

            def _init_weights(self, module):
                pass

            def forward(self, x):
                return x * self.scale

        class ${Class}ForCausalLM(${Class}Model):
            pass
        """,
    "processing": """
        from transformers import FeatureExtractionMixin, PreTrainedTokenizer, ProcessorMixin
        from transformers.image_processing_utils import BaseImageProcessor

        class ${Class}Tokenizer(PreTrainedTokenizer):
            vocab_size = 128

            def get_vocab(self):
                return {chr(code): code for code in range(128)} | self.added_tokens_encoder

            def _tokenize(self, text, **kwargs):
                return list(text)

            def _convert_token_to_id(self, token):
                return ord(token) % 128

            def _convert_id_to_token(self, index):
                return chr(index)

            def save_vocabulary(self, save_directory, filename_prefix=None):
                return ()

        class ${Class}ImageProcessor(BaseImageProcessor):
            pass

        class ${Class}FeatureExtractor(FeatureExtractionMixin):
            pass

        class ${Class}Processor(ProcessorMixin):
            def __init__(self, tokenizer=None, **kwargs):
                super().__init__(tokenizer)
        """,
    "video": """
        from transformers.video_processing_utils import BaseVideoProcessor

        class ${Class}VideoProcessor(BaseVideoProcessor):
            pass
        """,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Plugin:
    """One distribution as it lies on disk.

    Attributes:
        model_type: what it declares.
        distribution, version: who it is.
        package: its import package, of a name that no other test uses.
        prefix: what the names of its classes begin with.
        site: the folder that it was installed into.
    """

    model_type: str
    distribution: str
    version: str
    package: str
    prefix: str
    site: Path

    @property
    def owner(self) -> str:
        """The distribution and its version, as messages write them."""
        return f"{self.distribution} {self.version}"

    @property
    def info(self) -> Path:
        """Its `.dist-info` folder."""
        return self.site / f"{self.distribution.replace('-', '_')}-{self.version}.dist-info"

    def cls(self, reference: str) -> Any:
        """Import and return the class of `module:Name`; the prefix goes without saying."""
        module, _, name = reference.partition(":")
        return getattr(__import__(f"{self.package}.{module}", fromlist=["_"]), self.prefix + name)

    def imported(self) -> list[str]:
        """Return its modules that this process has imported, without the package's name."""
        dots = len(self.package) + 1
        return sorted(name[dots:] for name in sys.modules if name.startswith(f"{self.package}."))

    def cannot_be_used(self, problem: str, *, declared: str = "", advice: str = "") -> str:
        """Return the whole text of the PluginError that blames it."""
        line = f"the entry point {self.model_type} = '{self.package}.plugin' in the group 'autoreg'"
        stop = "" if problem.endswith(("?", ".")) else "."
        upgrade = f"See `autoreg doctor`; a newer version may mend it: pip install --upgrade {self.distribution}"
        return (
            f"{self.model_type!r} belongs to the plugin {self.owner} ({self.site}), which cannot be used.\n"
            f"It declares {declared or line}: {problem}{stop}\n{advice or upgrade}"
        )


def write_plugin(
    site: Path,
    model_type: str = "zigzag",
    *,
    version: str = "1.0",
    distribution: str = "",
    requires: Iterable[str] = (),
    modules: Mapping[str, str] | None = None,
    entry_points: str = "",
    **declaration: Any,
) -> Plugin:
    """Write one installed plugin into `site` and return it.

    By default it declares a config and an `AutoModel`. A reference in the declaration names one of its own modules
    (`"modeling:{0}Model"`, where `{0}` is the prefix of its class names); a module can be replaced by its source, in
    which `$package`, `$Class`, `$model_type` and `$declaration` stand for what they say.
    """
    package = f"autoreg_test_{re.sub('[^a-z0-9]', '_', model_type.lower())}_{next(_number)}"
    prefix = "".join(part.capitalize() for part in re.split("[^A-Za-z0-9]", model_type))
    plugin = Plugin(
        model_type=model_type,
        distribution=distribution or f"autoreg-{model_type}",
        version=version,
        package=package,
        prefix=prefix,
        site=site,
    )
    sources = {**_MODULES, **(modules or {})}
    fields = {
        "model_type": model_type,
        "config": "configuration:{0}Config",
        "models": {"AutoModel": "modeling:{0}Model"},
    }
    fields |= declaration
    words = {
        "package": package,
        "Class": prefix,
        "model_type": model_type,
        "declaration": repr(_qualified(fields, plugin, frozenset(sources))),
    }
    for name, source in sources.items():
        file = site / package / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(Template(_dedent(source)).substitute(words))
    lines = entry_points or f"[autoreg]\n{model_type} = $package.plugin\n"
    metadata(plugin, requires=requires, entry_points=Template(lines).substitute(words))
    return plugin


def metadata(plugin: Plugin, *, requires: Iterable[str] = (), entry_points: str = "") -> None:
    """Write the plugin's `.dist-info` folder."""
    plugin.info.mkdir(parents=True, exist_ok=True)
    headers = ["Metadata-Version: 2.1", f"Name: {plugin.distribution}", f"Version: {plugin.version}"]
    headers += [f"Requires-Dist: {line}" for line in requires]
    (plugin.info / "METADATA").write_text("\n".join([*headers, "", "A plugin of the tests.\n"]))
    (plugin.info / "entry_points.txt").write_text(entry_points)


def write_checkpoint(folder: Path, config: Mapping[str, Any] | str | bytes | None = None, **files: Any) -> Path:
    """Write a checkpoint without weights: config.json, and `name="…"` or `name={…}` as name.json."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in {"config": config, **files}.items():
        if content is not None:
            data = content if isinstance(content, (str, bytes)) else json.dumps(content)
            (folder / f"{name}.json").write_bytes(data.encode() if isinstance(data, str) else data)
    return folder


def in_new_process(
    script: str,
    *,
    path: Iterable[Path] = (),
    cwd: Path | None = None,
    arguments: Iterable[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Any:
    """Run a script in an interpreter of its own, with these folders on PYTHONPATH; return the JSON it prints last."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AUTOREG_")}
    folders = os.pathsep.join(map(str, [*path, REPOSITORY]))
    done = subprocess.run(
        [sys.executable, "-c", _dedent(script), *arguments],
        env={**inherited, "PYTHONPATH": folders, "HF_HUB_OFFLINE": "1", **(environment or {})},
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def _qualified(value: Any, plugin: Plugin, modules: frozenset[str]) -> Any:
    if isinstance(value, Mapping):
        return {_qualified(key, plugin, modules): _qualified(item, plugin, modules) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return tuple(_qualified(item, plugin, modules) for item in value)
    if isinstance(value, str) and value.partition(":")[0] in modules:
        return f"{plugin.package}.{value.replace('{0}', plugin.prefix)}"
    return value.replace("{0}", plugin.prefix) if isinstance(value, str) else value


def _dedent(source: str) -> str:
    lines = source.splitlines()
    margin = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return "\n".join(line[margin:] for line in lines).strip("\n") + "\n"
