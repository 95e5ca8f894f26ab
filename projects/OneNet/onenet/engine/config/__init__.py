"""Reading configs."""
