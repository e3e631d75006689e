"""From process start to a loaded Chronos-Bolt, by hand: its model type is t5's, so there is nothing to register."""

import sys

from chronos.chronos_bolt import ChronosBoltModelForForecasting

model = ChronosBoltModelForForecasting.from_pretrained(sys.argv[1])
print(type(model).__name__)
