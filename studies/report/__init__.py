"""Figures and pages, from the tables alone: no Ray, no torch."""
