"""The main job on a real checkpoint: load an architecture that transformers does not have, and use it.

Nothing here imports the plugin: `pip install autoreg-retnet` was all.
"""

import sys
from pathlib import Path

import autoreg

CHECKPOINT = Path(__file__).parents[1] / "plugins" / "autoreg-retnet" / "checkpoint"
PROMPT = "And the king said unto "
SEED = 2
SAMPLING = {"max_new_tokens": 160, "do_sample": True, "temperature": 0.6, "top_k": 20}


def indented(text: str) -> str:
    """Return the text with each line moved to the right."""
    return "\n".join(f"   | {line}" for line in text.splitlines())


def main() -> None:
    """Print what each step does and gives."""
    print(f"1. autoreg {autoreg.__version__} is imported; torch is {'' if 'torch' in sys.modules else 'not '}loaded.")

    from transformers import pipeline, set_seed

    from autoreg import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    config = AutoConfig.from_pretrained(CHECKPOINT)
    print(f"2. AutoConfig.from_pretrained gave a {type(config).__name__} (model type {config.model_type!r});")
    print(f"   modelling code loaded: {'autoreg_retnet.modeling_retnet' in sys.modules}.")

    tokenizer = AutoTokenizer.from_pretrained(CHECKPOINT)
    model = AutoModelForCausalLM.from_pretrained(CHECKPOINT)
    print(f"3. AutoModelForCausalLM.from_pretrained gave a {type(model).__name__},")
    print(f"   {model.num_parameters():,} trained parameters, from {type(model).__module__}.")

    set_seed(SEED)
    inputs = tokenizer(PROMPT, return_tensors="pt")
    continued = model.generate(**inputs, **SAMPLING)
    print(f"4. It continues the prompt {PROMPT!r} (trained on the King James Bible, byte by byte):")
    print(indented(tokenizer.decode(continued[0], skip_special_tokens=True)))

    autoreg.activate()
    generator = pipeline("text-generation", model=str(CHECKPOINT))
    set_seed(SEED)
    text = generator(PROMPT, **SAMPLING)[0]["generated_text"]
    print("5. After autoreg.activate(), plain transformers does it too; pipeline('text-generation', ...) says:")
    print(indented(text))


if __name__ == "__main__":
    main()
