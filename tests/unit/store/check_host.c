/* SPDX-License-Identifier: MIT
 *
 * check_host - which of several servers the writers believe in, and that those
 * who only read go there. There is one real server, by two names: what another
 * one would say is put into the leader.
 */
#include "base/clock.h"
#include "spool/buffer.h"
#include "store/host.h"
#include "support/log_capture.h"
#include "support/own_database.h"
#include "support/suite.h"

static au_buffer_t *buffer;
static au_leader_t leader;
static char two_hosts[1536];
static au_database_error_t error;

static au_lane_t *lane(void) { return au_buffer_lane(buffer, 0); }

static void start(void) {
  ignore_log();
  set_up_database();
  au_leader_init(&leader);
  const au_buffer_config_t config = {
      .lanes = 1, .capacity = 1000, .max_bytes = 1 << 26};
  char text[256] = "";
  ck_assert_msg(au_buffer_open(&config, &buffer, text, sizeof(text)) == AU_OK,
                "%s", text);
  snprintf(two_hosts, sizeof(two_hosts), "%s host=%s,127.0.0.1", own_conninfo,
           conninfo_value(own_conninfo, "host"));
}

static void stop(void) {
  au_buffer_destroy(buffer);
  au_leader_fini(&leader);
  tear_down_database();
}

/* Who reads. */
static au_database_t *make_follower(const char *conninfo) {
  const au_database_config_t config = {.conninfo = conninfo,
                                       .connect_timeout_s = 20,
                                       .statement_timeout_s = 20,
                                       .stop_fd = -1,
                                       .leader = &leader};
  au_database_t *made = NULL;
  ck_assert_int_eq(au_database_create(&config, &made), AU_OK);
  return made;
}

static void must_connect(au_database_t *client) {
  au_status_t status = au_database_connect(client, &error);
  ck_assert_done(status, error);
}

static void must_choose(au_host_t *host, au_database_t *client) {
  must_connect(client);
  au_status_t status = au_host_choose(host, client, lane(), &error);
  ck_assert_done(status, error);
}

CASE("leader", start, stop);

TEST(no_host_is_led_to_before_one_was_chosen) {
  au_database_t *reader = make_follower(two_hosts);
  ck_assert_int_eq(au_database_connect(reader, &error), AU_UNAVAILABLE);
  ck_assert_ptr_nonnull(strstr(error.message, "no writer has chosen"));
  ck_assert_str_eq(error.sqlstate, "");
  au_database_destroy(reader);
}

TEST(one_host_alone_needs_no_choice) {
  au_database_t *reader = make_follower(own_conninfo);
  must_connect(reader);
  ck_assert(au_database_check(reader));
  au_leader_believe(&leader, 1, 7, false);
  ck_assert(au_database_check(reader));
  must_connect(reader);
  au_database_destroy(reader);
}

TEST(reader_goes_where_the_writers_went) {
  au_database_t *reader = make_follower(two_hosts);
  for (int turn = 0; turn < 4; turn++) {
    au_leader_believe(&leader, turn % 2, 1, false);
    ck_assert_int_eq(au_database_is_connected(reader), turn > 0);
    ck_assert(!au_database_check(reader)); /* it is none, or another one's */
    must_connect(reader);
    ck_assert_int_eq(au_database_host(reader), turn % 2);
    ck_assert(au_database_check(reader));
    ck_assert_str_eq(ask(reader, "SELECT current_database()"), own_name);
  }
  au_leader_believe(&leader, AU_LEADER_ANY, 1, false);
  must_connect(reader);
  ck_assert_int_eq(au_database_host(reader), 0);
  ck_assert_uint_eq(au_database_hosts(reader), 2);
  au_database_destroy(reader);
}

/* One writer has not heard of what another one knows. */
TEST(lower_timeline_counts_only_for_want_of_another) {
  ck_assert_int_eq(au_leader_host(&leader), AU_LEADER_NONE);
  au_leader_believe(&leader, 0, 2, false);
  au_leader_believe(&leader, 1, 1, false);
  ck_assert_int_eq(au_leader_host(&leader), 0);
  au_leader_believe(&leader, 1, 1, true);
  ck_assert_int_eq(au_leader_host(&leader), 1);
  ck_assert_uint_eq(au_leader_timeline(&leader), 2);
  au_leader_believe(&leader, 0, 2, false);
  ck_assert_int_eq(au_leader_host(&leader), 0);
}

TEST(choice_is_told_to_the_readers) {
  au_host_t host = {.leader = &leader};
  au_database_t *writer = open_client(two_hosts);
  must_choose(&host, writer);
  ck_assert_int_eq(au_leader_host(&leader), 0);
  ck_assert_uint_eq(au_leader_timeline(&leader), host.timeline);
  ck_assert_uint_eq(host.timeline, 1);
  ck_assert(!host.is_behind);
  au_database_use_host(writer, 1);
  au_database_disconnect(writer);
  must_choose(&host, writer);
  ck_assert_int_eq(au_leader_host(&leader), 1);
  au_database_destroy(writer);
}

TEST(one_host_alone_is_no_choice) {
  au_host_t host = {.leader = &leader};
  must_choose(&host, database);
  ck_assert_int_eq(au_leader_host(&leader), AU_LEADER_NONE);
  au_leader_believe(&leader, 0, 9, false);
  ck_assert(!au_host_is_due(&host, INT64_MAX));
}

/* A lane whose connection to a server has outlived what another lane has left
 * it for. */
TEST(what_another_lane_has_left_is_left) {
  au_host_t host = {.leader = &leader};
  au_database_t *writer = open_client(two_hosts);
  int64_t now_ns = au_clock_monotonic_ns();
  must_choose(&host, writer);
  ck_assert(!au_host_is_due(&host, now_ns));
  au_leader_believe(&leader, 1, 2, false);
  ck_assert(au_host_is_due(&host, now_ns));
  /* None has that timeline any more: this one is believed for want of it, and
   * the other is looked for now and then. */
  must_choose(&host, writer);
  ck_assert(host.is_behind);
  ck_assert(!au_host_is_due(&host, now_ns));
  ck_assert(au_host_is_due(&host, host.look_ns));
  ck_assert_int_eq(au_leader_host(&leader), 0);
  ck_assert_uint_eq(au_leader_timeline(&leader), 2);
  au_database_destroy(writer);
}

int main(void) { return run_database_tests("host"); }
