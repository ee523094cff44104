"""Weights, backbones and heads."""
