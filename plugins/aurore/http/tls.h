/* SPDX-License-Identifier: MIT
 * Part of http/; calls config/, metrics/, base/.
 *
 * tls - what a TLS connection needs: certificate, key, the authorities of
 * client certificates, protocol versions and ciphers, session tickets. A
 * session is given what is in force when it begins, and keeps that until its
 * end, so that the files may change at any time without a connection noticing.
 *
 * Threads: create, destroy and check from one; begin, end and expiry from any,
 * between create and destroy.
 */
#ifndef AURORE_HTTP_TLS_H
#define AURORE_HTTP_TLS_H

#include "base/status.h"
#include "config/options.h"

#include <gnutls/gnutls.h>
#include <stdint.h>

typedef struct au_tls au_tls_t;
/* What was in force when a session began. Reference-counted. */
typedef struct au_credentials au_credentials_t;

/* Reads TLSCertificate, TLSKey and TLSClientCA. AU_IO, AU_INVALID, AU_NOMEM:
 * the reason, with option and path, is in "error". */
AU_MUST_CHECK au_status_t au_tls_create(const au_options_t *options,
                                        au_tls_t **out_tls, char *error,
                                        size_t error_size);
/* After the end of every session. NULL: nothing. */
void au_tls_destroy(au_tls_t *tls);

/* Reads the files again when they have changed (http/file.h), and renews the
 * key of the session tickets once a day. */
void au_tls_check(au_tls_t *tls);

/* Prepares a server's session that has not begun its handshake. "fd" is its
 * TCP (or Unix) socket. Ends with au_tls_end, before the session is freed.
 * NULL: out of memory, or GnuTLS refuses; the handshake must fail then. */
au_credentials_t *au_tls_begin(au_tls_t *tls, gnutls_session_t session, int fd);
void au_tls_end(au_credentials_t *credentials, gnutls_session_t session);

/* When the certificate ends: microseconds since 1970. */
int64_t au_tls_expiry_us(au_tls_t *tls);

#endif
