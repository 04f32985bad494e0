/* SPDX-License-Identifier: MIT
 * Part of http/; calls config/, metrics/, base/.
 *
 * socket - a listening socket for an address of the configuration.
 */
#ifndef AURORE_HTTP_SOCKET_H
#define AURORE_HTTP_SOCKET_H

#include <stddef.h>

/* "127.0.0.1:3000", "[::1]:3000", "*:3000", "localhost:3000" or "unix:/path".
 * Of a name with several addresses the first one that this machine has.
 * Returns a non-blocking, listening socket; -1 with the reason in "error". A
 * socket file that nobody listens on is replaced; it is for its owner and group
 * (mode 0660), whatever the umask. */
int au_socket_listen(const char *address, char *error, size_t error_size);

/* Removes the socket file of a "unix:" address; nothing for others. */
void au_socket_forget(const char *address);

#endif
