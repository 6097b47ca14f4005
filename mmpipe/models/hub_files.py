"""Fetches files of a hub repository: from the local cache first, from the hub only if they are not there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mmpipe.errors import WeightsNotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_PROBE_SECONDS = 5.0


def fetch_repository(
    repository: str, patterns: Sequence[str], *, what: str, is_whole: Callable[[Path], bool], instead: str
) -> Path:
    """Return the repository's folder in the local cache, downloaded if what is wanted was not there.

    Args:
        repository: `org/repo`.
        patterns: files that are wanted; nothing else is downloaded.
        what: what the message calls it, such as "CLIP weights 'org/repo'".
        is_whole: whether a cached folder holds what is wanted; one fetched for another file does not.
        instead: what to name in the setting after `hf download {repository} --local-dir FOLDER`.

    Raises:
        WeightsNotFound: not in the cache, and the hub is off, silent or has no such thing.
    """
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    advice = f"On a machine with network: `hf download {repository} --local-dir FOLDER`; then name {instead} here."
    try:
        folder = Path(snapshot_download(repository, allow_patterns=list(patterns), local_files_only=True))
        if is_whole(folder):
            return folder
    except HFValidationError as error:
        raise WeightsNotFound(f"{what}: {error}") from error
    except LocalEntryNotFoundError:
        pass  # not in the cache: ask the hub
    if constants.HF_HUB_OFFLINE:
        raise WeightsNotFound(f"{what} are not in the local cache, and HF_HUB_OFFLINE is set. {advice}")
    if not _answers(constants.ENDPOINT):
        raise WeightsNotFound(f"{what} are not in the local cache, and {constants.ENDPOINT} does not answer. {advice}")
    try:
        return Path(snapshot_download(repository, allow_patterns=list(patterns)))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise WeightsNotFound(f"{what} could not be downloaded: {error}. {advice}") from error


def _answers(endpoint: str) -> bool:
    """Whether the hub answers at all, asked once: the hub's own client would try for most of a minute."""
    import urllib.error
    import urllib.request

    request = urllib.request.Request(endpoint, method="HEAD")  # noqa: S310 - the endpoint is the user's setting
    try:
        with urllib.request.urlopen(request, timeout=_PROBE_SECONDS):  # noqa: S310
            return True
    except urllib.error.HTTPError:
        return True  # it spoke; whether it has the weights is the next question
    except OSError:
        return False
