"""Decoders whose targets are tilted: projections, laws of who answers, and designs."""
