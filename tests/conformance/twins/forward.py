"""Broken twins: the forward pass."""

from tests.conformance.twins import Twin

TWINS: tuple[Twin, ...] = (
    Twin(
        name="forward-dropout-in-eval",
        defect="The functional dropout of the attention is told to run in eval mode too.",
        check="forward.deterministic",
        on="TidyModel",
        message="two passes",
        patches=(
            ("modeling.py", "p=dropout, training=module.training)", "p=0.1, training=True)"),
            ("modeling.py", "    _supports_sdpa = True\n", ""),
        ),
    ),
)
