/* SPDX-License-Identifier: MIT
 * Part of api/; calls every folder.
 *
 * page_html - the status page as HTML: one file, whose style and script are in
 * it. All text is escaped, whoever wrote it.
 *
 * Threads: pure.
 */
#ifndef AURORE_API_PAGE_HTML_H
#define AURORE_API_PAGE_HTML_H

#include "api/overview.h"

/* Appends the text so that a browser shows it as it is. NULL: nothing. */
void au_html_put_text(au_bytes_t *html, const char *text);

/* Appends the page. "host_version" is collectd's. */
void au_page_html_put(au_bytes_t *html, const au_overview_t *overview,
                      const char *host_version, double uptime_s);

/* What the browser may do with it: the value of Content-Security-Policy. */
extern const char au_page_html_policy[];

#endif
