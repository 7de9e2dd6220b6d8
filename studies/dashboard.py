"""optuna-dashboard on a run's searches, for this machine alone: `python -m studies dashboard`."""

from __future__ import annotations

import errno
import socketserver
from collections.abc import Callable, Iterable
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from rich.console import Console

from bsd_core.errors import ConfigError, DataError
from studies.ledger import MEASURED, LedgerReader
from studies.optuna_journal import JournalInMemory
from studies.run_folder import RunFolder
from studies.screen import say

LOOPBACK: Final = "127.0.0.1"
_PORTS_TRIED: Final = 50
_WAY_OUT: Final = "Give another PORT=number (--port NUMBER), or end what listens there."
Application = Callable[[dict[str, Any], Any], Iterable[bytes]]


def run_journal(run: RunFolder) -> JournalInMemory:
    """The searches of a run as Optuna knows them: from its ledger, so of a running or interrupted one, too; else its optuna.journal.

    Raises:
        ConfigError: the run's study.yaml is missing or broken.
        DataError: the ledger does not fit the study; there is neither ledger nor journal; or no trial has ended.
    """
    if run.ledger.is_file():
        from studies.search import StudySearch, search_journal

        search = StudySearch(run.checked_spec(), slots=1)
        if not search.replay(LedgerReader(run.ledger, without=MEASURED)):
            raise DataError(f"No trial of {run.place} has ended, so there is nothing to see yet.")
        return search_journal(search)
    if run.journal.is_file():
        return JournalInMemory.read(run.journal)
    raise DataError(f"{run.place} has neither a ledger nor an optuna.journal.")


def serve(run: RunFolder, console: Console, *, port: int) -> None:
    """Serve the dashboard on the loopback interface until an interrupt; what is changed there is forgotten, the run stays as it is.

    Args:
        run: whose searches to show.
        console: where the address is printed.
        port: to listen on, or one of the next if it is taken.

    Raises:
        ConfigError: no port is free.
        DataError: see `run_journal`.
        KeyboardInterrupt: it is to end.
    """
    application = only_for_this_machine(dashboard_application(run_journal(run)))
    with open_server(application, port) as server:
        if server.server_port != port:
            say(console, f"Port {port} cannot be had, so another is used. To choose one: PORT=number (--port NUMBER).")
        say(console, f"Dashboard of {run.study} at http://{LOOPBACK}:{server.server_port} (for this machine alone; Ctrl-C ends it)")
        server.serve_forever()


def dashboard_application(journal: JournalInMemory) -> Application:
    """optuna-dashboard on a journal."""
    import optuna_dashboard

    application: Application = optuna_dashboard.wsgi(journal.storage())
    return application


def only_for_this_machine(application: Application) -> Application:
    """Refuse requests that name another host: a web page elsewhere could let its own name lead to this machine (DNS rebinding)."""

    def guarded(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ.get("HTTP_HOST", "").partition(":")[0] not in (LOOPBACK, "localhost"):
            start_response("403 Forbidden", [("Content-Type", "text/plain")])
            return [b"The dashboard is for this machine alone.\n"]
        return application(environ, start_response)

    return guarded


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    """A thread a request: browsers open connections on which they say nothing for a while."""

    daemon_threads = True
    allow_reuse_address = True

    def server_bind(self) -> None:
        """Without the look-up of this machine's name, which can take seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = LOOPBACK, self.server_address[1]
        self.setup_environ()


class _QuietHandler(WSGIRequestHandler):
    """Does not tell of every request."""

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing."""


def open_server(application: Application, port: int) -> WSGIServer:
    """A server that listens on 127.0.0.1 alone, at `port` or one of the next.

    Raises:
        ConfigError: none of them is free, or may be used.
    """
    last = min(port + _PORTS_TRIED, 65536) - 1
    forbidden = 0
    for candidate in range(port, last + 1):
        try:
            return make_server(LOOPBACK, candidate, application, server_class=_Server, handler_class=_QuietHandler)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise ConfigError(f"Cannot listen on {LOOPBACK}:{candidate}: {error.strerror}. {_WAY_OUT}") from error
            forbidden += error.errno == errno.EACCES
    ports = f"Port {port} is" if port == last else f"Ports {port} to {last} are all"
    raise ConfigError(f"{ports} {'taken or not for this user' if forbidden else 'taken'}. {_WAY_OUT}")
