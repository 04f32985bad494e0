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
#include "observe/history.h"

#define AU_HTML_TYPE "text/html; charset=utf-8"

/* Appends the text so that a browser shows it as it is. NULL: nothing. */
void au_html_put_text(au_bytes_t *html, const char *text);

/* Appends the page. "host_version" is collectd's. */
void au_page_html_put(au_bytes_t *html, const au_overview_t *overview,
                      au_history_t *history, const char *host_version,
                      double uptime_s);

/* Appends a page with the charts of the history alone, which has no script. */
void au_page_html_history_put(au_bytes_t *html, au_history_t *history);

/* What the browser may do with either, as headers of the answer: names and
 * values in turn, then NULL. */
extern const char *const au_page_html_headers[];

#endif
