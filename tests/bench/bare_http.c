/* SPDX-License-Identifier: MIT
 *
 * bare_http - as fast as libmicrohttpd answers: an epoll thread pool, the body
 * is read and thrown away, the answer is a constant 202. What the benchmark
 * compares accepting with.
 *
 * usage: bare_http THREADS CONNECTIONS BODY-SIZE
 *
 * Prints its port, which it chooses itself, and ends with its standard input.
 */
#include <microhttpd.h>
#include <netinet/in.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static enum MHD_Result handle(void *context, struct MHD_Connection *connection,
                              const char *url, const char *method,
                              const char *version, const char *data,
                              size_t *size, void **request) {
  static char seen;
  (void)url;
  (void)method;
  (void)version;
  (void)data;
  if (*request == NULL) { /* the headers */
    *request = &seen;
    return MHD_YES;
  }
  if (*size > 0) {
    *size = 0;
    return MHD_YES;
  }
  return MHD_queue_response(connection, MHD_HTTP_ACCEPTED, context);
}

static struct MHD_Response *make_answer(size_t size) {
  char *body = malloc(size);
  if (body == NULL)
    return NULL;
  memset(body, 'x', size);
  struct MHD_Response *answer =
      MHD_create_response_from_buffer(size, body, MHD_RESPMEM_MUST_FREE);
  if (answer != NULL)
    (void)MHD_add_response_header(answer, "Content-Type", "application/json");
  return answer;
}

int main(int argc, char **argv) {
  if (argc != 4) {
    fprintf(stderr, "usage: bare_http THREADS CONNECTIONS BODY-SIZE\n");
    return 2;
  }
  unsigned threads = (unsigned)strtoul(argv[1], NULL, 10);
  unsigned connections = (unsigned)strtoul(argv[2], NULL, 10);
  struct MHD_Response *answer = make_answer(strtoul(argv[3], NULL, 10));
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct MHD_Daemon *daemon = MHD_start_daemon(
      MHD_USE_EPOLL_INTERNAL_THREAD, 0, NULL, NULL, &handle, answer,
      MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&address,
      MHD_OPTION_THREAD_POOL_SIZE, threads, MHD_OPTION_CONNECTION_LIMIT,
      connections, MHD_OPTION_END);
  if (answer == NULL || daemon == NULL) {
    fprintf(stderr, "bare_http: could not start\n");
    return 1;
  }
  const union MHD_DaemonInfo *info =
      MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT);
  printf("%u\n", info->port);
  fflush(stdout);
  char byte;
  while (read(STDIN_FILENO, &byte, 1) > 0)
    continue;
  MHD_stop_daemon(daemon);
  MHD_destroy_response(answer);
  return 0;
}
