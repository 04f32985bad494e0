# SPDX-License-Identifier: MIT
def check_dashboard(board, alerts, wrong):
    pass
