/* SPDX-License-Identifier: MIT
 * Part of config/; calls metrics/, event/, base/.
 *
 * option_value - reads and checks the text of one option's value. Pure, and
 * without the locale: other plugins of the process may have set one.
 *
 * Threads: any.
 */
#ifndef AURORE_CONFIG_OPTION_VALUE_H
#define AURORE_CONFIG_OPTION_VALUE_H

#include <stdbool.h>
#include <stddef.h>

/* Of an origin, with the NUL. */
#define AU_ORIGIN_SIZE 300

/* A decimal number, "10" or "0.25", with a sign at most before it. At most
 * fifteen significant digits, so that the result is what the compiler would
 * make of the same text. */
bool au_option_number(const char *text, double *out_value);

/* Bytes: a number, and KiB, MiB, GiB or TiB right after it or nothing. */
bool au_option_bytes(const char *text, double *out_bytes);

/* What collectd takes for true and false: true, yes, on; false, no, off. */
bool au_option_boolean(const char *text, bool *out_value);

/* "HH:MM", 00:00 to 23:59. */
bool au_option_is_time_of_day(const char *text);

/* "address:port" with an IPv4 address, "localhost" or "*" (all of them);
 * "[address]:port" with an IPv6 address, which may have a zone ("%eth0"); or
 * "unix:/path" with an absolute path that fits into a socket address. Ports
 * are 1 to 65535. */
bool au_option_is_listen(const char *text);

/* A libpq connection string for the eyes of whoever reads the log: with "..."
 * in the place of a password. What cannot be read is left out altogether. */
void au_option_redact(const char *conninfo, char *out_text, size_t size);
/* "*", or "scheme://host" or "scheme://host:port" without anything after it;
 * the host is a name in ASCII or an address. Written to "out_origin" as a
 * browser writes it: in lower case, without the port that http and https have
 * anyway. */
bool au_option_origin(const char *text, char out_origin[AU_ORIGIN_SIZE]);

#endif
