"""Files of torch.save are archives whose members are stored as they are: one that is not could be small on disk and huge in memory."""

from __future__ import annotations

import zipfile
from pathlib import Path


class CompressedError(ValueError):
    """A small file could become a large one in memory."""


def check_not_compressed(path: Path) -> None:
    """Refuse an archive that could take more memory than its file has bytes; files of other kinds are left to their readers.

    Raises:
        CompressedError: a member is compressed, or members share bytes of the file.
        zipfile.BadZipFile: it is damaged.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise CompressedError("it is compressed, as torch.save's files never are")
    if sum(member.file_size for member in members) > path.stat().st_size:
        raise CompressedError("it says to hold more than its file has bytes")
