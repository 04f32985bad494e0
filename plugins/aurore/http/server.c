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

#include <errno.h>
#include <gnutls/gnutls.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RETRY_NS AU_NS_PER_S
#define STOP_GRACE_NS (2 * AU_NS_PER_S)
#define STOP_TICK_NS (5 * AU_NS_PER_MS)
#define PEM_BYTES_MAX ((size_t)1 << 20)

bool au_http_is_quiescing(const au_http_t *http) {
  return atomic_load(&http->quiescing);
}

double au_http_uptime_s(const au_http_t *http) {
  return (double)(au_clock_monotonic_ns() - http->started_ns) /
         (double)AU_NS_PER_S;
}

unsigned au_http_unbound(const au_http_t *http) {
  return atomic_load(&http->unbound);
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

static char *read_file(const char *path, char *error, size_t error_size) {
  FILE *file = fopen(path, "re");
  char *text = file != NULL ? calloc(1, PEM_BYTES_MAX) : NULL;
  if (text == NULL || fread(text, 1, PEM_BYTES_MAX - 1, file) == 0) {
    snprintf(error, error_size, "could not read \"%s\": %s", path,
             errno != 0 ? strerror(errno) : "it is empty");
    free(text);
    text = NULL;
  }
  if (file != NULL)
    fclose(file);
  return text;
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
    snprintf(error, error_size, "%s",
             listener->http->certificate != NULL
                 ? "the certificate or its key cannot be used"
                 : "out of memory or descriptors");
  close(fd); /* each loop has its own */
  return started;
}

static void *retry_main(void *argument) {
  au_http_t *http = argument;
  pthread_mutex_lock(&http->lock);
  while (!http->stop && atomic_load(&http->unbound) > 0) {
    struct timespec until =
        au_clock_timespec(au_clock_monotonic_ns() + RETRY_NS);
    pthread_cond_timedwait(&http->retry, &http->lock, &until);
    if (http->stop)
      break;
    pthread_mutex_unlock(&http->lock);
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
    pthread_mutex_lock(&http->lock);
  }
  pthread_mutex_unlock(&http->lock);
  return NULL;
}

static void start_listeners(au_http_t *http) {
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

/* Whether the pair works, so that a wrong one stops the start. */
static au_status_t check_pair(const au_http_t *http, char *error, size_t size) {
  gnutls_certificate_credentials_t credentials = NULL;
  if (gnutls_certificate_allocate_credentials(&credentials) != 0) {
    snprintf(error, size, "out of memory");
    return AU_NOMEM;
  }
  union {
    char *text;
    unsigned char *data;
  } certificate = {.text = http->certificate}, key = {.text = http->key};
  const gnutls_datum_t pem[2] = {
      {certificate.data, (unsigned)strlen(http->certificate)},
      {key.data, (unsigned)strlen(http->key)}};
  int result = gnutls_certificate_set_x509_key_mem(
      credentials, &pem[0], &pem[1], GNUTLS_X509_FMT_PEM);
  gnutls_certificate_free_credentials(credentials);
  if (result == 0)
    return AU_OK;
  snprintf(error, size,
           "could not use TLSCertificate \"%s\" with TLSKey \"%s\": %s",
           http->options->tls_certificate, http->options->tls_key,
           gnutls_strerror(result));
  return AU_INVALID;
}

static au_status_t load_files(au_http_t *http, char *error, size_t size) {
  const au_options_t *options = http->options;
  if (options->token_file[0] != '\0') {
    au_status_t status =
        au_tokens_load(options->token_file, &http->tokens, error, size);
    if (status != AU_OK)
      return status;
  }
  if (options->tls_certificate[0] == '\0')
    return AU_OK;
  http->certificate = read_file(options->tls_certificate, error, size);
  if (http->certificate != NULL)
    http->key = read_file(options->tls_key, error, size);
  if (http->key == NULL)
    return AU_IO;
  au_status_t pair = check_pair(http, error, size);
  if (pair != AU_OK)
    return pair;
  if (options->tls_client_ca[0] != '\0') {
    http->client_ca = read_file(options->tls_client_ca, error, size);
    if (http->client_ca == NULL)
      return AU_IO;
  }
  return AU_OK;
}

au_status_t au_http_start(const au_http_config_t *config, au_http_t **out_http,
                          char *error, size_t error_size) {
  *out_http = NULL;
  au_http_t *http = calloc(1, sizeof(*http));
  if (http == NULL || au_thread_condition(&http->retry) != 0) {
    free(http);
    snprintf(error, error_size, "out of memory");
    return AU_NOMEM;
  }
  pthread_mutex_init(&http->lock, NULL);
  const au_options_t *options = config->options;
  http->config = *config;
  http->options = options;
  http->started_ns = au_clock_monotonic_ns();
  au_memory_init(&http->memory, options->body_memory);
  http->request_timeout_ns = au_clock_seconds_ns(options->request_timeout_s);
  au_status_t status = load_files(http, error, error_size);
  if (status == AU_OK) {
    snprintf(error, error_size, "out of memory");
    if (options->rate_limit > 0 || options->rate_limit_per_address > 0)
      status = au_rate_limit_create(options->rate_limit,
                                    options->rate_limit_per_address,
                                    &http->rate_limit);
  }
  if (status == AU_OK) {
    au_trim_start(http);
    start_listeners(http);
    if (atomic_load(&http->unbound) > 0) {
      http->has_retry_thread = au_thread_start(&http->retry_thread, "au-listen",
                                               retry_main, http) == 0;
      status = http->has_retry_thread ? AU_OK : AU_NOMEM;
    }
  }
  if (status != AU_OK) {
    au_http_stop(http);
    au_http_destroy(http);
    return status;
  }
  *out_http = http;
  return AU_OK;
}

void au_http_quiesce(au_http_t *http) { atomic_store(&http->quiescing, true); }

void au_http_stop(au_http_t *http) {
  atomic_store(&http->quiescing, true);
  pthread_mutex_lock(&http->lock);
  http->stop = true;
  pthread_cond_broadcast(&http->retry);
  pthread_mutex_unlock(&http->lock);
  if (http->has_retry_thread)
    pthread_join(http->retry_thread, NULL);
  http->has_retry_thread = false;
  au_trim_stop(http);
  /* What was accepted is answered: libmicrohttpd closes a connection without
   * sending what is queued. A client that does not finish its request, or does
   * not read, is waited for no longer than this. */
  int64_t until_ns = au_clock_monotonic_ns() + STOP_GRACE_NS;
  pthread_mutex_lock(&http->lock);
  while (atomic_load(&http->requests) > 0 &&
         au_clock_monotonic_ns() < until_ns) {
    struct timespec tick =
        au_clock_timespec(au_clock_monotonic_ns() + STOP_TICK_NS);
    pthread_cond_timedwait(&http->retry, &http->lock, &tick);
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
  au_tokens_destroy(http->tokens);
  au_rate_limit_destroy(http->rate_limit);
  free(http->certificate);
  free(http->key);
  free(http->client_ca);
  pthread_cond_destroy(&http->retry);
  pthread_mutex_destroy(&http->lock);
  free(http);
}
