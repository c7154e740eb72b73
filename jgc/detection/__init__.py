"""Detectors trained on COCO: data, models, losses, evaluation and drawing.

Imported by experiments alone; the coding core never imports it.
"""
