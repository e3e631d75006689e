"""What type checkers see of autoreg: checked by mypy (`make lint`), never executed.

A wrong expectation is an error, and so is an ignore that nothing needs.
"""

from collections.abc import Callable, Iterable

import transformers
from typing_extensions import assert_type

import autoreg
from autoreg import Architecture, AutoModelForCausalLM, AutoTokenizer, ClassRef, activate, hookimpl

assert_type(AutoModelForCausalLM, type[transformers.AutoModelForCausalLM])
assert_type(AutoTokenizer, type[transformers.AutoTokenizer])
assert_type(activate(), Callable[[], None])

architecture = Architecture(model_type="retnet", config="a:B", models={"AutoModel": ["a:C", ClassRef("a", "D")]})
assert_type(architecture.config, ClassRef | None)
Architecture(model_type=3)  # type: ignore[arg-type]
Architecture("retnet")  # type: ignore[call-arg]
architecture.model_type = "other"  # type: ignore[misc]

autoreg.AutoModelForCausalML  # type: ignore[attr-defined]
autoreg.activat  # type: ignore[attr-defined]


@hookimpl
def autoreg_architectures() -> Iterable[Architecture]:
    yield architecture


with autoreg.isolated() as runtime:
    assert_type(runtime.types.near("bert"), tuple[str, ...])


def handle(error: autoreg.PluginError) -> str:
    assert_type(error.again(), autoreg.PluginError)
    error.distributor  # type: ignore[attr-defined]
    return error.distribution
