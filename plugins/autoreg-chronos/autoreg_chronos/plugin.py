"""What this distribution declares to autoreg: two architectures of the package chronos-forecasting, by name."""

from collections.abc import Iterable

from autoreg import Architecture, hookimpl


@hookimpl
def autoreg_architectures() -> Iterable[Architecture]:
    """Declare both (depth: declaration; imports neither torch nor transformers nor chronos).

    Their checkpoints say `"model_type": "t5"`, which is transformers' own, so each is claimed by the class name in
    its `architectures`. Both forecast, which transformers has an Auto class for; `AutoModel` is the same class,
    because the package has none without the forecasting head.
    """
    bolt = "chronos.chronos_bolt:ChronosBoltModelForForecasting"
    yield Architecture(
        model_type="t5",
        architectures=("ChronosBoltModelForForecasting",),
        models={"AutoModel": bolt, "AutoModelForTimeSeriesPrediction": bolt},
        conformance="autoreg_chronos.conformance:bolt",
        summary="Chronos-Bolt: quantile forecasts from patched time series, on T5",
        homepage="https://arxiv.org/abs/2403.07815",
    )
    chronos2 = "chronos.chronos2.model:Chronos2Model"
    yield Architecture(
        model_type="t5",
        architectures=("Chronos2Model",),
        config="chronos.chronos2.config:Chronos2CoreConfig",
        models={"AutoModel": chronos2, "AutoModelForTimeSeriesPrediction": chronos2},
        conformance="autoreg_chronos.conformance:chronos2",
        summary="Chronos-2: univariate, multivariate and covariate-informed forecasts",
        homepage="https://arxiv.org/abs/2510.15821",
    )
