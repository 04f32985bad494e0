/* SPDX-License-Identifier: MIT
 *
 * TLS: which versions and ciphers there are, whose certificate is taken, how
 * sessions are resumed, and files that are wrong from the start.
 */
#include "support/files.h"
#include "support/suite.h"
#include "support/tls_client.h"

#include <netinet/tcp.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static void setup(void) { tls_prepare(false); }

/* --- versions and ciphers ------------------------------------------------ */

CASE("versions", setup, NULL);

TEST(only_new_versions_and_good_ciphers) {
  server_start(&tls_server);
  ck_assert_int_eq(status_with("NORMAL:-VERS-ALL:+VERS-TLS1.3", NULL), 200);
  ck_assert_int_eq(status_with("NORMAL:-VERS-ALL:+VERS-TLS1.2", NULL), 200);
  ck_assert_int_eq(status_with("LEGACY:-VERS-ALL:+VERS-TLS1.1", NULL), 0);
  ck_assert_int_eq(status_with("LEGACY:-VERS-ALL:+VERS-TLS1.0", NULL), 0);
  static const char *const cipher[] = {"AES-128-GCM", "AES-256-GCM",
                                       "CHACHA20-POLY1305"};
  char priority[128];
  for (int i = 0; i < COUNT_OF(cipher); i++) {
    snprintf(priority, sizeof(priority), EVERYTHING ":-CIPHER-ALL:+%s",
             cipher[i]);
    ck_assert_msg(status_with(priority, NULL) == 200, "%s", cipher[i]);
  }
  static const char bad[] =
      "NORMAL:-VERS-ALL:+VERS-TLS1.2:-CIPHER-ALL:+AES-128-CBC:+AES-256-CBC";
  ck_assert_int_eq(status_with(bad, NULL), 0);
  tls_stop();
}

/* The client's order does not count. */
TEST(the_cheapest_cipher_is_taken) {
  server_start(&tls_server);
  visit_t visit = {.priority = EVERYTHING ":-CIPHER-ALL:+AES-256-GCM:"
                                          "+CHACHA20-POLY1305:+AES-128-GCM"};
  run_visit(&visit);
  ck_assert_int_eq(visit.status, 200);
  ck_assert_int_eq(visit.cipher, GNUTLS_CIPHER_AES_128_GCM);
  gnutls_free(visit.session.data);
  tls_stop();
}

CASE("rsa", NULL, NULL);

/* Whoever has the key of the certificate one day could read all of it. */
TEST(no_key_exchange_without_forward_secrecy) {
  tls_prepare(true);
  server_start(&tls_server);
  static const char priority[] = "NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:";
  char wanted[128];
  snprintf(wanted, sizeof(wanted), "%s+ECDHE-RSA", priority);
  ck_assert_int_eq(status_with(wanted, NULL), 200);
  snprintf(wanted, sizeof(wanted), "%s+RSA", priority);
  ck_assert_int_eq(status_with(wanted, NULL), 0);
  tls_stop();
}

/* --- certificates of clients --------------------------------------------- */

static int status_of_client(const identity_plan_t *plan) {
  identity_t client = identity_make(plan);
  int status[2] = {status_with("NORMAL:-VERS-ALL:+VERS-TLS1.3", &client),
                   status_with("NORMAL:-VERS-ALL:+VERS-TLS1.2", &client)};
  identity_free(&client);
  ck_assert_int_eq(status[0], status[1]);
  return status[0];
}

CASE("clients", setup, NULL);

TEST(a_client_s_certificate_is_for_clients) {
  tls_ask_for_certificates();
  server_start(&tls_server);
  identity_plan_t plan = {.issuer = &tls_authority, .purpose = {CONSUME}};
  ck_assert_int_eq(status_of_client(&plan), 200);
  plan.purpose[1] = SERVE;
  ck_assert_int_eq(status_of_client(&plan), 200);
  plan.purpose[0] = plan.purpose[1] = NULL; /* for anything */
  ck_assert_int_eq(status_of_client(&plan), 200);
  plan.purpose[0] = SERVE;
  ck_assert_int_eq(status_of_client(&plan), 0);
  plan.purpose[0] = GNUTLS_KP_CODE_SIGNING;
  ck_assert_int_eq(status_of_client(&plan), 0);
  ck_assert_int_eq(status_with(NULL, NULL), 0);
  tls_stop();
}

TEST(a_client_s_certificate_is_valid_now) {
  tls_ask_for_certificates();
  server_start(&tls_server);
  identity_plan_t plan = {.issuer = &tls_authority, .purpose = {CONSUME}};
  plan.from = time(NULL) + 3600;
  ck_assert_int_eq(status_of_client(&plan), 0);
  plan.from = 0;
  plan.until = time(NULL) - 3600;
  ck_assert_int_eq(status_of_client(&plan), 0);
  tls_stop();
}

TEST(a_client_s_certificate_is_of_the_authority) {
  tls_ask_for_certificates();
  server_start(&tls_server);
  identity_plan_t plan = {.purpose = {CONSUME}};
  ck_assert_int_eq(status_of_client(&plan), 0);
  /* Not an authority itself. */
  identity_t friend = make_identity(&tls_authority, CONSUME);
  plan.issuer = &friend;
  ck_assert_int_eq(status_of_client(&plan), 0);
  identity_free(&friend);
  tls_stop();
}

/* --- sessions ------------------------------------------------------------ */

static void resume_everywhere(const char *priority) {
  visit_t visit = {.priority = priority};
  run_visit(&visit);
  ck_assert(!visit.is_resumed);
  for (int i = 0; i < 20; i++) { /* whichever thread takes it */
    run_visit(&visit);
    ck_assert_int_eq(visit.status, 200);
    ck_assert(visit.is_resumed);
  }
  gnutls_free(visit.session.data);
}

CASE("sessions", setup, NULL);

TEST(a_session_is_resumed_by_every_thread) {
  set_number(&tls_server, "Threads", 4);
  server_start(&tls_server);
  resume_everywhere("NORMAL:-VERS-ALL:+VERS-TLS1.3");
  resume_everywhere("NORMAL:-VERS-ALL:+VERS-TLS1.2");
  tls_stop();
}

static void let_it_end(const char *priority) {
  identity_plan_t plan = {
      .issuer = &tls_authority, .purpose = {CONSUME}, .until = time(NULL) + 3};
  identity_t client = identity_make(&plan);
  visit_t visit = {.priority = priority, .identity = &client};
  run_visit(&visit);
  run_visit(&visit);
  if (visit.status == 200) /* else this machine is too slow to see it */
    ck_assert(visit.is_resumed);
  while (time(NULL) <= plan.until)
    pause_for_a_moment();
  run_visit(&visit);
  ck_assert_int_eq(visit.status, 0);
  gnutls_free(visit.session.data);
  identity_free(&client);
}

TEST(a_session_does_not_outlive_its_certificate) {
  tls_ask_for_certificates();
  server_start(&tls_server);
  let_it_end("NORMAL:-VERS-ALL:+VERS-TLS1.3");
  let_it_end("NORMAL:-VERS-ALL:+VERS-TLS1.2");
  tls_stop();
}

static _Atomic unsigned quick_acks;

/* In the place of the library's. */
int setsockopt(int fd, int level, int name, const void *value, socklen_t size) {
  if (level == IPPROTO_TCP && name == TCP_QUICKACK)
    atomic_fetch_add(&quick_acks, 1);
  return (int)syscall(SYS_setsockopt, fd, level, name, value, size);
}

/* Else a client with Nagle's algorithm waits 40 ms with its first request. */
TEST(the_end_of_a_handshake_is_acknowledged_at_once) {
  server_start(&tls_server);
  atomic_store(&quick_acks, 0);
  ck_assert_int_eq(status_with("NORMAL:-VERS-ALL:+VERS-TLS1.3", NULL), 200);
  ck_assert_uint_eq(atomic_load(&quick_acks), 1);
  ck_assert_int_eq(status_with("NORMAL:-VERS-ALL:+VERS-TLS1.2", NULL), 200);
  ck_assert_uint_eq(atomic_load(&quick_acks), 2);
  tls_stop();
}

/* --- files that are wrong from the start --------------------------------- */

/* The start is refused, with the name of the file and all of these words. */
static void refuse_start(const char *name, const char *option,
                         const char *reason) {
  char error[900] = "";
  au_status_t status = server_try_start(&tls_server, error, sizeof(error));
  ck_assert_int_ne(status, AU_OK);
  ck_assert_ptr_null(tls_server.http);
  const char *const words[] = {file_of(name), option, reason};
  for (int i = 0; i < COUNT_OF(words); i++)
    ck_assert_msg(strstr(error, words[i]) != NULL, "%s has no %s", error,
                  words[i]);
}

CASE("starts", setup, NULL);

TEST(a_file_that_is_wrong_is_named_with_the_reason) {
  tls_ask_for_certificates();
  tls_server.buffer = fake_buffer_open();
  file_replace(file_of("ca.pem"), "");
  errno = EINTR; /* of whatever was before */
  refuse_start("ca.pem", "TLSClientCA", "it is empty");
  file_replace(file_of("ca.pem"), "nonsense");
  refuse_start("ca.pem", "TLSClientCA", "it holds no certificate");
  file_replace(file_of("server.key"), "");
  refuse_start("server.key", "TLSKey", "it is empty");
  file_replace(file_of("server.key"), "nonsense");
  refuse_start("server.key", "TLSKey", "it holds no private key");
  identity_t other = make_identity(&tls_authority, SERVE);
  key_write(&other, file_of("server.key"));
  refuse_start("server.key", "TLSKey", "it is not the key of TLSCertificate");
  identity_free(&other);
  file_replace(file_of("server.pem"), "nonsense");
  refuse_start("server.pem", "TLSCertificate", "no chain of certificates");
  unlink(file_of("server.pem"));
  refuse_start("server.pem", "TLSCertificate", strerror(ENOENT));
  ck_assert_int_eq(mkfifo(file_of("server.pem"), 0600), 0);
  refuse_start("server.pem", "TLSCertificate", "not a regular file");
  fake_buffer_close();
  au_options_fini(&tls_server.options);
  remove_directory(tls_server.directory);
  identity_free(&tls_authority);
}

int main(void) {
  /* A peer that closes first is an error of the write, as in collectd. */
  signal(SIGPIPE, SIG_IGN);
  return run_tests("tls");
}
