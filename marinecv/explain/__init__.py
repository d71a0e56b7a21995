"""Where a model looks: heat maps by several methods, and how much of the heat falls on the animal."""
