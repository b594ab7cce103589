"""What is needed to reach a registry; apart from the client, which takes long to import."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class RegistrySettings:
    """Where a registry is and how to be let in; travels to the workers."""

    urls: tuple[str, ...]
    username: str = ""
    password: str = field(default="", repr=False)
    password_file: str = ""  # read at each connection instead of `password`, on the machine that connects
    ca_file: str = ""
    timeout_ms: int = 2_000
    cache_folder: str = ""  # empty: one of the user's in the machine's folder for temporary files
