# ruff: noqa: E501, RUF001 # tables of whole messages, one case a line; look-alike letters are the point
"""`Architecture` and `ClassRef`: what a plugin may declare, and how nonsense is refused."""

import pickle
import string
import sys
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from autoreg import Architecture, ClassRef, DeclarationError, natives
from autoreg.architecture import check_model_type

REF = "pkg.module:Name"


def refusal(**fields: Any) -> str:
    """Return what the declaration is refused with."""
    with pytest.raises(DeclarationError) as caught:
        Architecture(**{"model_type": "zigzag", "config": REF, **fields})
    assert isinstance(caught.value, ValueError)
    return str(caught.value)


NOT_A_REFERENCE = "not a class reference; write it as `package.module:ClassName`."
ALPHABET = "a model type holds ASCII letters, digits and `_ - . +` only, and starts with a letter or digit."


# --- nonsense ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("", "a model type is a non-empty string."),
        (None, "a model type is a non-empty string."),
        (3, "a model type is a non-empty string."),
        ("zig zag", ALPHABET),
        ("zig\tzag", ALPHABET),
        ("zigzag\n", ALPHABET),
        ("zig\x00zag", ALPHABET),
        ("zig/zag", ALPHABET),
        ("zig\\zag", ALPHABET),
        ("../evil", ALPHABET),
        ("zig..zag", ALPHABET),
        ("-zigzag", ALPHABET),
        ("z" * 129, ALPHABET),
        ("zіgzag", "holds CYRILLIC SMALL LETTER BYELORUSSIAN-UKRAINIAN I (U+0456), and only ASCII letters can be told apart."),
        ("zigzag\u200b", "holds ZERO WIDTH SPACE (U+200B), and only ASCII letters can be told apart."),
        ("\x85", "holds an unnamed character (U+0085), and only ASCII letters can be told apart."),
    ],
)  # fmt: skip
def test_a_model_type_that_is_none(value: Any, problem: str) -> None:
    """A model type with spaces, control characters, separators or look-alike letters is refused."""
    assert refusal(model_type=value) == f"Architecture field `model_type` is {value!r}: {problem}"


@pytest.mark.parametrize("field", ["config", "tokenizer", "feature_extractor", "processor", "conformance"])
@pytest.mark.parametrize(
    "value", ["Name", "pkg.module.Name", "pkg.module:", ":Name", "pkg module:Name", "pkg:Na-me", "pkg:A:B", "pkg..m:N",
              "pkg.module:Name\n", "pkg:Nаme", "../x:Name", 3, b"pkg:Name"],
)  # fmt: skip
def test_a_reference_that_is_none(field: str, value: Any) -> None:
    """A reference that is not `module:Class` is refused with the field named and the form shown."""
    assert refusal(**{field: value}) == f"Architecture field `{field}` is {value!r}: {NOT_A_REFERENCE}"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"config": None}, "Architecture field `config` is None: every architecture names its config class, unless it claims `architectures` of a native type."),
        ({"config": None, "architectures": ["Zeta"]}, "Architecture field `models` is {}: an architecture declares at least one class."),
        ({"models": [REF]}, f"Architecture field `models` is ['{REF}']: a mapping from Auto class names to class references is needed."),
        ({"models": {3: REF}}, "Architecture field `models` is 3: the keys are names of Auto classes."),
        ({"models": {"AutoModelForCausalML": REF}}, "Architecture field `models[\"AutoModelForCausalML\"]` is 'AutoModelForCausalML': the installed transformers has no such Auto class. Did you mean 'AutoModelForCausalLM'?"),
        ({"models": {"Nothing": REF}}, "Architecture field `models[\"Nothing\"]` is 'Nothing': the installed transformers has no such Auto class."),
        ({"models": {"AutoTokenizer": REF}}, "Architecture field `models[\"AutoTokenizer\"]` is 'AutoTokenizer': that is no Auto class for models; use the field `tokenizer`."),
        ({"models": {"pkg:Auto Model": REF}}, f"Architecture field `models[\"pkg:Auto Model\"]` is 'pkg:Auto Model': {NOT_A_REFERENCE}"),
        ({"models": {"AutoModel": "Name"}}, f"Architecture field `models[\"AutoModel\"]` is 'Name': {NOT_A_REFERENCE}"),
        ({"models": {"AutoModel": (REF, "Name")}}, f"Architecture field `models[\"AutoModel\"][1]` is 'Name': {NOT_A_REFERENCE}"),
        ({"models": {"AutoModel": ()}}, "Architecture field `models[\"AutoModel\"]` is (): a class reference, or a tuple of them, is needed."),
        ({"models": {"AutoModel": None}}, "Architecture field `models[\"AutoModel\"]` is None: a class reference, or a tuple of them, is needed."),
        ({"image_processor": {}}, "Architecture field `image_processor` is {}: a class reference, or a mapping from backend to class reference, is needed."),
        ({"image_processor": 3}, "Architecture field `image_processor` is 3: a class reference, or a mapping from backend to class reference, is needed."),
        ({"video_processor": {"pil": "Name"}}, f"Architecture field `video_processor[\"pil\"]` is 'Name': {NOT_A_REFERENCE}"),
        ({"architectures": ["Not A Name"]}, "Architecture field `architectures` is 'Not A Name': these are class names."),
        ({"architectures": [None]}, "Architecture field `architectures` is None: these are class names."),
        ({"architectures": 3}, "Architecture field `architectures` is 3: these are class names."),
        ({"overrides_native": "5.30"}, "Architecture field `overrides_native` is '5.30': not a version specifier of transformers, such as \"<5.30\" or \">=5.20,<5.24\"."),
        ({"hands_over": "5.30"}, "Architecture field `hands_over` is '5.30': not a version specifier of transformers, such as \"<5.30\" or \">=5.20,<5.24\"."),
        ({"overrides_native": 5}, "Architecture field `overrides_native` is 5: not a version specifier of transformers, such as \"<5.30\" or \">=5.20,<5.24\"."),
        ({"overrides_native": True}, "Architecture field `overrides_native` is True: not a version specifier of transformers, such as \"<5.30\" or \">=5.20,<5.24\"."),
        ({"weight_conversions": "mix tral"}, f"Architecture field `weight_conversions` is 'mix tral': {ALPHABET}"),
        ({"weight_conversions": 3}, f"Architecture field `weight_conversions` is 3: {NOT_A_REFERENCE}"),
        ({"summary": "two\nlines"}, "Architecture field `summary` is 'two\\nlines': one line of printable text is needed."),
        ({"summary": "\x1b[31mred"}, "Architecture field `summary` is '\\x1b[31mred': one line of printable text is needed."),
        ({"summary": None}, "Architecture field `summary` is None: one line of printable text is needed."),
        ({"homepage": "javascript:alert(1)"}, "Architecture field `homepage` is 'javascript:alert(1)': an http or https address is needed."),
    ],
)  # fmt: skip
def test_nonsense_is_refused_with_the_field_named(fields: dict[str, Any], message: str) -> None:
    """Every field refuses nonsense with its name, its value and what is wrong."""
    assert refusal(**fields) == message


def test_an_error_keeps_its_facts() -> None:
    """A refusal has its facts as attributes and survives pickling."""
    with pytest.raises(DeclarationError) as caught:
        Architecture(model_type="zigzag", config=REF, models={"AutoModelForCausalML": REF})
    error = pickle.loads(pickle.dumps(caught.value))
    assert str(error) == str(caught.value)
    assert (error.field, error.value) == ('models["AutoModelForCausalML"]', "'AutoModelForCausalML'")
    assert error.suggestions[0] == "AutoModelForCausalLM"


# --- what is accepted -------------------------------------------------------------------------------


def everything() -> Architecture:
    return Architecture(
        model_type="zigzag",
        config="z.c:ZConfig",
        models={"AutoModel": ["z.m:ZModel", ClassRef("z.m", "ZOther")], "z.autos:AutoModelForZ": "z.m:ZModel"},
        tokenizer="z.t:ZTokenizer",
        image_processor={"pil": "z.i:ZPil", "torchvision": "z.i:ZFast"},
        video_processor="z.v:ZVideo",
        feature_extractor="z.f:ZExtractor",
        processor="z.p:ZProcessor",
        overrides_native="<5.30",
        hands_over=">=5.30",
        weight_conversions="mixtral",
        conformance="z.conformance:hints",
        summary="A zigzag",
        homepage="https://example.org",
    )


@pytest.mark.parametrize("name", sorted(natives.auto_classes()))
def test_every_auto_class_is_accepted(name: str) -> None:
    """Every Auto class for models that the installed transformers has can be declared."""
    assert Architecture(model_type="zigzag", config=REF, models={name: REF}).models[name] == ClassRef(
        "pkg.module", "Name"
    )


def test_a_declaration_is_frozen() -> None:
    """Neither a field nor a mapping of a declaration can be changed."""
    architecture = everything()
    with pytest.raises(FrozenInstanceError):
        architecture.config = None
    with pytest.raises(FrozenInstanceError):
        ClassRef("a", "B").name = "C"
    for mapping in (architecture.models, architecture.image_processor):
        with pytest.raises(TypeError):
            mapping["AutoModel"] = REF
    assert architecture.models["AutoModel"] == (ClassRef("z.m", "ZModel"), ClassRef("z.m", "ZOther"))


def test_a_declaration_does_not_share_its_mappings() -> None:
    """What the plugin does to its dict afterwards does not reach the declaration."""
    models = {"AutoModel": REF}
    architecture = Architecture(model_type="zigzag", config=REF, models=models)
    models["AutoModelForCausalLM"] = REF
    assert list(architecture.models) == ["AutoModel"]


def test_reprs_are_short() -> None:
    """A declaration prints its model type, claims and heads; a reference prints as it is written."""
    assert repr(everything()) == "<Architecture zigzag: AutoModel, z.autos:AutoModelForZ>"
    claim = Architecture(model_type="t5", architectures="ZetaModel", tokenizer=REF)
    assert repr(claim) == "<Architecture t5 claims ZetaModel: no models>"
    assert repr(ClassRef.parse(REF)) == "ClassRef('pkg.module:Name')"


def test_references_are_all_and_in_order() -> None:
    """`references` yields each declared class with its field, in the order of the fields."""
    assert [f"{field} = {reference}" for field, reference in everything().references()] == [
        "config = z.c:ZConfig",
        'models["AutoModel"] = z.m:ZModel',
        'models["AutoModel"] = z.m:ZOther',
        'models["z.autos:AutoModelForZ"] = z.m:ZModel',
        "tokenizer = z.t:ZTokenizer",
        'image_processor["pil"] = z.i:ZPil',
        'image_processor["torchvision"] = z.i:ZFast',
        "video_processor = z.v:ZVideo",
        "feature_extractor = z.f:ZExtractor",
        "processor = z.p:ZProcessor",
    ]


def test_weight_conversions_are_a_model_type_or_a_reference() -> None:
    """Weight conversions are a native model type to inherit from, or a reference."""
    own = Architecture(model_type="zigzag", config=REF, weight_conversions="z.w:RULES")
    assert (everything().weight_conversions, own.weight_conversions) == ("mixtral", ClassRef("z.w", "RULES"))


# --- references -------------------------------------------------------------------------------------


def test_loading_says_what_is_missing() -> None:
    """Loading a reference says which module or name is missing, with a near match."""
    with pytest.raises(ImportError, match=r"^No module named 'no_such_module'$"):
        ClassRef("no_such_module", "X").load()
    with pytest.raises(ImportError, match=r"^module 'fractions' has no 'Fractoin'; it has 'Fraction'$"):
        ClassRef("fractions", "Fractoin").load()
    with pytest.raises(ImportError, match=r"^module 'fractions' has no 'Qqqqqq'$"):
        ClassRef("fractions", "Qqqqqq").load()
    with pytest.raises(TypeError, match=r"^math:pi is float, not a class$"):
        ClassRef("math", "pi").load()


def test_loading_returns_the_class() -> None:
    """Loading a reference imports its module then, and not before."""
    sys.modules.pop("colorsys", None)
    reference = ClassRef("colorsys", "rgb_to_hsv")
    assert "colorsys" not in sys.modules
    assert reference.load_object()(0, 0, 0) == (0, 0, 0)
    assert ClassRef.parse("pathlib:Path").load() is Path


_first = st.sampled_from(string.ascii_letters + "_")
_identifier = st.builds(str.__add__, _first, st.text(string.ascii_letters + string.digits + "_", max_size=8))


@given(st.lists(_identifier, min_size=1, max_size=4), _identifier)
def test_every_reference_is_parsed_and_printed_alike(module: list[str], name: str) -> None:
    """Parsing what a reference prints gives the reference back, for all dotted names."""
    text = f"{'.'.join(module)}:{name}"
    assert str(ClassRef.parse(text)) == text
    assert ClassRef.parse(str(ClassRef.parse(text))) == ClassRef(".".join(module), name)


@given(st.text() | st.none() | st.integers() | st.binary())
@example("a:b")
@example("a.b:C\n")
def test_a_reference_is_accepted_or_refused(text: Any) -> None:
    """Whatever is given for a reference is accepted as it stands, or a DeclarationError; never anything else."""
    try:
        parsed = ClassRef.parse(text)
    except DeclarationError as error:
        assert repr(text) in str(error)  # noqa: PT017 # either outcome is right
    else:
        assert str(parsed) == text
        assert all(part.isidentifier() and part.isascii() for part in [*parsed.module.split("."), parsed.name])


@given(st.text() | st.none() | st.integers() | st.lists(st.text()))
@example("a/b")
@example("İ")
@example("\ud800")
def test_a_model_type_is_accepted_or_refused(text: Any) -> None:
    """Whatever is given for a model type is accepted as it stands, or a DeclarationError; never anything else."""
    try:
        accepted = check_model_type(text)
    except DeclarationError as error:
        assert str(error).startswith("Architecture field `model_type` is ")  # noqa: PT017 # either outcome is right
    else:
        assert accepted == text
        assert set(accepted) <= set(string.ascii_letters + string.digits + "_-.+")
        assert ".." not in accepted


@pytest.mark.parametrize("name", sorted(natives.model_types()))
def test_every_native_model_type_is_one(name: str) -> None:
    """Every model type of transformers' own passes as a model type."""
    assert check_model_type(name) == name
