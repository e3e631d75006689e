"""The whole suite on each of the seven architectures; minutes, for classes that nobody here wrote."""

import pytest
from autoreg.pytest_plugin import conformance

pytest.importorskip("fms", reason="pip install --no-deps ibm-fms")

pytestmark = pytest.mark.slow

test_gpt_bigcode = conformance("hf_adapted_gpt_bigcode")
test_gpt_oss = conformance("hf_adapted_gpt_oss")
test_granite = conformance("hf_adapted_granite")
test_llama = conformance("hf_adapted_llama")
test_mixtral = conformance("hf_adapted_mixtral")
test_qwen3 = conformance("hf_adapted_qwen3")
test_roberta = conformance("hf_adapted_roberta")
