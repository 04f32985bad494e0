/* SPDX-License-Identifier: MIT */
#include "tools/client.h"

#include "tools/ctl.h"
#include "tools/tree.h"

#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOKEN_MAX 512
#define TIMEOUT_MAX_S 3600
#define CONNECT_TIMEOUT_S 10L
#define PATH_SIZE 4096

struct ctl_client {
  CURL *curl;
  const ctl_server_t *server;
  char authorization[TOKEN_MAX + 32]; /* a line, or "" */
  bool (*is_over)(void *context);     /* NULL: never */
  void *context;
};

void ctl_server_init(ctl_server_t *server) {
  const char *url = getenv("AURORE_URL");
  *server = (ctl_server_t){.url = url != NULL ? url : "http://127.0.0.1:3000",
                           .timeout_s = 60};
}

bool ctl_server_option(ctl_server_t *server, int option, const char *value) {
  switch (option) {
  case CTL_OPTION_URL:
    server->url = value;
    return true;
  case CTL_OPTION_UNIX:
    server->unix_socket = value;
    return true;
  case CTL_OPTION_TOKEN:
    server->token_file = value;
    return true;
  case CTL_OPTION_CA:
    server->ca = value;
    return true;
  case CTL_OPTION_CERTIFICATE:
    server->certificate = value;
    return true;
  case CTL_OPTION_KEY:
    server->key = value;
    return true;
  case CTL_OPTION_TIMEOUT:
    return ctl_read_seconds(value, 0.1, TIMEOUT_MAX_S, &server->timeout_s);
  default:
    return false;
  }
}

/* The first word of the file, or of the environment. false: it has said why. */
static bool read_token(const ctl_server_t *server, char token[TOKEN_MAX + 1]) {
  const char *given = getenv("AURORE_TOKEN");
  token[0] = '\0';
  if (server->is_anonymous)
    return true;
  if (server->token_file == NULL) {
    if (given != NULL)
      snprintf(token, TOKEN_MAX + 1, "%.*s", (int)strcspn(given, " \t\r\n"),
               given);
    return true;
  }
  FILE *file = fopen(server->token_file, "re");
  char line[TOKEN_MAX + 2] = "";
  bool is_read = file != NULL && fgets(line, sizeof(line), file) != NULL;
  if (!is_read)
    ctl_say("could not read a token from \"%s\": %s", server->token_file,
            file == NULL ? strerror(errno) : "it is empty");
  if (file != NULL)
    (void)fclose(file);
  snprintf(token, TOKEN_MAX + 1, "%.*s", (int)strcspn(line, " \t\r\n"), line);
  return is_read;
}

static bool set_up(ctl_client_t *client) {
  const ctl_server_t *server = client->server;
  CURL *curl = client->curl;
  bool is_set =
      curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
      curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
      curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_TIMEOUT_S) ==
          CURLE_OK &&
      curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS,
                       (long)(server->timeout_s * 1000)) == CURLE_OK &&
      curl_easy_setopt(curl, CURLOPT_USERAGENT, "aurorectl") == CURLE_OK;
  if (server->unix_socket != NULL)
    is_set = is_set && curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH,
                                        server->unix_socket) == CURLE_OK;
  if (server->ca != NULL)
    is_set = is_set &&
             curl_easy_setopt(curl, CURLOPT_CAINFO, server->ca) == CURLE_OK;
  if (server->certificate != NULL)
    is_set = is_set && curl_easy_setopt(curl, CURLOPT_SSLCERT,
                                        server->certificate) == CURLE_OK;
  if (server->key != NULL)
    is_set = is_set &&
             curl_easy_setopt(curl, CURLOPT_SSLKEY, server->key) == CURLE_OK;
  if (server->pinned_key != NULL)
    is_set = is_set &&
             curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L) == CURLE_OK &&
             curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L) == CURLE_OK &&
             curl_easy_setopt(curl, CURLOPT_PINNEDPUBLICKEY,
                              server->pinned_key) == CURLE_OK;
  if (!is_set)
    ctl_say("libcurl does not take these options");
  return is_set;
}

ctl_client_t *ctl_client_create(const ctl_server_t *server) {
  char token[TOKEN_MAX + 1];
  if (!read_token(server, token))
    return NULL;
  ctl_client_t *client = calloc(1, sizeof(*client));
  if (client == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
    ctl_say("out of memory");
    free(client);
    return NULL;
  }
  client->server = server;
  client->curl = curl_easy_init();
  if (token[0] != '\0')
    snprintf(client->authorization, sizeof(client->authorization),
             "Authorization: Bearer %s", token);
  if (client->curl != NULL && set_up(client))
    return client;
  ctl_client_destroy(client);
  return NULL;
}

void ctl_client_destroy(ctl_client_t *client) {
  if (client == NULL)
    return;
  if (client->curl != NULL)
    curl_easy_cleanup(client->curl);
  curl_global_cleanup();
  free(client);
}

static int check_abort(void *context, curl_off_t a, curl_off_t b, curl_off_t c,
                       curl_off_t d) {
  const ctl_client_t *client = context;
  (void)a;
  (void)b;
  (void)c;
  (void)d;
  return client->is_over(client->context);
}

void ctl_client_abort_when(ctl_client_t *client, bool (*is_over)(void *context),
                           void *context) {
  client->is_over = is_over;
  client->context = context;
  (void)curl_easy_setopt(client->curl, CURLOPT_NOPROGRESS, 0L);
  (void)curl_easy_setopt(client->curl, CURLOPT_XFERINFODATA, client);
  (void)curl_easy_setopt(client->curl, CURLOPT_XFERINFOFUNCTION, check_abort);
}

/* --- a request ------------------------------------------------------------ */

static size_t take_body(char *data, size_t size, size_t count, void *context) {
  au_bytes_t *body = context;
  size_t left = CTL_ANSWER_MAX - body->size;
  size_t bytes = size * count;
  au_bytes_put(body, data, bytes < left ? bytes : left);
  return bytes;
}

/* NULL: out of memory. */
static struct curl_slist *make_headers(const ctl_client_t *client,
                                       const char *const *headers) {
  /* A large body is sent without asking first. */
  struct curl_slist *list = curl_slist_append(NULL, "Expect:");
  struct curl_slist *longer = list;
  if (longer != NULL && client->authorization[0] != '\0')
    longer = curl_slist_append(list, client->authorization);
  for (size_t i = 0; longer != NULL && headers != NULL && headers[i] != NULL;
       i++)
    longer = curl_slist_append(list, headers[i]);
  if (longer == NULL)
    curl_slist_free_all(list);
  return longer == NULL ? NULL : list;
}

static bool make_url(const ctl_client_t *client, const char *path,
                     char url[PATH_SIZE]) {
  const char *base = client->server->url;
  size_t size = strlen(base);
  while (size > 0 && base[size - 1] == '/')
    size--;
  return snprintf(url, PATH_SIZE, "%.*s%s", (int)size, base, path) < PATH_SIZE;
}

static CURLcode prepare(ctl_client_t *client, const char *method,
                        const char *url, struct curl_slist *headers,
                        const void *body, size_t size, ctl_answer_t *answer) {
  CURL *curl = client->curl;
  CURLcode code = curl_easy_setopt(curl, CURLOPT_URL, url);
  if (code == CURLE_OK && body != NULL)
    code = curl_easy_setopt(curl, CURLOPT_POST, 1L);
  else if (code == CURLE_OK)
    code = curl_easy_setopt(curl, CURLOPT_HTTPGET, 1L);
  if (code == CURLE_OK)
    code = curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
  if (code == CURLE_OK && body != NULL)
    code =
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)size);
  if (code == CURLE_OK && body != NULL)
    code = curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
  if (code == CURLE_OK)
    code = curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
  if (code == CURLE_OK)
    code = curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
  if (code == CURLE_OK)
    code = curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer->body);
  return code;
}

void ctl_client_ask(ctl_client_t *client, const char *method, const char *path,
                    const char *const *headers, const void *body, size_t size,
                    ctl_answer_t *answer) {
  char url[PATH_SIZE];
  char why[CURL_ERROR_SIZE] = "";
  answer->status = 0;
  answer->is_refused = false;
  answer->retry_after_s = 0;
  answer->error[0] = '\0';
  au_bytes_clear(&answer->body, CTL_ANSWER_MAX);
  CURLcode code = CURLE_OUT_OF_MEMORY;
  struct curl_slist *list = make_headers(client, headers);
  if (list != NULL && make_url(client, path, url))
    code = prepare(client, method, url, list, body, size, answer);
  if (code == CURLE_OK)
    code = curl_easy_setopt(client->curl, CURLOPT_ERRORBUFFER, why);
  if (code == CURLE_OK)
    code = curl_easy_perform(client->curl);
  curl_off_t retry_after_s = 0;
  if (code == CURLE_OK) {
    (void)curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE,
                            &answer->status);
    (void)curl_easy_getinfo(client->curl, CURLINFO_RETRY_AFTER, &retry_after_s);
    answer->retry_after_s = (long)retry_after_s;
  } else {
    answer->is_refused = code == CURLE_COULDNT_CONNECT;
    snprintf(answer->error, sizeof(answer->error), "%.200s",
             why[0] != '\0' ? why : curl_easy_strerror(code));
  }
  (void)curl_easy_setopt(client->curl, CURLOPT_ERRORBUFFER, (char *)NULL);
  curl_slist_free_all(list);
}

void ctl_answer_fini(ctl_answer_t *answer) { au_bytes_fini(&answer->body); }

const char *ctl_answer_text(ctl_answer_t *answer) {
  if (answer->status == 0)
    return answer->error;
  ctl_tree_t *tree = ctl_tree_parse(&answer->body);
  const char *message = ctl_tree_text(tree, "message");
  snprintf(answer->error, sizeof(answer->error), "%ld%s%.200s", answer->status,
           message != NULL ? ", " : "", message != NULL ? message : "");
  ctl_tree_free(tree);
  return answer->error;
}

void ctl_put_escaped(au_bytes_t *path, const char *text) {
  for (; *text != '\0'; text++) {
    bool is_plain = isalnum((unsigned char)*text) || *text == '-' ||
                    *text == '_' || *text == '.';
    if (is_plain)
      au_bytes_put_u8(path, (uint8_t)*text);
    else
      au_bytes_printf(path, "%%%02X", (unsigned char)*text);
  }
}

bool ctl_answer_is_temporary(const ctl_answer_t *answer) {
  return answer->status == 0 || answer->status == 408 ||
         answer->status == 425 || answer->status == 429 ||
         answer->status >= 500;
}

int ctl_answer_exit(const ctl_answer_t *answer) {
  if (ctl_answer_is_temporary(answer))
    return CTL_LATER;
  return answer->status == 404 || answer->status == 409 ? CTL_SOME
                                                        : CTL_REFUSED;
}
