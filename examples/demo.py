"""The main job on a real checkpoint: load an architecture that transformers does not have, and use it.

Nothing here imports the plugin: `pip install autoreg-retnet` was all.
"""

import sys
from pathlib import Path

import autoreg

CHECKPOINT = Path(__file__).parents[1] / "plugins" / "autoreg-retnet" / "checkpoint"
PROMPT = "And the king said unto "


def main() -> None:
    """Print what each step does and gives."""
    print(f"1. autoreg {autoreg.__version__} is imported; torch is {'' if 'torch' in sys.modules else 'not '}loaded.")

    from autoreg import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    config = AutoConfig.from_pretrained(CHECKPOINT)
    print(f"2. AutoConfig.from_pretrained gave a {type(config).__name__} (model type {config.model_type!r});")
    print(f"   modelling code loaded: {'autoreg_retnet.modeling_retnet' in sys.modules}.")

    tokenizer = AutoTokenizer.from_pretrained(CHECKPOINT)
    model = AutoModelForCausalLM.from_pretrained(CHECKPOINT)
    print(f"3. AutoModelForCausalLM.from_pretrained gave a {type(model).__name__},")
    print(f"   {model.num_parameters():,} trained parameters, from {type(model).__module__}.")

    inputs = tokenizer(PROMPT, return_tensors="pt")
    continued = model.generate(**inputs, max_new_tokens=90, do_sample=False)
    print(f"4. It continues the prompt {PROMPT!r}:")
    print(f"   {tokenizer.decode(continued[0], skip_special_tokens=True)}")

    autoreg.activate()
    from transformers import pipeline

    generator = pipeline("text-generation", model=str(CHECKPOINT))
    print("5. After autoreg.activate(), plain transformers does it too; pipeline('text-generation', ...) says:")
    text = generator("In the beginning ", max_new_tokens=60, do_sample=False)[0]["generated_text"]
    print(f"   {text}")


if __name__ == "__main__":
    main()
