# SPDX-License-Identifier: MIT
"""Certificates for servers of the tests."""

import subprocess


def make_certificate(directory, name, days=10):
    """NAME.pem and NAME.key, for 127.0.0.1, signed by itself."""
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
            "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{name}.key",
            "-out", f"{name}.pem", "-days", str(days), "-subj", f"/CN={name}",
            "-addext", "subjectAltName=IP:127.0.0.1",
        ],
        cwd=directory,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    (directory / f"{name}.key").chmod(0o600)
