/* SPDX-License-Identifier: MIT
 * Part of store/; calls database/, spool/, config/, metrics/, event/, base/. */
#include "store/host.h"

#include "base/clock.h"
#include "base/log.h"

#include <inttypes.h>
#include <stdlib.h>

/* How often another server is looked for while one is believed that is behind.
 */
#define LOOK_NS (10 * AU_NS_PER_S)

/* Where a server is. */
typedef struct place {
  bool is_primary; /* it is no standby */
  uint64_t timeline;
  uint64_t next_seq; /* of the lane; 0: it does not know it */
} place_t;

/* One number; 0 when the server has none, or refuses to say. */
static au_status_t ask(au_database_t *database, const char *sql,
                       uint64_t *out_number, au_database_error_t *error) {
  au_result_t result = {.pg = NULL};
  *out_number = 0;
  au_status_t status = au_database_exec(database, sql, &result, error);
  const char *text = status == AU_OK ? au_result_text(&result, 0, 0) : NULL;
  if (text != NULL)
    *out_number = strtoull(text, NULL, 10);
  au_result_fini(&result);
  return status == AU_INVALID ? AU_OK : status;
}

/* Changes nothing, and needs nothing of the schema, which may be older. */
static au_status_t look(au_database_t *database, au_lane_t *lane,
                        place_t *out_place, au_database_error_t *error) {
  uint64_t is_primary = 0;
  uint64_t has_lanes = 0;
  *out_place = (place_t){.timeline = 0};
  au_status_t status =
      ask(database, "SELECT (NOT pg_is_in_recovery())::integer", &is_primary,
          error);
  out_place->is_primary = is_primary != 0;
  if (status == AU_OK && out_place->is_primary)
    status = ask(database,
                 "SELECT ('x' || lpad(left(pg_walfile_name("
                 "pg_current_wal_lsn()), 8), 16, '0'))::bit(64)::bigint",
                 &out_place->timeline, error);
  if (status == AU_OK)
    status = ask(database,
                 "SELECT (to_regclass('aurore.lane') IS NOT NULL)::integer",
                 &has_lanes, error);
  if (status != AU_OK || has_lanes == 0)
    return status;
  au_bytes_t sql = AU_BYTES_INIT;
  au_uuid_t id = au_spool_id(au_lane_spool(lane));
  au_bytes_put_string(&sql,
                      "SELECT next_seq FROM aurore.lane WHERE spool_id = ");
  au_database_put_uuid(&sql, &id);
  au_bytes_printf(&sql, " AND lane = %u", au_lane_index(lane));
  const char *text = au_database_text(&sql, error);
  status = text == NULL ? AU_NOMEM
                        : ask(database, text, &out_place->next_seq, error);
  au_bytes_fini(&sql);
  return status;
}

static bool is_better(const place_t *one, const place_t *other) {
  if (one->is_primary != other->is_primary)
    return one->is_primary;
  if (one->timeline != other->timeline)
    return one->timeline > other->timeline;
  return one->next_seq > other->next_seq;
}

static bool is_behind(const au_host_t *host, au_lane_t *lane,
                      const place_t *place) {
  uint64_t begin = au_spool_begin(au_lane_spool(lane)).seq;
  return place->timeline < au_leader_timeline(host->leader) ||
         (begin > 1 && place->next_seq < begin);
}

/* In the server that is connected to. */
static void believe(au_host_t *host, const au_database_t *database,
                    const place_t *place, bool behind) {
  int number = au_database_host(database);
  au_leader_believe(host->leader, number < 0 ? AU_LEADER_ANY : number,
                    place->timeline, behind);
  host->timeline = place->timeline;
  host->is_behind = behind;
  host->look_ns = au_clock_monotonic_ns() + LOOK_NS;
}

/* Asks the others, and connects to the best of all. */
static au_status_t compare(au_host_t *host, au_database_t *database,
                           au_lane_t *lane, const place_t *current,
                           au_database_error_t *error) {
  int first = au_database_host(database);
  int best = first;
  place_t place = *current;
  for (int i = 0; i < (int)au_database_hosts(database); i++) {
    place_t other;
    au_database_disconnect(database);
    au_database_use_host(database, i);
    if (i == first || au_database_connect(database, error) != AU_OK ||
        look(database, lane, &other, error) != AU_OK ||
        !is_better(&other, &place))
      continue;
    best = i;
    place = other;
  }
  au_database_disconnect(database);
  au_database_use_host(database, best);
  au_status_t status = au_database_connect(database, error);
  au_database_use_host(database, -1);
  if (status != AU_OK)
    return status;
  bool behind = is_behind(host, lane, &place);
  if (best != first)
    au_log(AU_LOG_WARNING,
           "host %d of ConnInfo is behind (timeline %" PRIu64
           ", lane %u stored up to %" PRIu64
           "); following host %d (timeline %" PRIu64 ", up to %" PRIu64 ")",
           first + 1, current->timeline, au_lane_index(lane), current->next_seq,
           best + 1, place.timeline, place.next_seq);
  else if (!host->is_behind)
    au_log(AU_LOG_WARNING,
           "host %d of ConnInfo is behind what was confirmed (timeline %" PRIu64
           ", lane %u stored up to %" PRIu64
           "), and no other one answers that is ahead of it; following it",
           first + 1, place.timeline, au_lane_index(lane), place.next_seq);
  believe(host, database, &place, behind);
  return AU_OK;
}

au_status_t au_host_choose(au_host_t *host, au_database_t *database,
                           au_lane_t *lane, au_database_error_t *error) {
  if (au_database_hosts(database) < 2)
    return AU_OK;
  place_t place;
  au_status_t status = look(database, lane, &place, error);
  if (status != AU_OK)
    return status;
  if (is_behind(host, lane, &place))
    return compare(host, database, lane, &place, error);
  believe(host, database, &place, false);
  return AU_OK;
}

bool au_host_is_due(const au_host_t *host, int64_t now_ns) {
  if (host->is_behind)
    return now_ns >= host->look_ns;
  return host->timeline != 0 &&
         host->timeline < au_leader_timeline(host->leader);
}
