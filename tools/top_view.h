/* SPDX-License-Identifier: MIT
 *
 * top_view - the lines of "top". Pure.
 */
#ifndef AURORECTL_TOP_VIEW_H
#define AURORECTL_TOP_VIEW_H

#include "tools/screen.h"
#include "tools/top_state.h"

/* In so many columns, as far as that is possible: what is less important is
 * left out. */
void ctl_top_view(const ctl_top_t *top, unsigned width, ctl_lines_t *lines);

#endif
