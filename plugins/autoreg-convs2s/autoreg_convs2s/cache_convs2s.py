"""The last inputs of one causal convolution, as a layer of transformers' own caches."""

import torch
from transformers.cache_utils import CacheLayerMixin

from .configuration_convs2s import CONVOLUTION_LAYER_TYPE


class ConvolutionCacheLayer(CacheLayerMixin):
    """Keep what a causal convolution needs of the past: constant memory, however many tokens went in.

    `DynamicCache(config=ConvS2SConfig(...))` is made of these, in `generate` too.
    The two tensors lie under the names that `CacheLayerMixin` gives its own, so that its `reorder_cache`,
    `offload` and `prefetch` and `DynamicCache.__iter__` hold for them as they are:

    - `keys`: the last `kernel_size - 1` inputs, `(batch_size, kernel_size - 1, conv_channels)`, zeros before the
      first token;
    - `values`: how many real tokens each row has had, `(batch_size,)`, int64, the position of its next one.
    """

    # Announces the class to `DynamicCache(config=...)`, which looks it up by the entries of `config.layer_types`.
    _layer_type = CONVOLUTION_LAYER_TYPE
    # The early initialization of `CacheLayerMixin` makes empty keys and values, which are no window.
    supports_early_init = False

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.cumulative_length = 0

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Remember dtype and device of the first window, as every cache layer does."""
        self.dtype, self.device = key_states.dtype, key_states.device
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, num_new_tokens: int = 0, **kwargs
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Replace the window and the counts by those after `num_new_tokens` more columns, padding included."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self.keys, self.values = key_states, value_states
        self.cumulative_length += num_new_tokens
        return self.keys, self.values

    def get_seq_length(self) -> int:
        """Return how many columns went in, padding included: what `generate` cuts its inputs by."""
        return self.cumulative_length

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Return the length and the offset of the mask over everything seen so far."""
        return self.cumulative_length + query_length, 0

    def get_max_length(self) -> int:
        """Return -1: a window has no maximum."""
        return -1

    def reset(self) -> None:
        """Forget everything."""
        self.keys = self.values = None
        self.is_initialized = False
        self.cumulative_length = 0

    def crop(self, tokens_to_remove: int) -> None:
        """Do nothing for 0; RuntimeError for any other number, because older inputs are gone."""
        if tokens_to_remove != 0:
            raise RuntimeError(
                f"A window of convolution inputs cannot be cropped (asked for {tokens_to_remove} tokens): the inputs "
                "that would move back into it are gone. Copy the cache with `copy.deepcopy` before the tokens that may "
                "have to go."
            )

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat every row `repeats` times, each next to its like."""
        if self.is_initialized:
            self.keys = self.keys.repeat_interleave(repeats, dim=0)
            self.values = self.values.repeat_interleave(repeats, dim=0)

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep the rows `indices` (`(num_rows,)`, int64 or bool)."""
        if self.is_initialized:
            self.keys, self.values = self.keys[indices], self.values[indices]


__all__ = ["ConvolutionCacheLayer"]
