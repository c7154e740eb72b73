"""Gradient coding for JAX."""
