"""Detection data through TFDS, as fixed-shape arrays."""
