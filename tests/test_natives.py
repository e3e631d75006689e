"""What is read from transformers' files as text is what transformers really has."""

from tests.plugin_maker import in_new_process

SCRIPT = """
import json, sys
from autoreg import natives
ours = [natives.auto_classes(), natives.model_types(), natives.class_names(), natives.PROCESSING_AUTO_CLASSES]
light = sorted({"torch", "transformers"} & set(sys.modules))
from transformers.models.auto import (
    configuration_auto, feature_extraction_auto, image_processing_auto, modeling_auto, processing_auto,
    tokenization_auto,
)
autos = {name for name, value in vars(modeling_auto).items()
         if name.startswith("Auto") and getattr(value, "_model_mapping", None) is not None}
from transformers.models.auto.auto_mappings import VIDEO_PROCESSOR_MAPPING_NAMES as videos
names = set()
def walk(value):
    if isinstance(value, str):
        names.add(value)
    for item in (value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()):
        walk(item)
for module in (configuration_auto, feature_extraction_auto, image_processing_auto, modeling_auto, processing_auto,
               tokenization_auto):
    for name, value in vars(module).items():
        if name.endswith("_MAPPING_NAMES") and name != "MODEL_NAMES_MAPPING":
            walk(value)
walk(videos)
types = set(configuration_auto.CONFIG_MAPPING_NAMES)
import transformers
more = {name for name in dir(transformers) if name.startswith("Auto") and name not in autos
        and not name.startswith("AutoRound")}
print(json.dumps({
    "light": light,
    "autos": [sorted(autos - ours[0]), sorted(name for name in ours[0] - autos if not hasattr(transformers, name))],
    "types": [sorted(types - ours[1]), sorted(ours[1] - types)],
    "names": sorted(names - ours[2]),
    "counts": [len(autos), len(types), len(names)],
    "processing": sorted(ours[3] - more),
}))
"""


def test_the_files_say_what_transformers_has() -> None:
    """Auto classes, model types and class names read from the files are transformers' own, importing nothing."""
    found = in_new_process(SCRIPT)
    assert found["light"] == []
    assert found["autos"] == [[], []]
    assert found["types"] == [[], []]
    assert found["names"] == []
    assert found["processing"] == []
    assert min(found["counts"]) > 40
