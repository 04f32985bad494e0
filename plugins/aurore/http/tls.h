/* SPDX-License-Identifier: MIT
 * Part of http/; calls config/, metrics/, base/.
 *
 * tls - what a TLS connection needs: certificate, key, the authorities of
 * client certificates, protocol versions and ciphers, session tickets. A
 * session is given what is in force when it begins, and keeps that until its
 * end, so that the files may change at any time without a connection noticing.
 *
 * Nothing else in http/ knows whether a connection is one of TLS.
 *
 * Threads: create, destroy and check from one; expiry from any, between create
 * and destroy; a session from the thread that has its connection.
 */
#ifndef AURORE_HTTP_TLS_H
#define AURORE_HTTP_TLS_H

#include "base/status.h"
#include "config/options.h"

#include <gnutls/gnutls.h>
#include <microhttpd.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct au_tls au_tls_t;
/* What was in force when a session began. Reference-counted. */
typedef struct au_credentials au_credentials_t;

/* The session of a connection; all zero: it is plain HTTP. */
typedef struct au_tls_session {
  gnutls_session_t session;
  au_credentials_t *credentials; /* NULL: the handshake is to fail */
} au_tls_session_t;

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

/* How libmicrohttpd is started: its flags, and options for MHD_OPTION_ARRAY.
 * NULL: for plain HTTP. */
unsigned au_tls_daemon_options(const au_tls_t *tls,
                               struct MHD_OptionItem items[2]);

/* Prepares the session of a connection that was opened and has not begun its
 * handshake. "fd" is its TCP (or Unix) socket. Ends with au_tls_end, before the
 * connection is closed. When out of memory, or when GnuTLS refuses, the
 * handshake fails. "tls" NULL: there is no session. */
void au_tls_begin(au_tls_t *tls, struct MHD_Connection *connection, int fd,
                  au_tls_session_t *out_session);
void au_tls_end(au_tls_session_t *session);

/* Bytes that were taken from the socket, but not by libmicrohttpd yet. */
size_t au_tls_unread(const au_tls_session_t *session);
/* Sends what the connection takes at once. false: there is no session. */
bool au_tls_send(const au_tls_session_t *session, const void *data,
                 size_t size);

/* When the certificate ends: microseconds since 1970. */
int64_t au_tls_expiry_us(au_tls_t *tls);

#endif
