"""Train one image classifier with one method and measure it.

Torch only: this package knows neither Ray nor Optuna nor the files of a study, so a trainer can be read and tested alone.
"""

__version__ = "0.1.0"
