/* SPDX-License-Identifier: MIT
 *
 * Certificates and tokens that change while the server runs.
 */
#include "support/files.h"
#include "support/log_capture.h"
#include "support/suite.h"
#include "support/tls_client.h"

#include <math.h>
#include <signal.h>
#include <sys/stat.h>

static void setup(void) { tls_prepare(false); }

static void await_certificate(const identity_t *identity) {
  while (!serves(identity))
    pause_for_a_moment();
}

/* --- files that change --------------------------------------------------- */

static uint64_t failures(au_config_file_t file) {
  return au_metrics_counter(AU_M_RELOAD_FAILURES, file);
}

static uint64_t all_failures(void) {
  uint64_t sum = 0;
  for (unsigned i = 0; i < AU_FILE_COUNT; i++)
    sum += failures((au_config_file_t)i);
  return sum;
}

static void await_failure(au_config_file_t file, uint64_t count) {
  while (failures(file) < count)
    pause_for_a_moment();
}

START_TEST(a_new_certificate_is_in_force_soon) {
  server_start(&tls_server);
  int result = 0;
  visit_t visit = {.priority = NULL};
  tls_client_t before = tls_connect(&visit, &result);
  ck_assert_int_eq(result, 0);
  identity_t renewed = make_identity(&tls_authority, SERVE);
  identity_write(&renewed, tls_server.directory, "server");
  await_certificate(&renewed);
  /* Who is there stays. */
  ck_assert_int_eq(ask_live(&before), 200);
  tls_close(&before);
  identity_free(&renewed);
  ck_assert_uint_eq(notified(AU_SEVERITY_WARNING), 0);
  tls_stop();
}
END_TEST

/* As certbot and Kubernetes do it. */
START_TEST(a_link_that_names_another_file_is_a_change) {
  identity_t first = make_identity(&tls_authority, SERVE);
  identity_t second = make_identity(&tls_authority, SERVE);
  char directory[2][128];
  for (int i = 0; i < 2; i++) {
    snprintf(directory[i], sizeof(directory[i]), "%s/%d", tls_server.directory,
             i);
    ck_assert_int_eq(mkdir(directory[i], 0700), 0);
    identity_write(i == 0 ? &first : &second, directory[i], "tls");
  }
  ck_assert_int_eq(symlink("0", file_of("data")), 0);
  set_option(&tls_server, "TLSCertificate", file_of("data/tls.pem"));
  set_option(&tls_server, "TLSKey", file_of("data/tls.key"));
  server_start(&tls_server);
  ck_assert(serves(&first));
  ck_assert_int_eq(symlink("1", file_of("data.new")), 0);
  ck_assert_int_eq(rename(file_of("data.new"), file_of("data")), 0);
  await_certificate(&second);
  ck_assert_uint_eq(all_failures(), 0);
  identity_free(&first);
  identity_free(&second);
  unlink(file_of("data"));
  remove_directory(directory[0]);
  remove_directory(directory[1]);
  tls_stop();
}
END_TEST

START_TEST(what_does_not_fit_together_changes_nothing) {
  server_start(&tls_server);
  identity_t renewed = make_identity(&tls_authority, SERVE);
  certificate_write(&renewed, file_of("server.pem"));
  watch_log_for("TLSKey");
  await_failure(AU_FILE_KEY, 1);
  await_notified(AU_SEVERITY_WARNING, 1);
  ck_assert(!serves(&renewed));
  ck_assert_uint_eq(log_matches(), 1);
  key_write(&renewed, file_of("server.key"));
  await_certificate(&renewed);
  await_notified(AU_SEVERITY_OKAY, 1);
  ck_assert_uint_eq(all_failures(), 1);
  ck_assert_uint_eq(notified(AU_SEVERITY_WARNING), 1);
  identity_free(&renewed);
  tls_stop();
}
END_TEST

/* Cuts a file in half, in its place. */
static void cut(const char *path) {
  struct stat info;
  ck_assert_int_eq(stat(path, &info), 0);
  ck_assert_int_eq(truncate(path, info.st_size / 2), 0);
}

START_TEST(half_a_file_changes_nothing) {
  tls_ask_for_certificates();
  server_start(&tls_server);
  identity_t client = make_identity(&tls_authority, CONSUME);
  cut(file_of("server.pem"));
  await_failure(AU_FILE_CERTIFICATE, 1);
  ck_assert_int_eq(status_with(NULL, &client), 200);
  identity_t renewed = make_identity(&tls_authority, SERVE);
  identity_write(&renewed, tls_server.directory, "server");
  await_notified(AU_SEVERITY_OKAY, 1);
  cut(file_of("server.key"));
  await_failure(AU_FILE_KEY, 1);
  ck_assert_int_eq(status_with(NULL, &client), 200);
  identity_write(&renewed, tls_server.directory, "server");
  await_notified(AU_SEVERITY_OKAY, 2);
  cut(file_of("ca.pem"));
  await_failure(AU_FILE_CLIENT_CA, 1);
  ck_assert_int_eq(status_with(NULL, &client), 200);
  ck_assert_int_eq(status_with(NULL, NULL), 0);
  unlink(file_of("ca.pem")); /* another reason */
  await_failure(AU_FILE_CLIENT_CA, 2);
  ck_assert_int_eq(status_with(NULL, &client), 200);
  ck_assert_int_eq(status_with(NULL, NULL), 0);
  identity_free(&renewed);
  identity_free(&client);
  tls_stop();
}
END_TEST

/* A ticket of before does not help it, either. */
START_TEST(a_client_of_an_authority_that_is_gone_is_refused) {
  tls_ask_for_certificates();
  server_start(&tls_server);
  identity_t client = make_identity(&tls_authority, CONSUME);
  visit_t visit = {.identity = &client};
  run_visit(&visit);
  ck_assert_int_eq(visit.status, 200);
  identity_t other = identity_make(&(identity_plan_t){.is_authority = true});
  certificate_write(&other, file_of("ca.pem"));
  identity_t its_client = make_identity(&other, CONSUME);
  while (status_with(NULL, &its_client) != 200)
    pause_for_a_moment();
  run_visit(&visit);
  ck_assert_int_eq(visit.status, 0);
  gnutls_free(visit.session.data);
  identity_free(&its_client);
  identity_free(&other);
  identity_free(&client);
  tls_stop();
}
END_TEST

/* --- the time that is left ----------------------------------------------- */

static void read_expiry(const au_series_t *series, void *context) {
  double *value = context;
  if (series->metric == AU_M_CERTIFICATE_EXPIRY)
    *value = series->value;
}

/* NAN: there is no series. */
static double expiry_s(void) {
  double value = (double)NAN;
  au_http_sample(tls_server.http);
  au_metrics_visit(NULL, read_expiry, &value);
  return value;
}

START_TEST(the_metric_says_when_the_certificate_ends) {
  time_t before = time(NULL);
  identity_t own = identity_make(
      &(identity_plan_t){.issuer = &tls_authority, .until = before + 1000});
  identity_write(&own, tls_server.directory, "server");
  server_start(&tls_server);
  double left_s = expiry_s();
  ck_assert_double_le(left_s, 1000);
  ck_assert_double_ge(left_s, 1000 - (double)(time(NULL) - before) - 1);
  identity_free(&own);
  own = identity_make(
      &(identity_plan_t){.issuer = &tls_authority, .until = before - 1000});
  identity_write(&own, tls_server.directory, "server");
  await_certificate(&own);
  ck_assert_double_le(expiry_s(), -1000);
  identity_free(&own);
  tls_stop();
}
END_TEST

START_TEST(without_a_certificate_there_is_no_metric) {
  set_option(&tls_server, "TLSCertificate", "");
  set_option(&tls_server, "TLSKey", "");
  server_start(&tls_server);
  ck_assert(isnan(expiry_s()));
  tls_stop();
}
END_TEST

/* --- tokens -------------------------------------------------------------- */

/* sha256 of "alpha" and "beta". */
#define ALPHA "8ed3f6ad685b959ead7022518e1af76cd816f8e8ec7ccdda1ed4018e8f2223f8"
#define BETA "f44e64e75f3948e9f73f8dfa94721c4ce8cbb4f265c4790c702b2d41cfbf2753"

static void setup_tokens(void) {
  setup();
  set_option(&tls_server, "TLSCertificate", "");
  set_option(&tls_server, "TLSKey", "");
  file_replace(file_of("tokens"), "read " ALPHA "\n");
  set_option(&tls_server, "TokenFile", file_of("tokens"));
}

static bool is_known(const char *token) {
  char headers[128];
  snprintf(headers, sizeof(headers), "Authorization: Bearer %s\r\n", token);
  client_t *client = client_connect(&tls_server);
  send_request(client, "GET", "/metrics/prometheus", headers, NULL, 0);
  reply_t reply = read_reply(client);
  client_close(client);
  reply_fini(&reply);
  ck_assert_msg(reply.status == 200 || reply.status == 401, "%d", reply.status);
  return reply.status == 200;
}

START_TEST(a_token_is_added_and_taken_away) {
  server_start(&tls_server);
  ck_assert(is_known("alpha"));
  ck_assert(!is_known("beta"));
  file_replace(file_of("tokens"), "read " ALPHA "\nread " BETA "\n");
  while (!is_known("beta"))
    ck_assert(is_known("alpha"));
  file_replace(file_of("tokens"), "read " BETA "\n");
  while (is_known("alpha"))
    ck_assert(is_known("beta"));
  ck_assert_uint_eq(all_failures(), 0);
  tls_stop();
}
END_TEST

START_TEST(a_token_file_that_cannot_be_used_changes_nothing) {
  server_start(&tls_server);
  file_replace(file_of("tokens"), "read nonsense\n");
  await_failure(AU_FILE_TOKENS, 1);
  ck_assert(is_known("alpha"));
  file_replace(file_of("tokens"), "");
  await_failure(AU_FILE_TOKENS, 2);
  ck_assert(is_known("alpha"));
  unlink(file_of("tokens"));
  await_failure(AU_FILE_TOKENS, 3);
  ck_assert(is_known("alpha"));
  await_notified(AU_SEVERITY_WARNING, 3);
  file_replace(file_of("tokens"), "read " BETA "\n");
  await_notified(AU_SEVERITY_OKAY, 1);
  ck_assert(is_known("beta"));
  ck_assert(!is_known("alpha"));
  tls_stop();
}
END_TEST

START_TEST(who_may_write_or_read_is_looked_at) {
  ck_assert_int_eq(chmod(file_of("tokens"), 0646), 0);
  watch_log_for("TokenFile");
  server_start(&tls_server);
  ck_assert_uint_eq(log_matches(), 1);
  ck_assert_ptr_nonnull(strstr(last_warning(), "can be written"));
  tls_stop();
}
END_TEST

START_TEST(a_key_that_all_can_read_is_logged) {
  ck_assert_int_eq(chmod(file_of("server.key"), 0604), 0);
  watch_log_for("TLSKey");
  server_start(&tls_server);
  ck_assert_uint_eq(log_matches(), 1);
  ck_assert_ptr_nonnull(strstr(last_warning(), "can be read"));
  tls_stop();
}
END_TEST

static void add_cases(Suite *suite) {
  TCase *tc = add_case(suite, "changes", setup, NULL);
  tcase_add_checked_fixture(tc, capture_log, release_log);
  tcase_add_test(tc, a_new_certificate_is_in_force_soon);
  tcase_add_test(tc, a_link_that_names_another_file_is_a_change);
  tcase_add_test(tc, what_does_not_fit_together_changes_nothing);
  tcase_add_test(tc, half_a_file_changes_nothing);
  tcase_add_test(tc, a_client_of_an_authority_that_is_gone_is_refused);
  tcase_add_test(tc, the_metric_says_when_the_certificate_ends);
  tcase_add_test(tc, without_a_certificate_there_is_no_metric);
  tcase_add_test(tc, a_key_that_all_can_read_is_logged);
  tc = add_case(suite, "tokens", setup_tokens, NULL);
  tcase_add_checked_fixture(tc, capture_log, release_log);
  tcase_add_test(tc, a_token_is_added_and_taken_away);
  tcase_add_test(tc, a_token_file_that_cannot_be_used_changes_nothing);
  tcase_add_test(tc, who_may_write_or_read_is_looked_at);
}

int main(void) {
  /* A peer that closes first is an error of the write, as in collectd. */
  signal(SIGPIPE, SIG_IGN);
  return run_suite("reload", add_cases);
}
