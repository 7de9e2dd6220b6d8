"""The page: one file that opens from disk."""
