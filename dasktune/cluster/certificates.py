"""TLS with certificates made for one run: whoever cannot read the run's folder cannot connect."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from dasktune.errors import ClusterError

if TYPE_CHECKING:
    from distributed import Security


def make_certificates(folder: str) -> Security:
    """Make a key and a certificate, and write them where only this user reads them.

    Parameters
    ----------
    folder : str
        Created with mode 0700; the files in it have mode 0600.

    Returns
    -------
    Security
        With the files' paths, so that no command line or job script holds the key itself.

    Raises
    ------
    ClusterError
        If the package ``cryptography`` is missing.
    """
    from distributed import Security

    try:
        temporary = Security.temporary()
    except ImportError as error:
        raise ClusterError(
            "TLS needs the package cryptography: pip install 'dasktune[hpc]', or set tls to false "
            "on a network that nobody else is on."
        ) from error
    os.makedirs(folder, mode=0o700, exist_ok=True)
    os.chmod(folder, 0o700)
    paths = {}
    for name, text in (
        ("key", temporary.tls_scheduler_key),
        ("cert", temporary.tls_scheduler_cert),
    ):
        paths[name] = f"{folder}/{name}.pem"
        descriptor = os.open(paths[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
    roles = ("scheduler", "worker", "client")
    return Security(
        require_encryption=True,
        tls_ca_file=paths["cert"],
        **{f"tls_{role}_key": paths["key"] for role in roles},
        **{f"tls_{role}_cert": paths["cert"] for role in roles},
    )
