"""Distribution shift, made in batches on the device: corruptions keyed by (seed, name, severity, image index)."""
