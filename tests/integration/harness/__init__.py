# SPDX-License-Identifier: MIT
"""The building blocks of the integration tests: real programs, each private to
the test run, and the means to observe them."""
