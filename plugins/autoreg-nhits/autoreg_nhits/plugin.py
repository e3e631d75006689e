"""What this distribution declares to autoreg: one architecture, its classes by name."""

from collections.abc import Iterable

from autoreg import Architecture, hookimpl


@hookimpl
def autoreg_architectures() -> Iterable[Architecture]:
    """Declare N-HiTS (depth: declaration; imports neither torch nor transformers)."""
    yield Architecture(
        model_type="nhits",
        config="autoreg_nhits.configuration_nhits:NHitsConfig",
        models={
            "AutoModel": "autoreg_nhits.modeling_nhits:NHitsModel",
            "AutoModelForTimeSeriesPrediction": "autoreg_nhits.modeling_nhits:NHitsForPrediction",
        },
        feature_extractor="autoreg_nhits.feature_extraction_nhits:NHitsFeatureExtractor",
        summary="N-HiTS: forecasts by hierarchical interpolation (Challu et al. 2022)",
        homepage="https://arxiv.org/abs/2201.12886",
    )
