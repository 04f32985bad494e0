/* SPDX-License-Identifier: MIT
 * Part of http/; calls config/, metrics/, base/.
 *
 * socket - a listening socket for an address of the configuration, and what has
 * gone through a connected one.
 */
#ifndef AURORE_HTTP_SOCKET_H
#define AURORE_HTTP_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "127.0.0.1:3000", "[::1]:3000", "*:3000", "localhost:3000" or "unix:/path".
 * Of a name with several addresses the first one that this machine has.
 * Returns a non-blocking, listening socket; -1 with the reason in "error". A
 * socket file that nobody listens on is replaced; it is for its owner and group
 * (mode 0660), whatever the umask. */
int au_socket_listen(const char *address, char *error, size_t error_size);

/* Removes the socket file of a "unix:" address; nothing for others. */
void au_socket_forget(const char *address);

/* What has gone through a socket; 0: it cannot be known. */
typedef struct au_traffic {
  uint64_t received; /* bytes that have come, of a TCP socket */
  uint64_t sent;     /* bytes that the peer has acknowledged, of a TCP socket */
  unsigned unread;   /* bytes of those received that nobody has read */
  unsigned unsent;   /* bytes written that the peer does not have */
} au_traffic_t;

/* false: a Unix socket, or none at all. */
bool au_socket_is_tcp(int fd);
/* Asks the kernel. "is_tcp": also for what only a TCP socket counts. */
void au_socket_traffic(int fd, bool is_tcp, au_traffic_t *out_traffic);

#endif
