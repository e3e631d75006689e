# ruff: noqa: E501 # whole messages
"""Errors keep their facts, survive pickling, and are caught by what catches transformers' errors."""

import copy
import pickle

import pytest

import autoreg
from autoreg import errors

ONE_OF_EACH = [
    autoreg.DeclarationError(field="config", value=None, problem="no", suggestions=("a", "b")),
    autoreg.PluginError(
        model_type="z", distribution="d", version="1", location="/x", declared="c", problem="p", advice="a"
    ),
    autoreg.ConflictError(name="z", claimants=(("a", "1", "/a"), ("b", "2", "/b"), ("c", "3", "/c"))),
    autoreg.UnknownArchitectureError(name="z", problem="nobody has it.", notes=("n",), suggestions=("zz",)),
    autoreg.RemoteCodeError(source="s", auto_class="AutoModel", reference="m.C", owner="d 1"),
    autoreg.CheckpointError(file="f", problem="p.", advice="a."),
    autoreg.CheckpointNotFoundError(file="f", problem="p.", advice="a."),
    autoreg.IncompleteCheckpointError(
        file="f", problem="p.", advice="a.", missing=("x",), mismatched=(("y", "(2,)", "(3,)"),), untied=(("u", "v"),)
    ),
    autoreg.IntegrityError(file="f", problem="p.", advice="a.", part="x", expected="1", found="2"),
    autoreg.UnsafeCheckpointError(file="f", problem="p.", advice="a."),
    autoreg.SaveError(file="f", problem="p.", advice="a."),
    autoreg.StrictError(message="m"),
    errors.DerivationError(subject="Z", tried="two configs were tried", problem="it needs x", advice="Give hints."),
    errors.MismatchError(problem="they differ", compared="a with b", difference="a[0]: 1 and 2"),
    errors.NotApplicableError(reason="it has no cache"),
]
KINDS = {
    "DeclarationError": ValueError,
    "PluginError": ImportError,
    "ConflictError": ValueError,
    "UnknownArchitectureError": ValueError,
    "RemoteCodeError": ValueError,
    "CheckpointError": ValueError,
    "CheckpointNotFoundError": OSError,
    "IncompleteCheckpointError": ValueError,
    "IntegrityError": ValueError,
    "UnsafeCheckpointError": ValueError,
    "SaveError": OSError,
    "StrictError": ValueError,
    "DerivationError": ValueError,
    "MismatchError": AssertionError,
    "NotApplicableError": Exception,
}


def test_each_error_is_here() -> None:
    """The list above has every error that autoreg defines."""
    defined = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)}
    assert {type(error) for error in ONE_OF_EACH} == defined - {autoreg.AutoregError, autoreg.AutoregWarning}


@pytest.mark.parametrize("error", ONE_OF_EACH, ids=lambda error: type(error).__name__)
def test_errors_travel(error: autoreg.AutoregError) -> None:
    """An error comes home from a worker process, or from a copy, with its class, facts and sentence."""
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error), error.again()):
        assert type(other) is type(error)
        assert str(other) == str(error)
        assert vars(other) == vars(error)


@pytest.mark.parametrize("error", ONE_OF_EACH, ids=lambda error: type(error).__name__)
def test_errors_are_kin_to_those_people_catch(error: autoreg.AutoregError) -> None:
    """Each error is an AutoregError and of a kind that `except` clauses for transformers already name."""
    assert isinstance(error, autoreg.AutoregError)
    assert isinstance(error, KINDS[type(error).__name__])


def test_raised_again_keeps_the_cause_and_not_the_traceback() -> None:
    """A stored error is raised as a copy with the cause, so that its traceback does not grow."""
    error = ONE_OF_EACH[1]
    error.__cause__ = KeyError("why")
    with pytest.raises(autoreg.PluginError) as caught:
        raise error.again() from error.__cause__
    assert caught.value is not error
    assert caught.value.__cause__ is error.__cause__
    assert error.__traceback__ is None


def test_the_sentences() -> None:
    """Each sentence says who, what was declared, what is wrong and what to run next."""
    assert [str(error) for error in ONE_OF_EACH] == [
        "Architecture field `config` is None: no. Did you mean 'a' or 'b'?",
        "'z' belongs to the plugin d 1 (/x), which cannot be used.\nIt declares c: p.\na",
        "3 installed plugins claim 'z':\n  - a 1 (/a)\n  - b 2 (/b)\n  - c 3 (/c)\nChoose one by setting the environment"
        ' variable AUTOREG_PREFER="z=a" (or "z=b"), or uninstall the other with `pip uninstall`.',
        "nobody has it.\nn\nDid you mean 'zz'?\nSee what is installed with `autoreg list`, and how this was decided with"
        " `autoreg why z`.",
        "s carries its own Python code for AutoModel (m.C); it was not run.\nThe plugin d 1 owns this model type, so no"
        " code from the checkpoint runs, and the plugin declares no class for AutoModel.\nAsk the plugin's author for"
        ' one, or take the plugin out of the way for this process with AUTOREG_DISABLE="d".',
        "f: p.\na.",
        "f: p.\na.",
        "f: p.\n  1 in the model and in no file: x\n  1 of another shape: y: (2,) in the file, (3,) in the model\n"
        "  1 tied by the config and different in the files: u and v\na.",
        "f, x: p.\nExpected 1, found 2.\na.",
        "f: p.\na.",
        "f: p.\na.",
        "m\n(AUTOREG_STRICT is set, which makes this warning an error.)",
        "Z: it needs x.\ntwo configs were tried.\nGive hints.",
        "they differ.\nCompared: a with b.\nFirst difference: a[0]: 1 and 2.",
        "it has no cache.",
    ]


def test_a_plugin_in_conflict_with_itself() -> None:
    """One distribution that declares a class name for two classes is told what its author has to do."""
    assert str(autoreg.ConflictError(name="ZModel", claimants=(("a", "1", "/a"),))) == (
        "One installed plugin declares 'ZModel' more than once, for different classes:\n  - a 1 (/a)\n"
        "transformers looks classes up by name: its author has to give each a name of its own."
    )
