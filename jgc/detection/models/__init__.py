"""Flax detectors: backbones, heads and their layers."""
