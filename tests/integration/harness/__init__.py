# SPDX-License-Identifier: MIT
"""What the integration tests are made of: real programs, each private to the
test run, and the means to watch them."""
