# SPDX-License-Identifier: MIT
"""Faults of the whole system: a real collectd and a real PostgreSQL that are
killed, stopped, cut off and deprived under load, and the oracle after each."""
