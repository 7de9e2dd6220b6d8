"""The numbers of each section, computed without pixels."""
