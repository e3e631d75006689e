"""A model architecture as an ordinary Python package.

`import autoreg` costs nothing: every name here is imported when it is first used.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing's own costs more to import than all of this; checkers know the name
if TYPE_CHECKING:
    # What type checkers see: transformers' own signatures, which the drop-ins keep. A test compares the list
    # with the Auto classes of the newest supported transformers.
    from transformers import (
        AutoBackbone as AutoBackbone,
    )
    from transformers import (
        AutoConfig as AutoConfig,
    )
    from transformers import (
        AutoFeatureExtractor as AutoFeatureExtractor,
    )
    from transformers import (
        AutoImageProcessor as AutoImageProcessor,
    )
    from transformers import (
        AutoModel as AutoModel,
    )
    from transformers import (
        AutoModelForAudioClassification as AutoModelForAudioClassification,
    )
    from transformers import (
        AutoModelForAudioFrameClassification as AutoModelForAudioFrameClassification,
    )
    from transformers import (
        AutoModelForAudioTokenization as AutoModelForAudioTokenization,
    )
    from transformers import (
        AutoModelForAudioXVector as AutoModelForAudioXVector,
    )
    from transformers import (
        AutoModelForCausalLM as AutoModelForCausalLM,
    )
    from transformers import (
        AutoModelForCTC as AutoModelForCTC,
    )
    from transformers import (
        AutoModelForDecision as AutoModelForDecision,
    )
    from transformers import (
        AutoModelForDepthEstimation as AutoModelForDepthEstimation,
    )
    from transformers import (
        AutoModelForDocumentQuestionAnswering as AutoModelForDocumentQuestionAnswering,
    )
    from transformers import (
        AutoModelForImageClassification as AutoModelForImageClassification,
    )
    from transformers import (
        AutoModelForImageMatting as AutoModelForImageMatting,
    )
    from transformers import (
        AutoModelForImageSegmentation as AutoModelForImageSegmentation,
    )
    from transformers import (
        AutoModelForImageTextToText as AutoModelForImageTextToText,
    )
    from transformers import (
        AutoModelForImageToImage as AutoModelForImageToImage,
    )
    from transformers import (
        AutoModelForInstanceSegmentation as AutoModelForInstanceSegmentation,
    )
    from transformers import (
        AutoModelForKeypointDetection as AutoModelForKeypointDetection,
    )
    from transformers import (
        AutoModelForKeypointMatching as AutoModelForKeypointMatching,
    )
    from transformers import (
        AutoModelForMaskedImageModeling as AutoModelForMaskedImageModeling,
    )
    from transformers import (
        AutoModelForMaskedLM as AutoModelForMaskedLM,
    )
    from transformers import (
        AutoModelForMaskGeneration as AutoModelForMaskGeneration,
    )
    from transformers import (
        AutoModelForMultimodalLM as AutoModelForMultimodalLM,
    )
    from transformers import (
        AutoModelForMultipleChoice as AutoModelForMultipleChoice,
    )
    from transformers import (
        AutoModelForNextSentencePrediction as AutoModelForNextSentencePrediction,
    )
    from transformers import (
        AutoModelForNormalEstimation as AutoModelForNormalEstimation,
    )
    from transformers import (
        AutoModelForObjectDetection as AutoModelForObjectDetection,
    )
    from transformers import (
        AutoModelForPointmapEstimation as AutoModelForPointmapEstimation,
    )
    from transformers import (
        AutoModelForPoseEstimation as AutoModelForPoseEstimation,
    )
    from transformers import (
        AutoModelForPreTraining as AutoModelForPreTraining,
    )
    from transformers import (
        AutoModelForQuestionAnswering as AutoModelForQuestionAnswering,
    )
    from transformers import (
        AutoModelForRNNT as AutoModelForRNNT,
    )
    from transformers import (
        AutoModelForSemanticSegmentation as AutoModelForSemanticSegmentation,
    )
    from transformers import (
        AutoModelForSeq2SeqLM as AutoModelForSeq2SeqLM,
    )
    from transformers import (
        AutoModelForSequenceClassification as AutoModelForSequenceClassification,
    )
    from transformers import (
        AutoModelForSpeechSeq2Seq as AutoModelForSpeechSeq2Seq,
    )
    from transformers import (
        AutoModelForTableQuestionAnswering as AutoModelForTableQuestionAnswering,
    )
    from transformers import (
        AutoModelForTableRecognition as AutoModelForTableRecognition,
    )
    from transformers import (
        AutoModelForTDT as AutoModelForTDT,
    )
    from transformers import (
        AutoModelForTextEncoding as AutoModelForTextEncoding,
    )
    from transformers import (
        AutoModelForTextRecognition as AutoModelForTextRecognition,
    )
    from transformers import (
        AutoModelForTextToSpectrogram as AutoModelForTextToSpectrogram,
    )
    from transformers import (
        AutoModelForTextToWaveform as AutoModelForTextToWaveform,
    )
    from transformers import (
        AutoModelForTimeSeriesPrediction as AutoModelForTimeSeriesPrediction,
    )
    from transformers import (
        AutoModelForTokenClassification as AutoModelForTokenClassification,
    )
    from transformers import (
        AutoModelForUniversalSegmentation as AutoModelForUniversalSegmentation,
    )
    from transformers import (
        AutoModelForVideoClassification as AutoModelForVideoClassification,
    )
    from transformers import (
        AutoModelForVisualQuestionAnswering as AutoModelForVisualQuestionAnswering,
    )
    from transformers import (
        AutoModelForZeroShotImageClassification as AutoModelForZeroShotImageClassification,
    )
    from transformers import (
        AutoModelForZeroShotObjectDetection as AutoModelForZeroShotObjectDetection,
    )
    from transformers import (
        AutoProcessor as AutoProcessor,
    )
    from transformers import (
        AutoTokenizer as AutoTokenizer,
    )
    from transformers import (
        AutoVideoProcessor as AutoVideoProcessor,
    )

    from autoreg.architecture import Architecture as Architecture
    from autoreg.architecture import ClassRef as ClassRef
    from autoreg.errors import AutoregError as AutoregError
    from autoreg.errors import AutoregWarning as AutoregWarning
    from autoreg.errors import CheckpointError as CheckpointError
    from autoreg.errors import CheckpointNotFoundError as CheckpointNotFoundError
    from autoreg.errors import ConflictError as ConflictError
    from autoreg.errors import DeclarationError as DeclarationError
    from autoreg.errors import IncompleteCheckpointError as IncompleteCheckpointError
    from autoreg.errors import IntegrityError as IntegrityError
    from autoreg.errors import PluginError as PluginError
    from autoreg.errors import RemoteCodeError as RemoteCodeError
    from autoreg.errors import SaveError as SaveError
    from autoreg.errors import StrictError as StrictError
    from autoreg.errors import UnknownArchitectureError as UnknownArchitectureError
    from autoreg.errors import UnsafeCheckpointError as UnsafeCheckpointError
    from autoreg.hookspecs import hookimpl as hookimpl
    from autoreg.runtime import activate as activate
    from autoreg.runtime import isolated as isolated
    from autoreg.runtime import provenance as provenance
    from autoreg.saving import save_pretrained as save_pretrained

    __version__: str

_HOME = {
    "Architecture": "architecture",
    "AutoregError": "errors",
    "AutoregWarning": "errors",
    "CheckpointError": "errors",
    "CheckpointNotFoundError": "errors",
    "ClassRef": "architecture",
    "ConflictError": "errors",
    "DeclarationError": "errors",
    "IncompleteCheckpointError": "errors",
    "IntegrityError": "errors",
    "PluginError": "errors",
    "RemoteCodeError": "errors",
    "SaveError": "errors",
    "StrictError": "errors",
    "UnknownArchitectureError": "errors",
    "UnsafeCheckpointError": "errors",
    "activate": "runtime",
    "hookimpl": "hookspecs",
    "isolated": "runtime",
    "provenance": "runtime",
    "save_pretrained": "saving",
}

__all__ = [
    "Architecture",
    "AutoregError",
    "AutoregWarning",
    "CheckpointError",
    "CheckpointNotFoundError",
    "ClassRef",
    "ConflictError",
    "DeclarationError",
    "IncompleteCheckpointError",
    "IntegrityError",
    "PluginError",
    "RemoteCodeError",
    "SaveError",
    "StrictError",
    "UnknownArchitectureError",
    "UnsafeCheckpointError",
    "__version__",
    "activate",
    "hookimpl",
    "isolated",
    "provenance",
    "save_pretrained",
]


if not TYPE_CHECKING:  # a checker that saw this function would accept every misspelt name

    def __getattr__(name):
        import importlib

        if name in _HOME:
            value = getattr(importlib.import_module(f"autoreg.{_HOME[name]}"), name)
        elif name.startswith("Auto"):
            value = importlib.import_module("autoreg.auto").drop_in(name)
        elif name == "__version__":
            value = importlib.import_module("importlib.metadata").version("autoreg")
        else:
            raise AttributeError(f"module 'autoreg' has no attribute {name!r}")
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    from autoreg import natives

    return sorted({*__all__, *natives.auto_classes(), *natives.PROCESSING_AUTO_CLASSES})
