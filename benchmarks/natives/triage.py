"""What is known of the red cells: the defects of transformers behind them, and what is so by design."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

__all__ = ["KNOWN", "Known", "explained"]

Kind: TypeAlias = Literal["defect", "design"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """One cause of red cells.

    Attributes:
        check: the id of the check, or several.
        pattern: what `"Class: reason | difference"` matches.
        kind: a `defect` of transformers, or so by `design` and right to say of an architecture all the same.
        why: what causes it, with the evidence.
    """

    check: str | tuple[str, ...]
    pattern: str
    kind: Kind
    why: str

    def explains(self, name: str, red: Mapping[str, Any]) -> bool:
        """Say whether this is the cause of a red cell."""
        checks = (self.check,) if isinstance(self.check, str) else self.check
        text = f"{name}: {red['reason']} | {red['difference']}"
        return red["check"] in checks and re.search(self.pattern, text, re.DOTALL) is not None


KNOWN: Sequence[Known] = (
    # --- configs ---
    Known(
        check=("config.default", "config.token-ids"),
        pattern=r"integer within the vocabulary|is not in the vocabulary",
        kind="defect",
        why="The config's own default ids of special tokens lie outside its default vocabulary.",
    ),
    Known(
        check="config.default",
        pattern=r"cannot be made without arguments",
        kind="defect",
        why="`Config()` raises: the default of a nested config, or of a validated field, is not valid.",
    ),
    Known(
        check="config.default",
        pattern=r"standardize_rope_params",
        kind="defect",
        why="The default config logs a warning about its own rope parameters.",
    ),
    Known(
        check="config.shared-defaults",
        pattern=r"share one object: `config\.\w+\.",
        kind="defect",
        why="`SubConfigSpec.create_subconfig` hands the lists of its own `init_kwargs` to every instance. With a copy"
        " of them the check passes (d_fine, deimv2, edgetam, pp_doclayout_v4, xcodec).",
    ),
    Known(
        check="config.kept",
        pattern=r"changes (the|its) config",
        kind="defect",
        why="The constructor writes into the config that the caller passed.",
    ),
    Known(
        check="config.copies",
        pattern=r"AmbiguousGlobalPerLayer",
        kind="defect",
        why="`==` reads an attribute that differs from layer to layer, and reading it raises.",
    ),
    Known(
        check="config.attribute-map",
        pattern=r"which the config has not",
        kind="defect",
        why="`attribute_map` names a field that does not exist.",
    ),
    Known(
        check="config.labels",
        pattern=r"`id2label` is wrong",
        kind="defect",
        why="`num_labels` is declared again as a field, and no longer sets the label tables.",
    ),
    Known(
        check="config.overrides",
        pattern=r"use_mambapy|use_flash",
        kind="design",
        why="The field is reset where the optional package is not installed.",
    ),
    Known(
        check="config.overrides",
        pattern=r"does not set `",
        kind="defect",
        why="The constructor's argument is overwritten, in `__post_init__` or by the parent.",
    ),
    Known(
        check=("config.roundtrip", "config.dictionary", "config.file", "config.nested", "properties.config-roundtrip"),
        pattern=r"__float__|audio_vocab_size|global_pool|tie_word_embeddings is in the first|dropout_rate",
        kind="defect",
        why="A value that `to_dict` writes is not read back: an infinity in a list, or a field of a nested config.",
    ),
    Known(
        check="config.nested",
        pattern=r"given as a config has other values",
        kind="design",
        why="The whole sets a size of its part from another part, whatever the part says.",
    ),
    Known(
        check="registration.auto-classes",
        pattern=r"^gemma4_(unified_)?assistant: StrictDataclassClassValidationError",
        kind="defect",
        why="`Config()` raises: its defaults do not pass its own `validate_architecture`.",
    ),
    Known(
        check="config.file",
        pattern=r"^pe_(audio_)?video(_encoder)?: config\.json differs when the same config is loaded and written again",
        kind="defect",
        why="`__post_init__` merges its own defaults into a `vision_config` that comes as a dict, as on loading:"
        " `global_pool` appears in what had none (`configuration_pe_video.py:80`).",
    ),
    Known(
        check="properties.config-roundtrip",
        pattern=r"^moshi: .*\| MoshiConfig\(vocab_size=\d+\): depth_decoder_config\.vocab_size: ",
        kind="defect",
        why="The depth decoder is given the vocabulary of the whole only where its config comes as a dict, as it does"
        " on loading (`configuration_moshi.py:175`).",
    ),
    Known(
        check="config.file",
        pattern=r"^voxtral_realtime: config\.json differs",
        kind="defect",
        why="`text_config.tie_word_embeddings` is set by the constructor of the whole, and lost with every loading.",
    ),
    # --- declarations ---
    Known(
        check="registration.module-names",
        pattern=r"_skip_keys_device_placement` names|_no_split_modules` names|_can_record_outputs` names",
        kind="defect",
        why="The table names a class, or an argument, that the architecture does not have.",
    ),
    Known(
        check=("registration.parallel-plans", "registration.weight-names"),
        pattern=r"matches no|is no module",
        kind="defect",
        why="The table names a module or a weight that the architecture does not have.",
    ),
    Known(
        check="registration.base-model-prefix",
        pattern=r"base_model_prefix` is",
        kind="defect",
        why="The prefix of the head is not that of the base model.",
    ),
    Known(
        check="registration.model-type",
        pattern=r"^gpt-sw3: `GPT2Config\.model_type`",
        kind="design",
        why="`gpt-sw3` is a second name of GPT-2, for the sake of its tokenizer.",
    ),
    Known(
        check="registration.module-names",
        pattern=r"^llava_(next_video|onevision): .*_can_record_outputs\['hidden_states'\]` is 'LlamaDecoderLayer'",
        kind="defect",
        why="The table names the layer of one language model, and any may be built in.",
    ),
    Known(
        check="registration.model-type",
        pattern=r"^mlcd: `MLCDVisionConfig\.model_type` is 'mlcd_vision_model'",
        kind="design",
        why="`mlcd` is an older name of `mlcd_vision_model`, kept for old repositories (`modeling_auto.py:375`).",
    ),
    # --- weights ---
    Known(
        check="weights.requires-grad",
        pattern=r"constructor freezes is trained",
        kind="defect",
        why="Loading makes new parameters with `requires_grad=param.is_floating_point()` (`core_model_loading.py`):"
        " what `__init__` froze, such as sinusoidal positions, is trained.",
    ),
    Known(
        check=("weights.missing", "weights.base-into-head", "weights.partly-missing", "weights.initialised"),
        pattern=r"left uninitialised",
        kind="defect",
        why="`_init_weights` does not reach the tensor, so what `torch.empty` gave stays: parametrized weight norms,"
        " bare parameters beside the layers.",
    ),
    Known(
        check="weights.attributes",
        pattern=r"is an ordinary attribute",
        kind="defect",
        why="A tensor that the outputs depend on is no buffer: `.to(device)` leaves it behind.",
    ),
    Known(
        check="weights.meta-device",
        pattern=r"holds a parameter with memory",
        kind="defect",
        why="`torch.FloatTensor(n)` and `torch.Tensor(n)` ignore the device that the model is built on.",
    ),
    Known(
        check="weights.ignored-missing",
        pattern=r"_keys_to_ignore_on_load_missing` hides",
        kind="defect",
        why="A random weight is loaded without a word.",
    ),
    Known(
        check="weights.head-into-base",
        pattern=r"^DeepseekV4\w+: A weight differs saved with its head .*\| norm\.weight\[",
        kind="defect",
        why=r"`conversion_mapping.py` renames `\.norm\.` to `.kv_norm.` for the compressors of the original checkpoint;"
        " it meets the final norm as well, once saved as `model.norm.weight`, which then loads as random. Without the"
        " rule the check passes.",
    ),
    Known(
        check=("weights.roundtrip", "weights.sharded", "weights.partly-missing"),
        pattern=r"^ChineseCLIPModel: .*word_embeddings\.weight\[0, 0\]: 0 and",
        kind="defect",
        why="`_init_weights` zeroes `embedding.weight[padding_idx]`: a view, which does not carry the mark of what"
        " was loaded, so the row of the padding token is lost with every load (`modeling_chinese_clip.py:551`). Where"
        " a loaded weight is left alone the checks pass.",
    ),
    Known(
        check="weights.base-prefix",
        pattern=r"^Llama4ForCausalLM: `base_model_prefix` is 'language_model', and the base model is `model`",
        kind="defect",
        why="A head of its own has the prefix of the multimodal class (`modeling_llama4.py:570`).",
    ),
    Known(
        check="weights.dtype",
        pattern=r"^GraniteSpeech5\w+: .*num_batches_tracked: 'torch\.float32' and 'torch\.int64'",
        kind="defect",
        why="`_keep_in_fp32_modules_strict` names the batch norm, and its counter is cast with it"
        " (`modeling_granite_speech5.py:328`).",
    ),
    Known(
        check=(
            "weights.roundtrip",
            "weights.sharded",
            "weights.partly-missing",
            "weights.flipped-ties",
            "weights.base-into-head",
            "weights.head-into-base",
        ),
        pattern=r"^Zaya\w+: .*balancing_biases\[\d\]: -1 and",
        kind="defect",
        why="`_init_weights` writes -1 into the last of the `balancing_biases` by an assignment, which does not ask"
        " whether they were loaded (`modeling_zaya.py:669`); asked that, the checks pass.",
    ),
    Known(
        check="weights.dtype",
        pattern=r"^XLNet\w+: .*word_embedding\.weight: 'torch\.float32' and 'torch\.bfloat16'",
        kind="defect",
        why="`torch.FloatTensor(n)` makes parameters float32 whatever the default dtype is: a bfloat16 model is none."
        " With `torch.empty(n)` this check, `weights.meta-device` and `training.bfloat16` pass.",
    ),
    # --- forward ---
    Known(
        check="forward.hidden-states",
        pattern=r"^OneFormer\w+: `transformer_decoder_hidden_states` is no tuple of tensors",
        kind="defect",
        why="The field holds the auxiliary predictions, which are dicts, and no hidden states"
        " (`modeling_oneformer.py:2964`).",
    ),
    Known(
        check="forward.hidden-states",
        pattern=r"^PegasusX\w+: `encoder_hidden_states` is no tuple of tensors",
        kind="defect",
        why="The last of the encoder's hidden states is a pair, of the local and of the global tokens"
        " (`modeling_pegasus_x.py:898`).",
    ),
    Known(
        check="forward.attentions",
        pattern=r"^MiniCPM(Ocr|V4_7)VisionModel: `output_attentions=True` is ignored",
        kind="defect",
        why="The attention returns `attn_output, None` with every implementation (`modeling_minicpm_ocr.py:234`), and"
        " is named in `_can_record_outputs`.",
    ),
    Known(
        check=("forward.eager-and-sdpa", "forward.right-padding"),
        pattern=r"^PaliGemmaModel: ",
        kind="defect",
        why="Without `token_type_ids` the mask is a causal one, which sdpa drops where no row is padded, and"
        " `GemmaAttention.is_causal` is False (`use_bidirectional_attention`): the text is then read in both"
        " directions. With `is_causal` set to True eager and sdpa agree.",
    ),
    Known(
        check="forward.default-mask",
        pattern=r"^Qwen2Audio\w+: It fails without an attention mask: TypeError: 'NoneType' object is",
        kind="defect",
        why="A text with one token for each sound is expanded by `_merge_input_ids_with_audio_features`, which reads"
        " the optional `attention_mask` (`modeling_qwen2_audio.py:536`).",
    ),
    Known(
        check="forward.default-mask",
        pattern=r"^VideoPrismClipModel: Without an attention mask",
        kind="defect",
        why="The causal mask of the text is made only where `attention_mask` is given (`modeling_videoprism.py:689`):"
        " without one the text is read in both directions.",
    ),
    Known(
        check=("forward.mask", "forward.eager-and-sdpa-padded"),
        pattern=r"^RecurrentGemma\w+: ",
        kind="defect",
        why="`RecurrentGemmaRecurrentBlock` takes `attention_mask` and does not use it"
        " (`modeling_recurrent_gemma.py:418`): what padding leaves in the states depends on its ids, and on how"
        " attention treats hidden places. With `linear_x` masked there, hidden tokens no longer matter, and with"
        " `linear_y` too eager and sdpa agree.",
    ),
    Known(
        check="generation.left-padding",
        pattern=r"^FlaubertWithLMHeadModel",
        kind="defect",
        why="`prepare_inputs_for_generation` passes neither the mask nor positions on (`modeling_flaubert.py:957`);"
        " with both the check passes.",
    ),
    Known(
        check="generation.left-padding",
        pattern=r"^DogeForCausalLM",
        kind="design",
        why="Beyond `keep_window_size` keys those of the largest scores are kept, and in the first layer a token that"
        " is said twice has the same score at both places: which one stays depends on the layout. With a window as"
        " long as the text the check passes.",
    ),
    Known(
        check=("forward.left-padding", "generation.left-padding"),
        pattern=r"padded on the left",
        kind="design",
        why="Positions are counted by column, and there is no `position_ids`: padding belongs on the right.",
    ),
    Known(
        check=("forward.mask", "forward.right-padding", "forward.left-padding", "forward.any-length"),
        pattern=r"^Rwkv",
        kind="defect",
        why="`attention_mask` is accepted and not used, and a batch of single tokens is taken for one text.",
    ),
    Known(
        check="forward.right-padding",
        pattern=r"^(Siglip|Canine|Siglip2)",
        kind="design",
        why="Trained with padding that is attended to; the last place is pooled.",
    ),
    Known(
        check=("forward.mask", "forward.right-padding"),
        pattern=r"^(ConvBert|Nystromformer|Yoso|MobileBert|Funnel)",
        kind="design",
        why="Convolutions, landmarks and pooled sequences mix neighbouring places before the mask applies.",
    ),
    Known(
        check=("forward.causal", "forward.prefix", "forward.mask", "forward.right-padding"),
        pattern=r"^(DiffusionGemma|XLNet)",
        kind="design",
        why="Registered as a causal language model and bidirectional by nature: diffusion, permutations.",
    ),
    Known(
        check="forward.eager-and-sdpa",
        pattern=r"cannot be built with `attn_implementation=\"sdpa\"`",
        kind="defect",
        why='`_supports_sdpa` is declared, and a part of the model refuses `attn_implementation="sdpa"`.',
    ),
    Known(
        check=("forward.mask", "forward.right-padding"),
        pattern=r"^(OwlViT|Owlv2|XCLIP|GroupViT|CLIPSeg|AltCLIP|ChineseCLIP)",
        kind="design",
        why="The text is pooled at its largest id, whatever the mask hides.",
    ),
    Known(
        check=("forward.hidden-states", "forward.attentions", "forward.any-batch"),
        pattern=r"image_hidden_states",
        kind="defect",
        why="`image_hidden_states` is the whole output of the vision model and no tensor.",
    ),
    Known(
        check="forward.deterministic",
        pattern=r"^Vilt.*aten::multinomial",
        kind="defect",
        why="`visual_embed` chooses the patches by `multinomial`, in eval mode too (`modeling_vilt.py:155`). With a"
        " fixed order the check passes.",
    ),
    Known(
        check=("forward.eager-and-sdpa", "forward.right-padding"),
        pattern=r"^Aimv2",
        kind="defect",
        why='A mask that hides nothing becomes None with "sdpa", and `Aimv2Attention.is_causal` is False: the text is'
        " read causally only where a row is padded (`modeling_aimv2.py`). With `is_causal` set to True they pass.",
    ),
    Known(
        check="forward.eager-and-sdpa",
        pattern=r"^(NemotronAsrStreaming|Nemotron3_5Asr)",
        kind="defect",
        why="The relative positions are masked by `attention_mask.logical_not()`, which turns the float mask of"
        ' "eager" around: what may be seen gets -inf (`modeling_nemotron_asr_streaming.py:614`). With the float mask'
        " compared to its own minimum they agree.",
    ),
    Known(
        check="forward.attentions",
        pattern=r"^Cosmos3EdgeVision.*is ignored",
        kind="defect",
        why="`_can_record_outputs` of the vision model names the attention of the text model.",
    ),
    Known(
        check=("forward.hidden-states", "forward.attentions"),
        pattern=r"^Nemotron3_5TranscribeAudioModel.*is ignored",
        kind="defect",
        why="The output has the fields, and neither the argument nor what the encoder gives is passed on.",
    ),
    Known(
        check="forward.attentions",
        pattern=r"^BigBird.*is ignored",
        kind="defect",
        why="A text too short for sparse attention replaces the attention modules inside `forward`, after the hooks"
        " of `capture_outputs` were put on the old ones.",
    ),
    Known(
        check=("forward.hidden-states", "forward.attentions"),
        pattern=r"^BridgeTower.*is no tuple of tensors",
        kind="defect",
        why="The field is annotated `tuple[torch.Tensor]` and holds a tuple for each of text, image and both.",
    ),
    Known(
        check=("forward.mask", "forward.right-padding"),
        pattern=r"^DeepseekV4",
        kind="design",
        why="Blocks of neighbouring tokens are compressed into one key, hidden ones with them.",
    ),
    Known(
        check="forward.inputs-embeds",
        pattern=r"^DeepseekV4.*'reshape'",
        kind="defect",
        why="`inputs_embeds` is offered, and the first layers choose their experts by `tid2eid[input_ids]`, where"
        " `input_ids` is then None.",
    ),
    Known(
        check="forward.hidden-states",
        pattern=r"^(DeepseekV4|Glm5NextText|HYV4).*not all of the shape \(batch, length, width\)",
        kind="design",
        why="Hyper-connections: between the layers there are several streams, after the last one.",
    ),
    Known(
        check="forward.hidden-states",
        pattern=r"^Reformer.*hidden_states\[-1\]",
        kind="design",
        why="Reversible layers have two streams: the hidden states are of one, `last_hidden_state` is made of both.",
    ),
    Known(
        check="forward.hidden-states",
        pattern=r"^(Aimv2|AltCLIP|Blip|CLIP|CLIPSeg|ChineseCLIP|GroupViT|MetaClip2|OwlViT|Owlv2|Siglip2?|XCLIP)Text\w*:"
        r" `hidden_states\[-1\]",
        kind="design",
        why="`capture_outputs(tie_last_hidden_states=False)`: the last hidden state is that before the last norm.",
    ),
    Known(
        check="forward.rows-alone",
        pattern=r"^FastSpeech2Conformer.*spectrogram",
        kind="defect",
        why="A row for which the model predicts no frame at all is given one a token only where the whole batch has"
        " none: `length_regulator` asks `duration_labels.sum() == 0`. Without the question the check passes.",
    ),
    Known(
        check="forward.any-length",
        pattern=r"^Funnel.*A text of 1 tokens fails: RuntimeError: index 4 is out of bounds",
        kind="defect",
        why="`get_position_embeds` makes a table of `4 * seq_len` relative positions, and pooling asks for more of a"
        " text of one token. With a longer table the check passes.",
    ),
    Known(
        check="forward.any-length",
        pattern=r"^Canine.*A text of 1 tokens fails.*max_pool1d",
        kind="design",
        why="Characters are pooled by `downsampling_rate`, and fewer make nothing to attend to.",
    ),
    Known(
        check=("forward.mask", "forward.right-padding"),
        pattern=r"^Sam3LiteText(Text)?Model",
        kind="design",
        why="The first and the last layer are convolutions, which mix neighbouring places whatever the mask hides.",
    ),
    Known(
        check="forward.hidden-states",
        pattern=r"^Sam3LiteTextTextModel.*is ignored",
        kind="defect",
        why="`_can_record_outputs` names the transformer layers only; the first and the last are `RepMixerBlock`.",
    ),
    Known(
        check=("forward.mask", "forward.right-padding"),
        pattern=r"^ClvpModelForConditionalGeneration",
        kind="defect",
        why="`attention_mask` is not passed to the speech decoder, which is conditioned on the text, and the summary of"
        " the text is a mean over padding too.",
    ),
    Known(
        check="forward.device",
        pattern=r"^Clvp.*modeling_clvp\.py",
        kind="defect",
        why="`ClvpRotaryPositionalEmbedding` keeps the table of the last call on `self`, and `.to(device)` leaves it"
        " behind.",
    ),
    Known(
        check="forward.device",
        pattern=r"^Mimi.*modeling_mimi\.py",
        kind="defect",
        why="`MimiEuclideanCodebook` keeps the codebook of the first call on `self`, and `.to(device)` leaves it"
        " behind.",
    ),
    Known(
        check=("forward.mask", "forward.right-padding", "forward.causal", "forward.prefix"),
        pattern=r"^CpmAnt",
        kind="design",
        why="All tokens are context, read in both directions, and padding is told by the id 0: `attention_mask` is a"
        " dummy.",
    ),
    Known(
        check="forward.return-dict",
        pattern=r"^DecisionTransformerModel",
        kind="defect",
        why="The tuple has three of the fields: `last_hidden_state`, hidden states and attentions are left out.",
    ),
    Known(
        check="forward.hidden-states",
        pattern=r"^EmbeddingGemma2Text.*not all of the shape \(batch, length, width\)",
        kind="design",
        why="The last hidden state is projected to the width of the embedding.",
    ),
    Known(
        check="forward.eager-and-sdpa",
        pattern=r"^SeamlessM4Tv2",
        kind="defect",
        why="`_apply_chunk_attention` makes a mask of bools in four dimensions, which `create_bidirectional_mask`"
        ' passes through, and "eager" adds it to the scores: ones and zeros hide nothing.',
    ),
    Known(
        check="forward.eager-and-sdpa-padded",
        pattern=r"cannot be built with `attn_implementation=\"sdpa\"`",
        kind="defect",
        why='`_supports_sdpa` is declared, and a part of the model refuses `attn_implementation="sdpa"`.',
    ),
    Known(
        check="forward.inputs-embeds",
        pattern=r"^LongformerForSequenceClassification.*zeros_like",
        kind="defect",
        why="The global attention mask is made by `torch.zeros_like(input_ids)`, also where `inputs_embeds` is passed"
        " (`modeling_longformer.py:1682`).",
    ),
    Known(
        check="forward.hidden-states",
        pattern=r"^T5Gemma\w*:.*changes the other outputs \| (decoder_)?hidden_states\[0\]",
        kind="defect",
        why="Unasked, `decoder_hidden_states` holds the last state, and asked for, all of them: its first element is"
        " another one (`modeling_t5gemma.py`).",
    ),
    Known(
        check="forward.instances",
        pattern=r"^TapasForQuestionAnswering.*the same outputs",
        kind="design",
        why="Without `token_type_ids` no token lies in a cell of a table, and all logits are those of no answer.",
    ),
    Known(
        check=("forward.hidden-states", "forward.attentions"),
        pattern=r"^Gemma3nAudioEncoder.*is ignored",
        kind="defect",
        why="`_can_record_outputs` is inherited and names the layers of the text model.",
    ),
    Known(
        check="forward.inputs-embeds",
        pattern=r"^(Gemma3nText|Gemma3nForCausalLM).*gives other outputs",
        kind="design",
        why="Each layer has embeddings of its own, looked up by id: `per_layer_inputs` must be passed beside.",
    ),
    Known(
        check="forward.inputs-embeds",
        pattern=r"^Esm(Model|For\w+):.*gives other outputs",
        kind="defect",
        why="`EsmModel` passes `inputs_embeds` around `EsmEmbeddings`: the scaling of `token_dropout` and the positions"
        " are left out.",
    ),
    Known(
        check="forward.inputs-embeds",
        pattern=r"^EsmcFor\w+:.*'indices' \(position 2\) must be Tensor, not NoneType",
        kind="defect",
        why="The head has the argument `inputs_embeds`, and its base model looks up `input_ids` all the same.",
    ),
    Known(
        check="forward.inputs-embeds",
        pattern=r"^FSMTModel.*missing 1 required positional argument: 'input_ids'",
        kind="defect",
        why="`inputs_embeds` is offered, and `input_ids` has no default.",
    ),
    Known(
        check="forward.causal",
        pattern=r"^FSMT",
        kind="defect",
        why="The causal mask is made only where `use_cache` is False (`modeling_fsmt.py:857`): not by default. Made"
        " always, the check passes.",
    ),
    Known(
        check=("forward.causal", "forward.prefix", "forward.right-padding"),
        pattern=r"^ProphetNet",
        kind="defect",
        why="`get_predict_relative_pos_embeddings` lays the biases out as (batch, place, stream, head) and views"
        " them as (batch, stream, head, place): each place gets those of others, later ones too. Laid out as they are"
        " viewed, future tokens no longer leak, and the cache agrees as well.",
    ),
    Known(
        check="forward.deterministic",
        pattern=r"^SpeechT5\w*:.*aten::bernoulli",
        kind="design",
        why="The pre-net of the speech decoder drops out at inference too, as that of Tacotron 2 does.",
    ),
    # These three stand before the general entry for "are no weights".
    Known(
        check="forward.attentions",
        pattern=r"^SqueezeBert.*are no weights",
        kind="defect",
        why="`attention_score`, from before the softmax, is returned as `attentions` (`modeling_squeezebert.py:326`).",
    ),
    Known(
        check="forward.attentions",
        pattern=r"^ProphetNet.*cross_attentions\[\d\]` are no weights",
        kind="defect",
        why="`attn_weights_reshaped`, from before the softmax, is what is returned (`modeling_prophetnet.py:480`).",
    ),
    Known(
        check="forward.attentions",
        pattern=r"^Longformer.*global_attentions\[\d\]` are no weights",
        kind="design",
        why="The weights of the global tokens come transposed: they sum to one over the axis before the last.",
    ),
    Known(
        check="forward.attentions",
        pattern=r"^GraniteSpeech5\w+:.*is ignored",
        kind="defect",
        why="The attention module drops the weights that it is given, and `_can_record_outputs` names none.",
    ),
    Known(
        check="forward.attentions",
        pattern=r"are no weights",
        kind="design",
        why="What is returned as `attentions` are no softmax weights but the states of linear attention, or scores"
        " beside relative positions.",
    ),
    Known(
        check=("forward.rows-alone", "forward.rows-leak"),
        pattern=r"^Autoformer",
        kind="defect",
        why="The delays of a row are laid out by `repeat(num_heads, …)`, heads first, beside values that are laid out"
        " rows first: rows get each other's delays (`modeling_autoformer.py:556`). With `repeat_interleave` they pass.",
    ),
    Known(
        check=("forward.inputs-embeds", "generation.inputs-embeds"),
        pattern=r"^Blt\w+: .*input_ids is required for entropy-based patching",
        kind="design",
        why="Patches are cut where a second model is surprised by the bytes, so the bytes are needed.",
    ),
    Known(
        check=("forward.mask", "forward.left-padding", "forward.eager-and-sdpa-padded", "generation.left-padding"),
        pattern=r"^Blt",
        kind="design",
        why="Patches are cut from all bytes, hidden ones too, and hash embeddings look back over them.",
    ),
    Known(
        check=("generation.cache", "generation.chunks", "generation.beams", "generation.continued"),
        pattern=r"^Blt",
        kind="defect",
        why="With a cache `forward` sees the new bytes only, and cuts patches and hashes from them alone"
        " (`modeling_blt.py:1206`).",
    ),
    Known(
        check=("generation.resize", "generation.resize-untied", "generation.resize-saved"),
        pattern=r"^Blt",
        kind="defect",
        why="The patcher is a language model of its own, whose embeddings keep their size.",
    ),
    Known(
        check="forward.attentions",
        pattern=r"^(MM)?(GroundingDino|Lfm3VlVision|MaskFormerSwin|OneFormer|PvtV2|VideoLlama3Vision)\w*:.*no tuple of",
        kind="design",
        why="A layer attends several times, or there are several images or stages: a tuple of tuples.",
    ),
    Known(
        check="forward.hidden-states",
        pattern=r"^MaskFormerSwinModel: `hidden_states` is no tuple of tensors",
        kind="defect",
        why="The field is annotated `tuple[torch.FloatTensor]` and holds a tuple for each stage.",
    ),
    Known(
        check="forward.attentions",
        pattern=r"^MaskFormerSwinModel: .*'NoneType' object is not subscriptable",
        kind="defect",
        why="Attentions are taken out of the hidden states of a stage, which are None unless those are asked for, too"
        " (`modeling_maskformer_swin.py:660`).",
    ),
    Known(
        check=("forward.attentions", "training.dropout"),
        pattern=r"^HunYuanVLVisionTransformer",
        kind="defect",
        why="Without flash attention each chunk keeps the output alone and `attn_weights` is None; the dropout is not"
        " passed on.",
    ),
    Known(
        check="forward.eager-and-sdpa",
        pattern=r"^Kosmos2(_5)?\w*: .*projection_attentions is in the second only",
        kind="defect",
        why="The attentions of the projection are returned unasked, and there are none with sdpa.",
    ),
    Known(
        check="forward.attentions",
        pattern=r"^Llama4ForConditionalGeneration: IndexError: tuple index out of range",
        kind="defect",
        why="The vision model reads `output[2]` of an encoder that returns no hidden states"
        " (`modeling_llama4.py:1135`).",
    ),
    Known(
        check="forward.hidden-states",
        pattern=r"^Sam3LiteTextTextModel: There are 2 `hidden_states`",
        kind="defect",
        why="`_can_record_outputs` names the attention layer; the convolutional layers before and after are none.",
    ),
    Known(
        check="forward.hidden-states",
        pattern=r"^Tipsv2TextModel: `hidden_states\[-1\]` is not `last_hidden_state`",
        kind="defect",
        why="The final layer norm is not put into `hidden_states[-1]`, as it is in other models"
        " (`modeling_tipsv2.py:923`).",
    ),
    Known(
        check="forward.deterministic",
        pattern=r"^VibeVoiceAcousticTokenizerModel: .*aten::randn",
        kind="design",
        why="The encoder is that of a variational model, and noise is added to what it gives.",
    ),
    Known(
        check="forward.return-dict",
        pattern=r"^VibeVoiceAcousticTokenizer(De|En)coderModel: `return_dict=False` is ignored",
        kind="defect",
        why="`forward` has no decorator that turns its output into a tuple.",
    ),
    # --- training ---
    Known(
        check="training.num-items",
        pattern=r"num_items_in_batch` is ignored",
        kind="defect",
        why="`forward` takes `**kwargs`, which the Trainer reads as a promise to divide by `num_items_in_batch`"
        " (`trainer.py`), and returns a plain mean: with gradient accumulation the loss is a multiple of what it should"
        " be.",
    ),
    Known(
        check="training.loss",
        pattern=r"^(?!XLNet).*labels shifted by 0",
        kind="defect",
        why="Registered under AutoModelForCausalLM, and each logit is compared with the label at its own place.",
    ),
    Known(
        check="training.dropout",
        pattern=r"a rate of 0.5 is refused|^Mpt",
        kind="defect",
        why="The dropout fields are typed `int`, so that validation refuses every rate but 0 and 1.",
    ),
    Known(
        check="training.frozen-base",
        pattern=r"a leaf Variable that requires grad",
        kind="defect",
        why="The embeddings are changed in place, which LoRA with `enable_input_require_grads` does not survive.",
    ),
    Known(
        check="training.bfloat16",
        pattern=r"Unsupported dtype BFloat16",
        kind="defect",
        why="`torch.fft` takes no bfloat16, on any device (the meta device neither), and the states are not cast"
        " before it.",
    ),
    Known(
        check=("training.bfloat16", "beyond.half-precision"),
        pattern=r"does not run|same dtype",
        kind="defect",
        why="A tensor that `forward` makes, or a part of the model, is float32 whatever the weights are.",
    ),
    Known(
        check="training.derivative",
        pattern=r"(Detr|Deimv2|DFine|Dino)",
        kind="design",
        why="The queries that the first stage selects are detached on purpose.",
    ),
    Known(
        check="training.derivative",
        pattern=r"^GroupViT",
        kind="design",
        why="Tokens are assigned to groups by a hard choice with the gradient of a soft one.",
    ),
    Known(
        check=("training.derivative", "training.gradients", "training.input-gradients", "training.finite"),
        pattern=r"^Reformer",
        kind="design",
        why="Reversible layers can be differentiated in train mode only, and there the length is fixed by the config.",
    ),
    Known(
        check="training.gradients",
        pattern=r"(no gradient reaches it|nor by any output) \| ([\w.]+\.indexer\.[\w.]+(, )?)+$",
        kind="design",
        why="The indexer of sparse attention only chooses keys (`topk` under `no_grad`): it is trained by a loss of its"
        " own, which transformers does not bring.",
    ),
    Known(
        check="training.gradients",
        pattern=r"^GlmImage\w*: .*no gradient reaches it \| (\w+\.)*visual\.",
        kind="design",
        why="The image is turned into ids of a codebook (`get_image_tokens`), through which no gradient goes.",
    ),
    Known(
        check="training.gradients",
        pattern=r"^ClvpModelForConditionalGeneration: .*no gradient reaches it \| conditioning_encoder\.",
        kind="design",
        why="The speech is generated as ids on the way, through which no gradient goes.",
    ),
    Known(
        check="training.gradients",
        pattern=r"^Nemotron3_5Transcribe\w*: .*no gradient reaches it \| (\w+\.)*diarization_model\.",
        kind="design",
        why="Who speaks is decided by a threshold (`modeling_nemotron3_5_transcribe.py:603`), through which no gradient"
        " goes.",
    ),
    Known(
        check="training.gradients",
        pattern=r"nor by any output \| [\w.]+\.act\.lab\.(bias|scale),.*\.act\.lab\.",
        kind="defect",
        why="`PPLCNetV3LearnableRepLayer` makes an activation with weights (`act.lab`) also with a stride of 2, where"
        " `forward` leaves it out (`modeling_pp_lcnet_v3.py:165`).",
    ),
    Known(
        check="training.gradients",
        pattern=r"^BlipModel: .*nor by any output \| text_model\.encoder\.layer\.\d+\.crossattention\.",
        kind="defect",
        why="The text config says `is_decoder=True` by default, so cross attention is built, and `BlipModel` never"
        " feeds it.",
    ),
    Known(
        check="training.gradients",
        pattern=r"^T5Gemma2\w*: .*nor by any output \| (\w+\.)*vision_tower\.head\.",
        kind="defect",
        why="The default vision config (`vision_use_head=True`) builds a pooling head, and the model reads"
        " `last_hidden_state` only.",
    ),
    Known(
        check="training.dropout",
        pattern=r"^Sam(HQ)?(Vision)?Model: .*the same \| attention_dropout$",
        kind="defect",
        why="`SamVisionSdpaAttention` calls `scaled_dot_product_attention` without `dropout_p`: the dropout of the"
        " config applies with eager attention only.",
    ),
    Known(
        check="training.derivative",
        pattern=r"^PPDocLayoutV3",
        kind="design",
        why="As in DETR the reference points and the chosen queries are detached on purpose"
        " (`modeling_pp_doclayout_v3.py:1277`, `:1877`, `:1893`); without `detach` the check passes.",
    ),
    Known(
        check="training.derivative",
        pattern=r"^DacModel: ",
        kind="design",
        why="Vector quantisation: the gradient goes straight through, and each half of its loss detaches the other.",
    ),
    Known(
        check="training.checkpointing",
        pattern=r"^ClvpModelForConditionalGeneration: .*nothing is computed again",
        kind="defect",
        why="The layers of `ClvpEncoder` and `ClvpDecoder` are no `GradientCheckpointingLayer`: the flag is set and not"
        " read.",
    ),
    Known(
        check="training.gradients",
        pattern=r"^LayoutLMv3\w*: .*no gradient reaches it \| .*rel_pos",
        kind="defect",
        why="The relative biases are looked up under `torch.no_grad()`, as if a look-up had no gradient: they are never"
        " trained (`modeling_layoutlmv3.py:427`). Without it the check passes.",
    ),
    Known(
        check="training.gradients",
        pattern=r"^HunYuanVLVisionTransformer: .*nor by any output \| patch_merger\.image_sep$",
        kind="defect",
        why="`image_sep` is initialised and never read.",
    ),
    Known(
        check="training.gradients",
        pattern=r"^DepthPro\w*: .*nor by any output \| [\w., ]*embeddings\.mask_token$",
        kind="design",
        why="The encoders are DINOv2's, with the mask token of its pretraining.",
    ),
    Known(
        check="training.finite",
        pattern=r"^Molmo2Model: .*`mm_token_type_ids` is required as a model input when training",
        kind="design",
        why="Training asks for `mm_token_type_ids`, of a text without images too (`modeling_molmo2.py:832`).",
    ),
    Known(
        check="training.checkpointing",
        pattern=r"^MuseSparkAudioModel: .*is not compatible with gradient checkpointing",
        kind="defect",
        why="The audio encoder inherits `supports_gradient_checkpointing = True`, and its layers are no"
        " `GradientCheckpointingLayer`.",
    ),
    Known(
        check="training.checkpointing",
        pattern=r"^PPOCRV(5Server|6Small)RecModel: .*nothing is computed again",
        kind="defect",
        why="The model sets `gradient_checkpointing`, which nothing reads: only the encoder of the head has layers for"
        " it, and the backbone has none (`modeling_pp_ocrv5_server_rec.py:325`).",
    ),
    Known(
        check="training.derivative",
        pattern=r"^PPDocLayoutV4Model: ",
        kind="design",
        why="As in DETR the reference points and the chosen queries are detached on purpose"
        " (`modeling_pp_doclayout_v4.py:1545`); without `detach` the check passes.",
    ),
    Known(
        check="training.dropout",
        pattern=r"^Qwen3ASREncoder: .*the same \| activation_dropout, attention_dropout, dropout$",
        kind="defect",
        why="The rates are copied to attributes that nothing reads, and `attention_dropout` is 0.0, hard-coded"
        " (`modeling_qwen3_asr.py:124`).",
    ),
    Known(
        check="training.gradients",
        pattern=r"^Mra\w+: .*nor by any output \| ([\w.]+\.attention\.self\.(query|key|value)\.(weight|bias)(, )?)+$",
        kind="defect",
        why="Without its CUDA kernel attention returns zeros, without a word (`modeling_mra.py:364`).",
    ),
    Known(
        check="training.gradients",
        pattern=r"^NllbMoe\w+: .*nor by any output \| ([\w.]+\.experts\.expert_([2-9]|\d\d+)\.[\w.]+(, )?)+$",
        kind="defect",
        why="The router returns a one-hot mask, and the experts take it for the numbers of the chosen and make it"
        " one-hot again (`modeling_nllb_moe.py:354`): of all experts only 0 and 1 are ever run, in eight batches as"
        " in one.",
    ),
    Known(
        check="training.gradients",
        pattern=r"^PeAudio(Model|Encoder): .*no gradient .* \| ([\w.]*embedder\.(bottleneck|dac_\w+)\.[\w.]+(, )?)+$",
        kind="design",
        why="The codec runs under `no_grad` on purpose: its features are given (`modeling_pe_audio.py:170`).",
    ),
    Known(
        check="training.gradients",
        pattern=r"^SqueezeBertForMaskedLM: .*nor by any output \| transformer\.pooler\.dense\.bias,",
        kind="defect",
        why="`SqueezeBertModel` always has a pooler, which the head does not use (`modeling_squeezebert.py:424`).",
    ),
    Known(
        check="training.gradients",
        pattern=r"^SeamlessM4T(v2)?Model: .*nor by any output \| t2u_model\.",
        kind="design",
        why="The unit decoder is run by `generate` only, on what has been generated as text.",
    ),
    Known(
        check="training.loss",
        pattern=r"^XLNet.*labels shifted by 0",
        kind="design",
        why="A permutation language model: what is predicted is said by `perm_mask`, and labels stand at their places.",
    ),
    Known(
        check="training.finite",
        pattern=r"^VibeVoiceForConditionalGeneration: In eval mode the loss",
        kind="design",
        why="The loss of a diffusion model is that of noise drawn anew.",
    ),
    # --- generation ---
    Known(
        check=("generation.resize", "generation.resize-untied"),
        pattern=r"^DeepseekV4.*that `resize_token_embeddings` added: IndexError: index \d+ is out of bounds",
        kind="defect",
        why="The table of the hash router, `tid2eid`, has a row for each token and is not resized"
        " (`modeling_deepseek_v4.py:1117`).",
    ),
    Known(
        check="generation.resize-saved",
        pattern=r"^DeepseekV4.*cannot be loaded",
        kind="defect",
        why="The table of the hash router, `tid2eid`, has a row for each token and is not resized"
        " (`modeling_deepseek_v4.py:1117`).",
    ),
    Known(
        check="generation.inputs-embeds",
        pattern=r"^DeepseekV4.*'NoneType' object has no attribute 'reshape'",
        kind="defect",
        why="`forward` asks for `input_ids` or `inputs_embeds`, and hash routing fails without the ids"
        " (`modeling_deepseek_v4.py:1125`).",
    ),
    Known(
        check="generation.resize-saved",
        pattern=r"^Mllama\w*: .*cannot be loaded",
        kind="defect",
        why="The embedding has `vocab_size + 8` rows (`modeling_mllama.py:1021`); resizing sets `vocab_size` to all"
        " rows, so that loading builds 8 more.",
    ),
    Known(
        check="generation.resize-saved",
        pattern=r"^T5Gemma2\w*: .*Imbalanced encoder-decoder vocabulary size",
        kind="defect",
        why="Resizing changes the vocabulary of the decoder's config only, and the config refuses to be saved like"
        " that.",
    ),
    Known(
        check="generation.resize-saved",
        pattern=r"^Reformer\w*: .*\| lm_head\.bias is in the first only",
        kind="defect",
        why="`set_output_embeddings` sets `lm_head.bias` to that of `decoder`, which has none: resizing drops the"
        " parameter.",
    ),
    Known(
        check="generation.runs",
        pattern=r"^Reformer\w*: .*(einsum\(\): the number of subscripts|'NoneType' object is not iterable)",
        kind="defect",
        why="With a cache, LSH attention hashes keys that are already split by hash, or before `num_buckets` is set"
        " (`modeling_reformer.py:535`). The default config fails for prompts of 62 tokens.",
    ),
    Known(
        check="generation.beams",
        pattern=r"^MiniMaxForCausalLM: .*with the cache than without",
        kind="defect",
        why="`MiniMaxCache` holds the states of linear attention beside its layers, and `reorder_cache` leaves them"
        " (`modeling_minimax.py:72`). Reordered with them, the check passes.",
    ),
    Known(
        check=("generation.cache", "generation.beams", "generation.continued", "generation.chunks"),
        pattern=r"^CpmAnt\w*: .*(with the cache than|than from the text alone|in pieces of .* must match the size)",
        kind="design",
        why="The whole text is context, read in both directions (`modeling_cpmant.py:621`): what is cached did not see"
        " the tokens that came later, and `forward` wants all ids each time.",
    ),
    Known(
        check=("generation.resize", "generation.resize-untied", "generation.resize-saved"),
        pattern=r"^CpmAnt\w*: .*(logits are not|index out of range|cannot be loaded)",
        kind="defect",
        why="The embedding holds the prompts beside the vocabulary (`modeling_cpmant.py:541`): resizing takes them for"
        " tokens, so the head and `config.vocab_size` get as many rows, and loading adds the prompts once more.",
    ),
    Known(
        check="generation.cache",
        pattern=r"^CsmForConditionalGeneration: `generate` gives other logits with the cache than without",
        kind="defect",
        why="After the first step `generate` drops the prompt (`generation_csm.py:293`): with `use_cache=False` the"
        " model goes on without it.",
    ),
    Known(
        check="training.gradients",
        pattern=r"^FNetForMaskedLM: .*nor by any output \| fnet\.pooler\.dense\.bias, fnet\.pooler\.dense\.weight$",
        kind="defect",
        why="`FNetModel(config)` without `add_pooling_layer=False`: the head has a pooler that nothing uses"
        " (`modeling_fnet.py:612`).",
    ),
    Known(
        check=("generation.resize", "generation.resize-untied", "generation.resize-saved"),
        pattern=r"^EsmForMaskedLM: .*(must match the size of tensor b|cannot be loaded)",
        kind="defect",
        why="`lm_head.bias` is a parameter beside `decoder` (`bias=False`) and is not resized"
        " (`modeling_esm.py:869`). With the bias in `decoder` the checks pass.",
    ),
    Known(
        check=("generation.resize", "generation.resize-untied"),
        pattern=r"^(Flaubert|XLM)WithLMHeadModel: The loss fails after `resize_token_embeddings`",
        kind="defect",
        why="The loss of the head counts `self.n_words`, a copy of the config's field (`modeling_flaubert.py:199`,"
        " `:221`).",
    ),
    Known(
        check="generation.resize-saved",
        pattern=r"^FSMT\w+: .*cannot be loaded",
        kind="defect",
        why="Resizing changes the embeddings of the encoder and `tgt_vocab_size`, of which `vocab_size` is another"
        " name: `src_vocab_size` stays.",
    ),
    Known(
        check="training.checkpointing",
        pattern=r"^Gemma\w+Audio\w+: .*is not compatible with gradient checkpointing",
        kind="defect",
        why="The audio encoder inherits `supports_gradient_checkpointing = True`, and its layers are no"
        " `GradientCheckpointingLayer`.",
    ),
    Known(
        check="generation.inputs-embeds",
        pattern=r"^Gemma3nForCausalLM: .*for `inputs_embeds` than for the `input_ids`",
        kind="design",
        why="Every layer adds embeddings of the ids (`get_per_layer_inputs`), which `inputs_embeds` alone cannot give.",
    ),
    Known(
        check=("generation.cache", "generation.chunks", "generation.beams", "generation.continued"),
        pattern=r"^MoshiForCausalLM: .*(with the cache than|with the cache has other logits|than from the text alone)",
        kind="defect",
        why="`DynamicCache(config)` keeps the last `sliding_window` tokens, and the mask is `create_causal_mask`, which"
        " knows of no window (`modeling_moshi.py:775`): without the cache all tokens are seen. With"
        " `create_sliding_window_causal_mask` they agree.",
    ),
    Known(
        check=("generation.resize", "generation.resize-untied", "generation.resize-saved"),
        pattern=r"^Moshi\w+: .*(logits are not|cannot be loaded)",
        kind="defect",
        why="The embedding has `vocab_size + 1` rows (`modeling_moshi.py:741`) and the head `vocab_size`: resizing"
        " gives both, and `config.vocab_size`, the same number.",
    ),
    Known(
        check="training.gradients",
        pattern=r"^Siglip2?ForImageClassification: .*nor by any output \| vision_model\.head\.",
        kind="defect",
        why="The vision model is built with its pooling head, and the classifier takes the mean of"
        " `last_hidden_state`.",
    ),
    Known(
        check="training.derivative",
        pattern=r"^HrmText",
        kind="design",
        why="All but the last cycles run under `no_grad` on purpose (`modeling_hrm_text.py:499`).",
    ),
    Known(
        check="generation.resize",
        pattern=r"^Inkling2\w*: The embeddings are resized and the logits are not",
        kind="defect",
        why="`forward` cuts the logits at `config.unpadded_vocab_size`, which keeps its value"
        " (`modeling_inkling2.py:1390`).",
    ),
    Known(
        check="generation.resize-saved",
        pattern=r"^MarianForCausalLM",
        kind="defect",
        why="The embeddings are of `config.decoder_vocab_size`, and only `config.vocab_size` is updated"
        " (`modeling_marian.py:525`).",
    ),
    Known(
        check="generation.sampling",
        pattern=r"^BigBird\w+: Sampling twice",
        kind="defect",
        why="The first short text makes `forward` build new attention modules (`set_attention_type`), whose initial"
        " weights take numbers from the generator.",
    ),
    Known(
        check=("generation.cache", "generation.chunks", "generation.beams"),
        pattern=r"^ProphetNetForCausalLM: .*(with the cache than|in pieces of .* tokens with the cache has)",
        kind="defect",
        why="`get_predict_relative_pos_embeddings` mixes the biases of all places of a text: even the first logits"
        " depend on how long the text is that is passed at once, with and without the cache.",
    ),
    Known(
        check="generation.continued",
        pattern=r"^ProphetNetForCausalLM: .*`use_cache` is only supported for `decoder_input_ids` of length 1",
        kind="design",
        why="The cache is continued by single tokens only, and says so.",
    ),
    Known(
        check="generation.chunks",
        pattern=r"^BambaForCausalLM: .*in pieces of .* tokens with the cache has other logits",
        kind="defect",
        why="Without `position_ids` the positions begin at 0, whatever the cache holds (`modeling_bamba.py:971`); with"
        " them the pieces agree.",
    ),
    Known(
        check="generation.beams",
        pattern=r"^Llama4ForConditionalGeneration: .*Image features and image tokens do not match",
        kind="defect",
        why="`generate` encodes the images once and repeats `pooler_output` for the beams"
        " (`_expand_multimodal_outputs`); the model reads `last_hidden_state` (`modeling_llama4.py:1284`).",
    ),
    Known(
        check="generation.beams",
        pattern=r"^FuyuForCausalLM: .*with the cache than without",
        kind="defect",
        why="The processor gives the patches of all images one after another (`processing_fuyu.py:427`), and `generate`"
        " repeats each patch for the beams (`generation/utils.py:1210`), so that every beam sees pieces of the image:"
        " with each row's patches repeated together the check passes. By the new name, `pixel_values`, nothing is"
        " repeated and three beams end in an error.",
    ),
    Known(
        check="generation.continued",
        pattern=r"^HiggsAudioV2ForConditionalGeneration: .*than from the text alone",
        kind="design",
        why="What it says are audio codes, in `audio_sequences`: `sequences` holds placeholders, from which alone"
        " nobody can go on.",
    ),
    Known(
        check="generation.resize-saved",
        pattern=r"^Molmo2\w+: .*cannot be loaded",
        kind="defect",
        why="The embedding has `vocab_size + additional_vocab_size` rows (`modeling_molmo2.py:653`); resizing sets"
        " `vocab_size` to all rows, so that loading builds the additional ones once more.",
    ),
    Known(
        check="generation.resize-saved",
        pattern=r"^T5GemmaModel",
        kind="defect",
        why="Encoder and decoder have a config each; resizing changes the embeddings of one and a single `vocab_size`.",
    ),
    Known(
        check="generation.runs",
        pattern=r"^VibeVoiceForConditionalGeneration: `generate` fails: ImportError: The default VibeVoice noise",
        kind="design",
        why="It needs the library diffusers, which was not installed.",
    ),
    # --- beyond ---
    Known(
        check="beyond.offload",
        pattern=r"^(DepthPro|EsmFor|InstructBlip|InternVLVision|Llama4|QianfanOCRVision|Timesformer"
        r"|VibeVoice|Zaya)\w*: ",
        kind="defect",
        why="A parameter stands beside the layers of a block that `_no_split_modules` does not name: a device map"
        " gives it a place of its own, where no hook of accelerate fetches it. With these parameters in memory the"
        " check passes.",
    ),
    Known(
        check=("beyond.offload", "beyond.linear-replaced"),
        pattern=r"left on disk|linear layers of eight bits",
        kind="defect",
        why="`forward` reads the weight of a submodule instead of calling it: hooks of accelerate and layers put in its"
        " place are passed over.",
    ),
    Known(
        check="beyond.pickling",
        pattern=r"install_output_capuring_hook",
        kind="defect",
        why="The hooks of `capture_outputs` are local functions, and stay on the model.",
    ),
    Known(
        check="generation.resize-saved",
        pattern=r"tie_word_embeddings=False",
        kind="defect",
        why="With ties off, resizing makes parameters one that were two (seen by their memory: the embeddings of"
        " BART, the biases of ALBERT and BertGeneration); saving writes one, and loading draws or zeroes the other.",
    ),
    Known(
        check="generation.resize-untied",
        pattern=r"changes the outputs for the old tokens",
        kind="defect",
        why="With ties off, `resize_token_embeddings` puts the shared embeddings in the place of the encoder's own.",
    ),
    Known(
        check="beyond.submodules-called",
        pattern=r"^Gemma3n\w+: .*\.altup",
        kind="defect",
        why="`scale_corrected_output` calls `self.forward`, past the hooks it is meant for"
        " (`modeling_gemma3n.py:1083`).",
    ),
    Known(
        check="beyond.half-precision",
        pattern=r"^TimesFm2_5\w*: .*the output (loc|scale|context_mu|context_sigma) of",
        kind="defect",
        why="The running mean is counted in the dtype of the series (`modeling_timesfm2_5.py:575`): in bfloat16 the"
        " count stays at 8,192 of the default 16,384 values. With the statistics in float32 the check passes.",
    ),
    Known(
        check="beyond.half-precision",
        pattern=r"^MimiModel: RuntimeError: (Input type \(CPUBFloat16Type\)|expected scalar type BFloat16)",
        kind="defect",
        why="The codebook keeps its table in a plain attribute (`_embed`), which `.float()` leaves behind.",
    ),
    Known(
        check="beyond.submodules-called",
        pattern=r"^SqueezeBert",
        kind="defect",
        why="The encoder calls `layer.forward(…)` (`modeling_squeezebert.py:321`).",
    ),
)


def explained(name: str, red: Mapping[str, Any], known: Sequence[Known] = KNOWN) -> Known | None:
    """Return the first entry that explains the red cell."""
    return next((each for each in known if each.explains(name, red)), None)
