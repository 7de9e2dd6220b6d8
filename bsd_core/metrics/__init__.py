"""Metrics as pure functions of probabilities and labels, computed in float64."""
