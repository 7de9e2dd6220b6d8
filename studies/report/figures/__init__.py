"""Figures for paper, by matplotlib."""
