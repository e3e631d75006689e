"""From process start to a loaded GLiClass, by hand: import the package's classes, register them, load."""

import sys

from gliclass.config import GLiClassModelConfig
from gliclass.model import GLiClassModel
from transformers import AutoConfig, AutoModel

AutoConfig.register("GLiClass", GLiClassModelConfig)
AutoModel.register(GLiClassModelConfig, GLiClassModel)
model = AutoModel.from_pretrained(sys.argv[1])
print(type(model).__name__)
