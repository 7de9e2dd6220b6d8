"""How sure a result is: pure functions over numbers and tables, which import neither Torch nor Ray."""
