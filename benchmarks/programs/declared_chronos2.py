"""From process start to a loaded Chronos-2, by hand: its model type is t5's, so there is nothing to register."""

import sys

from chronos.chronos2.model import Chronos2Model

model = Chronos2Model.from_pretrained(sys.argv[1])
print(type(model).__name__)
