/* SPDX-License-Identifier: MIT
 *
 * certificates - those of the HTTPS server and of its clients' authorities:
 * whether they can be read, belong to the key, make a chain, and until when
 * they are valid.
 */
#include "tools/doctor/doctor.h"

#include "base/clock.h"
#include "http/file.h"

#include <gnutls/x509.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WHAT "certificate"
/* When the status page begins to speak of it, too. */
#define DAYS_LEFT 14
#define DAY_S 86400
#define NAME_SIZE 256
#define KEY_ID_SIZE 64

typedef struct chain {
  gnutls_x509_crt_t *list;
  unsigned count;
} chain_t;

static void chain_fini(chain_t *chain) {
  for (unsigned i = 0; i < chain->count; i++)
    gnutls_x509_crt_deinit(chain->list[i]);
  gnutls_free(chain->list);
  *chain = (chain_t){.list = NULL};
}

/* NULL: it has been said why not. To be freed. */
static char *read_file(ctl_doctor_t *doctor, const char *option,
                       const char *path) {
  char *text = NULL;
  char error[600] = "";
  if (au_file_read(option, path, &text, error, sizeof(error)) == AU_OK)
    return text;
  ctl_find(&doctor->findings, ctl_doctor_state(doctor), WHAT, "%s", error);
  ctl_advise(&doctor->findings,
             "name a file in PEM that %s may read: chgrp, chmod 0640",
             doctor->user);
  return NULL;
}

static gnutls_datum_t datum_of(char *text) {
  return (gnutls_datum_t){(void *)text, (unsigned)strlen(text)};
}

static bool read_chain(ctl_doctor_t *doctor, const char *option,
                       const char *path, unsigned flags, chain_t *chain) {
  char *text = read_file(doctor, option, path);
  *chain = (chain_t){.list = NULL};
  if (text == NULL)
    return false;
  gnutls_datum_t datum = datum_of(text);
  int result = gnutls_x509_crt_list_import2(&chain->list, &chain->count, &datum,
                                            GNUTLS_X509_FMT_PEM, flags);
  free(text);
  if (result >= 0 && chain->count > 0)
    return true;
  ctl_find(&doctor->findings, CTL_PROBLEM, WHAT,
           "%s \"%s\" holds no certificates that belong together: %s", option,
           path, gnutls_strerror(result));
  ctl_advise(&doctor->findings,
             "the server's certificate comes first, then that of each "
             "authority between it and the root");
  return false;
}

/* --- one certificate -------------------------------------------------------
 */

static const char *subject_of(gnutls_x509_crt_t certificate,
                              char name[NAME_SIZE]) {
  size_t size = NAME_SIZE;
  if (gnutls_x509_crt_get_dn(certificate, name, &size) < 0)
    memcpy(name, "?", 2);
  return name;
}

static const char *day_of(time_t when, char text[32]) {
  struct tm parts;
  if (gmtime_r(&when, &parts) == NULL ||
      strftime(text, 32, "%Y-%m-%d %H:%M UTC", &parts) == 0)
    memcpy(text, "?", 2);
  return text;
}

/* Whether it is valid now, and for a while yet. */
static bool check_times(ctl_doctor_t *doctor, const char *option,
                        gnutls_x509_crt_t certificate) {
  char name[NAME_SIZE];
  char day[32];
  time_t now = (time_t)(au_clock_wall_us() / AU_US_PER_S);
  time_t begin = gnutls_x509_crt_get_activation_time(certificate);
  time_t end = gnutls_x509_crt_get_expiration_time(certificate);
  subject_of(certificate, name);
  if (end < now) {
    ctl_find(&doctor->findings, CTL_PROBLEM, WHAT, "%s, %s, has expired on %s",
             option, name, day_of(end, day));
    ctl_advise(&doctor->findings, "renew it; the files are read again when "
                                  "they change, without a restart");
    return false;
  }
  if (begin > now) {
    ctl_find(&doctor->findings, CTL_PROBLEM, WHAT,
             "%s, %s, is not valid before %s", option, name,
             day_of(begin, day));
    ctl_advise(&doctor->findings, "set this machine's clock, or get another "
                                  "certificate");
    return false;
  }
  if (end - now > (time_t)DAYS_LEFT * DAY_S)
    return true;
  ctl_find(&doctor->findings, CTL_WARNING, WHAT, "%s, %s, expires on %s",
           option, name, day_of(end, day));
  ctl_advise(&doctor->findings, "renew it, and look why nothing has renewed it "
                                "by itself");
  return false;
}

/* --- the pair --------------------------------------------------------------
 */

static bool is_key_of(gnutls_x509_crt_t certificate,
                      gnutls_x509_privkey_t key) {
  unsigned char one[KEY_ID_SIZE];
  unsigned char other[KEY_ID_SIZE];
  size_t one_size = sizeof(one);
  size_t other_size = sizeof(other);
  return gnutls_x509_crt_get_key_id(certificate, 0, one, &one_size) == 0 &&
         gnutls_x509_privkey_get_key_id(key, 0, other, &other_size) == 0 &&
         one_size == other_size && memcmp(one, other, one_size) == 0;
}

static bool check_key(ctl_doctor_t *doctor, gnutls_x509_crt_t certificate) {
  const au_options_t *options = &doctor->options;
  gnutls_x509_privkey_t key = NULL;
  char *text = read_file(doctor, "TLSKey", options->tls_key);
  if (text == NULL)
    return false;
  gnutls_datum_t datum = datum_of(text);
  bool is_key = gnutls_x509_privkey_init(&key) == 0 &&
                gnutls_x509_privkey_import2(key, &datum, GNUTLS_X509_FMT_PEM,
                                            NULL, 0) == 0;
  bool fits = is_key && is_key_of(certificate, key);
  gnutls_x509_privkey_deinit(key);
  explicit_bzero(text, strlen(text));
  free(text);
  if (fits)
    return true;
  ctl_find(&doctor->findings, CTL_PROBLEM, WHAT,
           is_key ? "TLSKey \"%s\" is not the key of TLSCertificate"
                  : "TLSKey \"%s\" holds no private key without a passphrase",
           options->tls_key);
  ctl_advise(&doctor->findings, "name the key that was made with \"%s\"",
             options->tls_certificate);
  return false;
}

/* What is sent is sorted, and without what belongs to no other. */
static bool check_rest(ctl_doctor_t *doctor, const chain_t *chain) {
  chain_t all;
  const char *path = doctor->options.tls_certificate;
  if (!read_chain(doctor, "TLSCertificate", path, 0, &all))
    return false;
  unsigned rest = all.count - chain->count;
  chain_fini(&all);
  if (rest == 0)
    return true;
  ctl_find(&doctor->findings, CTL_WARNING, WHAT,
           "%u in TLSCertificate \"%s\" %s to the chain of the first, and %s "
           "not sent",
           rest, path, rest == 1 ? "does not belong" : "do not belong",
           rest == 1 ? "is" : "are");
  ctl_advise(&doctor->findings, "put the certificates of its own authorities "
                                "behind it, or clients may not believe it");
  return false;
}

static void check_pair(ctl_doctor_t *doctor) {
  chain_t chain;
  char name[NAME_SIZE];
  char issuer[NAME_SIZE];
  char day[32];
  if (!read_chain(doctor, "TLSCertificate", doctor->options.tls_certificate,
                  GNUTLS_X509_CRT_LIST_SORT, &chain))
    return;
  bool is_good = check_key(doctor, chain.list[0]);
  is_good = check_rest(doctor, &chain) && is_good;
  for (unsigned i = 0; i < chain.count; i++)
    is_good = check_times(doctor, "TLSCertificate", chain.list[i]) && is_good;
  size_t size = sizeof(issuer);
  if (gnutls_x509_crt_get_issuer_dn(chain.list[chain.count - 1], issuer,
                                    &size) < 0)
    memcpy(issuer, "?", 2);
  if (is_good)
    ctl_find(&doctor->findings, CTL_OK, WHAT,
             "%s, until %s; %u in the chain, the last signed by %s",
             subject_of(chain.list[0], name),
             day_of(gnutls_x509_crt_get_expiration_time(chain.list[0]), day),
             chain.count, issuer);
  chain_fini(&chain);
}

static void check_authorities(ctl_doctor_t *doctor) {
  chain_t chain;
  if (!read_chain(doctor, "TLSClientCA", doctor->options.tls_client_ca, 0,
                  &chain))
    return;
  bool is_good = true;
  for (unsigned i = 0; i < chain.count; i++)
    is_good = check_times(doctor, "TLSClientCA", chain.list[i]) && is_good;
  if (is_good)
    ctl_find(&doctor->findings, CTL_OK, WHAT,
             "%u authorit%s of clients in TLSClientCA", chain.count,
             chain.count == 1 ? "y" : "ies");
  chain_fini(&chain);
}

void ctl_doctor_certificates(ctl_doctor_t *doctor) {
  const au_options_t *options = &doctor->options;
  if (options->tls_certificate[0] != '\0' && options->tls_key[0] != '\0')
    check_pair(doctor);
  if (options->tls_client_ca[0] != '\0')
    check_authorities(doctor);
}
