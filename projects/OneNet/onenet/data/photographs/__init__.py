"""Photographs of forests from the air, which an optional package ships."""
