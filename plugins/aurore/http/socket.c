/* SPDX-License-Identifier: MIT
 * Part of http/; calls config/, metrics/, base/. */
#include "http/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 1024
#define UNIX_PREFIX "unix:"
#define UNIX_MODE 0660 /* owner and group */
#define TYPE (SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK)

/* Leaves errno as it was. */
static int give_up(int fd, char *error, size_t error_size) {
  int reason = errno;
  snprintf(error, error_size, "%s", strerror(reason));
  if (fd >= 0)
    close(fd);
  errno = reason;
  return -1;
}

static bool is_in_use(const struct sockaddr_un *address) {
  int fd = socket(AF_UNIX, TYPE, 0); /* a full backlog is somebody, too */
  if (fd < 0)
    return true;
  bool refused =
      connect(fd, (const struct sockaddr *)address, sizeof(*address)) != 0 &&
      errno == ECONNREFUSED;
  close(fd);
  return !refused;
}

static int listen_unix(const char *path, char *error, size_t error_size) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof(address.sun_path)) {
    errno = ENAMETOOLONG;
    return give_up(-1, error, error_size);
  }
  memcpy(address.sun_path, path, strlen(path));
  struct stat info;
  if (lstat(path, &info) == 0 && S_ISSOCK(info.st_mode) && !is_in_use(&address))
    unlink(path);
  int fd = socket(AF_UNIX, TYPE, 0);
  /* bind() makes the file with what the umask leaves of the socket's own mode,
   * and the umask of the process is not ours to change. So its permissions are
   * never more than these, and are these before anybody can connect. */
  if (fd < 0 || fchmod(fd, UNIX_MODE) != 0 ||
      bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
      fchmodat(AT_FDCWD, path, UNIX_MODE, AT_SYMLINK_NOFOLLOW) != 0 ||
      listen(fd, BACKLOG) != 0)
    return give_up(fd, error, error_size);
  return fd;
}

static int listen_at(const struct addrinfo *info, char *error,
                     size_t error_size) {
  const int on = 1;
  int fd = socket(info->ai_family, TYPE, 0);
  if (fd < 0)
    return give_up(fd, error, error_size);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (info->ai_family == AF_INET6)
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
  if (bind(fd, info->ai_addr, info->ai_addrlen) != 0 ||
      listen(fd, BACKLOG) != 0)
    return give_up(fd, error, error_size);
  return fd;
}

int au_socket_listen(const char *address, char *error, size_t error_size) {
  if (strncmp(address, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0)
    return listen_unix(address + strlen(UNIX_PREFIX), error, error_size);
  char host[256];
  const char *colon = strrchr(address, ':');
  size_t size = colon != NULL ? (size_t)(colon - address) : 0;
  if (colon == NULL || size >= sizeof(host)) {
    snprintf(error, error_size, "it is not HOST:PORT");
    return -1;
  }
  memcpy(host, address, size);
  host[size] = '\0';
  char *name = host;
  if (size >= 2 && host[0] == '[' && host[size - 1] == ']') {
    host[size - 1] = '\0';
    name = host + 1;
  }
  bool is_any = strcmp(name, "*") == 0 || name[0] == '\0';
  const struct addrinfo hints = {.ai_family = is_any ? AF_INET : AF_UNSPEC,
                                 .ai_socktype = SOCK_STREAM,
                                 .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
  struct addrinfo *found = NULL;
  int result = getaddrinfo(is_any ? NULL : name, colon + 1, &hints, &found);
  if (result != 0) {
    snprintf(error, error_size, "%s", gai_strerror(result));
    return -1;
  }
  /* "localhost" may be ::1 first, on a machine without IPv6. But an address
   * that is in use will be free again: no other one is taken in its stead. */
  int fd = -1;
  for (const struct addrinfo *info = found; info != NULL;
       info = info->ai_next) {
    fd = listen_at(info, error, error_size);
    if (fd >= 0 || errno == EADDRINUSE)
      break;
  }
  freeaddrinfo(found);
  return fd;
}

void au_socket_forget(const char *address) {
  if (strncmp(address, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0)
    unlink(address + strlen(UNIX_PREFIX));
}

bool au_socket_is_tcp(int fd) {
  int protocol = 0;
  socklen_t size = sizeof(protocol);
  return getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) == 0 &&
         protocol == IPPROTO_TCP;
}

void au_socket_traffic(int fd, bool is_tcp, au_traffic_t *out_traffic) {
  int unread = 0;
  int unsent = 0;
  (void)ioctl(fd, SIOCINQ, &unread);
  (void)ioctl(fd, SIOCOUTQ, &unsent);
  *out_traffic = (au_traffic_t){.unread = unread > 0 ? (unsigned)unread : 0,
                                .unsent = unsent > 0 ? (unsigned)unsent : 0};
  struct tcp_info info;
  socklen_t size = sizeof(info);
  memset(&info, 0, sizeof(info));
  if (!is_tcp || getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0)
    return;
  out_traffic->received = info.tcpi_bytes_received;
  out_traffic->sent = info.tcpi_bytes_acked;
}
