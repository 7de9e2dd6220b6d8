"""Command lines whose mistakes are one line, as all bad input is, rather than a page of usage above it."""

from __future__ import annotations

import argparse
from typing import NoReturn

from bsd_core.errors import ConfigError


class OneLineParser(argparse.ArgumentParser):
    """A parser that raises ConfigError, with the way to its help."""

    def error(self, message: str) -> NoReturn:
        """Refuse the command line.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(f"{message.rstrip('.')}. See {self.prog} --help")
