"""In-memory image sets: where they come from, how they are split, spoiled, batched and augmented."""
