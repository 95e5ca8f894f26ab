"""The network: backbones and heads."""
