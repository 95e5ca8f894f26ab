"""How long a step, an inference and its stages take."""
