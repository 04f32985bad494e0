/* SPDX-License-Identifier: MIT
 * Part of http/; calls config/, metrics/, base/.
 *
 * server - starting and stopping it, and its listeners; see http/server.h. What
 * happens to a request is in http/request.c.
 */
#include "http/private.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How often files are looked at, and addresses tried that could not be bound.
 */
#define HOUSEKEEPING_NS AU_NS_PER_S
#define STOP_GRACE_NS (2 * AU_NS_PER_S)
#define STOP_TICK_NS (5 * AU_NS_PER_MS)

unsigned au_http_descriptors(const au_options_t *options) {
  unsigned listeners =
      options->listen_count > 0 ? (unsigned)options->listen_count : 1;
  return listeners * (1 + options->threads * AU_LOOP_DESCRIPTORS) +
         AU_LINGER_ALL;
}

bool au_http_is_quiescing(const au_http_t *http) {
  return atomic_load(&http->quiescing);
}

unsigned au_http_connections_max(const au_http_t *http) {
  return http->connections_max;
}

double au_http_uptime_s(const au_http_t *http) {
  return (double)(au_clock_monotonic_ns() - http->started_ns) /
         (double)AU_NS_PER_S;
}

unsigned au_http_unbound(const au_http_t *http) {
  return atomic_load(&http->unbound);
}

void au_http_sample(const au_http_t *http) {
  double left_s = (double)NAN;
  if (http->tls != NULL)
    left_s = (double)(au_tls_expiry_us(http->tls) - au_clock_wall_us()) /
             (double)AU_US_PER_S;
  au_metrics_set(AU_M_CERTIFICATE_EXPIRY, left_s);
}

void au_http_log(void *cls, const char *format, va_list arguments) {
  /* Later messages are about requests, and clients must not fill the log. */
  const au_listener_t *listener = cls;
  if (!atomic_load(&listener->is_starting))
    return;
  char line[512];
  vsnprintf(line, sizeof(line), format, arguments);
  line[strcspn(line, "\r\n")] = '\0';
  au_log(AU_LOG_WARNING, "HTTP listener: %s", line);
}

static bool start_listener(au_listener_t *listener, char *error,
                           size_t error_size) {
  int fd = au_socket_listen(listener->address, error, error_size);
  if (fd < 0)
    return false;
  atomic_store(&listener->is_starting, true);
  bool started = au_loops_start(listener, fd);
  atomic_store(&listener->is_starting, false);
  if (!started)
    snprintf(error, error_size, "%s", "out of memory or descriptors");
  close(fd); /* each loop has its own */
  return started;
}

static void retry_listeners(au_http_t *http) {
  char error[256];
  for (unsigned i = 0; i < http->listeners; i++) {
    au_listener_t *listener = &http->listener[i];
    if (listener->loop == NULL &&
        start_listener(listener, error, sizeof(error))) {
      atomic_fetch_sub(&http->unbound, 1);
      au_log(AU_LOG_NOTICE, "listening on \"%s\" after retrying",
             listener->address);
    }
  }
}

/* What the request threads must not wait for. */
static void *housekeeping_main(void *argument) {
  au_http_t *http = argument;
  pthread_mutex_lock(&http->lock);
  while (!http->stop) {
    struct timespec until =
        au_clock_timespec(au_clock_monotonic_ns() + HOUSEKEEPING_NS);
    pthread_cond_timedwait(&http->wake, &http->lock, &until);
    if (http->stop)
      break;
    pthread_mutex_unlock(&http->lock);
    if (http->tls != NULL)
      au_tls_check(http->tls);
    if (http->tokens != NULL)
      au_token_file_check(http->tokens);
    if (atomic_load(&http->unbound) > 0)
      retry_listeners(http);
    au_trim_check(http);
    pthread_mutex_lock(&http->lock);
  }
  pthread_mutex_unlock(&http->lock);
  return NULL;
}

static void bind_listeners(au_http_t *http) {
  for (size_t i = 0; i < http->options->listen_count; i++) {
    au_listener_t *listener = &http->listener[http->listeners++];
    listener->http = http;
    listener->address = http->options->listen[i];
    char error[256];
    if (start_listener(listener, error, sizeof(error))) {
      au_log(AU_LOG_INFO, "listening on \"%s\"", listener->address);
      continue;
    }
    atomic_fetch_add(&http->unbound, 1);
    au_log(AU_LOG_ERROR,
           "could not listen on \"%s\": %s; trying again every second",
           listener->address, error);
    au_notify(AU_SEVERITY_FAILURE, "listener", "could not listen on \"%s\": %s",
              listener->address, error);
  }
}

/* The housekeeping is there before the first address is bound: nothing can fail
 * any more once requests are accepted. */
static au_status_t start_listeners(au_http_t *http) {
  pthread_mutex_lock(&http->lock);
  http->has_thread = au_thread_start(&http->thread, "au-housekeeping",
                                     housekeeping_main, http) == 0;
  if (http->has_thread)
    bind_listeners(http);
  pthread_mutex_unlock(&http->lock);
  return http->has_thread ? AU_OK : AU_NOMEM;
}

static au_status_t load_files(au_http_t *http, char *error, size_t size) {
  const au_options_t *options = http->options;
  au_status_t status = AU_OK;
  if (options->token_file[0] != '\0')
    status =
        au_token_file_create(options->token_file, &http->tokens, error, size);
  if (status == AU_OK && options->tls_certificate[0] != '\0')
    status = au_tls_create(options, &http->tls, error, size);
  au_http_sample(http);
  return status;
}

/* A second less than a connection is kept: a request that is under way by then
 * must not meet its end. */
static void set_keep_alive(au_http_t *http) {
  int64_t keep_s = http->keep_alive_ns / AU_NS_PER_S - 1;
  if (keep_s >= 1)
    snprintf(http->keep_alive, sizeof(http->keep_alive), "timeout=%lld",
             (long long)keep_s);
}

au_status_t au_http_start(const au_http_config_t *config, au_http_t **out_http,
                          char *error, size_t error_size) {
  *out_http = NULL;
  au_http_t *http = calloc(1, sizeof(*http));
  if (http == NULL || au_thread_condition(&http->wake) != 0) {
    free(http);
    snprintf(error, error_size, "out of memory");
    return AU_NOMEM;
  }
  pthread_mutex_init(&http->lock, NULL);
  const au_options_t *options = config->options;
  http->config = *config;
  http->options = options;
  http->is_library_lenient = au_framing_is_library_lenient();
  http->started_ns = au_clock_monotonic_ns();
  au_memory_init(&http->memory, options->body_memory);
  http->request_timeout_ns = au_clock_seconds_ns(options->request_timeout_s);
  http->keep_alive_ns = au_clock_seconds_ns(options->keep_alive_timeout_s);
  set_keep_alive(http);
  http->connections_max = config->connections_max > 0
                              ? config->connections_max
                              : options->max_connections;
  au_status_t status = load_files(http, error, error_size);
  if (status == AU_OK) {
    snprintf(error, error_size, "out of memory");
    if (options->rate_limit > 0 || options->rate_limit_per_address > 0)
      status = au_rate_limit_create(options->rate_limit,
                                    options->rate_limit_per_address,
                                    &http->rate_limit);
  }
  if (status == AU_OK)
    status =
        au_places_create(http->connections_max,
                         options->max_connections_per_address, &http->places);
  if (status == AU_OK)
    status = start_listeners(http);
  if (status != AU_OK) {
    au_http_stop(http);
    au_http_destroy(http);
    return status;
  }
  *out_http = http;
  return AU_OK;
}

void au_http_leave(au_http_t *http) { atomic_store(&http->leaving, true); }

bool au_http_is_leaving(const au_http_t *http) {
  return atomic_load(&http->leaving) || au_http_is_quiescing(http);
}

void au_http_quiesce(au_http_t *http) { atomic_store(&http->quiescing, true); }

void au_http_stop(au_http_t *http) {
  atomic_store(&http->quiescing, true);
  pthread_mutex_lock(&http->lock);
  http->stop = true;
  pthread_cond_broadcast(&http->wake);
  pthread_mutex_unlock(&http->lock);
  if (http->has_thread)
    pthread_join(http->thread, NULL);
  http->has_thread = false;
  /* What was accepted is answered: libmicrohttpd closes a connection without
   * sending what is queued. A client that does not finish its request, or does
   * not read, is waited for no longer than this. */
  int64_t until_ns = au_clock_monotonic_ns() + STOP_GRACE_NS;
  pthread_mutex_lock(&http->lock);
  while (atomic_load(&http->requests) > 0 &&
         au_clock_monotonic_ns() < until_ns) {
    struct timespec tick =
        au_clock_timespec(au_clock_monotonic_ns() + STOP_TICK_NS);
    pthread_cond_timedwait(&http->wake, &http->lock, &tick);
  }
  pthread_mutex_unlock(&http->lock);
  for (unsigned i = 0; i < http->listeners; i++) {
    au_listener_t *listener = &http->listener[i];
    if (listener->loop == NULL)
      continue;
    /* Before the socket is closed: after that the name may already be that of
     * a new process. */
    au_socket_forget(listener->address);
    au_loops_stop(listener);
  }
}

void au_http_destroy(au_http_t *http) {
  if (http == NULL)
    return;
  au_token_file_destroy(http->tokens);
  au_tls_destroy(http->tls);
  au_rate_limit_destroy(http->rate_limit);
  au_places_destroy(http->places);
  pthread_cond_destroy(&http->wake);
  pthread_mutex_destroy(&http->lock);
  free(http);
}
