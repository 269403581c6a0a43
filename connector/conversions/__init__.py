"""Conversions of values: a closed table of rows, and the pipelines that definitions make of them."""
