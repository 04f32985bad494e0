# SPDX-License-Identifier: MIT
"""Fault injection into the whole system: a real collectd and a real PostgreSQL
are killed, stopped, cut off and starved of resources under load, and the
oracle runs after each round."""
