/* SPDX-License-Identifier: MIT
 * Part of store/; calls database/, spool/, config/, metrics/, event/, base/. */
#include "store/dead_letter.h"

#include <inttypes.h>
#include <string.h>

const au_refusal_t au_refusal_unsound = {.sqlstate = "22P03",
                                         .reason = "the row cannot be decoded"};

/* A comma, and the text. */
static void put_text(au_bytes_t *sql, au_slice_t text) {
  au_bytes_put_u8(sql, ',');
  if (text.data == NULL)
    au_bytes_put_string(sql, "NULL");
  else
    au_database_put_bytea(sql, text.data, text.size);
}

/* The place of a row. */
static void put_place(au_bytes_t *sql, const au_claim_t *claim, uint64_t seq) {
  au_database_put_uuid(sql, &claim->spool_id);
  au_bytes_printf(sql, ",%u::smallint,%" PRIu64, claim->lane, seq);
}

void au_dead_letter_put_new(au_bytes_t *sql, const au_claim_t *claim,
                            uint64_t seq, const au_row_t *row,
                            const au_refusal_t *refusal) {
  au_uuid_t id = au_row_event_id(row);
  au_slice_t service = {.data = "", .size = 0};
  if (au_row_is_sound(row))
    service = au_row_service(row);
  au_bytes_put_string(sql, "INSERT INTO aurore.dead_letter (id, event_id, "
                           "service, event, failure_reason, sql_state, "
                           "retry_count, last_attempt_at, spool_id, lane, seq) "
                           "VALUES (aurore.dead_letter_id(");
  put_place(sql, claim, seq);
  au_bytes_put_u8(sql, ',');
  au_database_put_uuid(sql, &id);
  au_bytes_put_string(sql, "),");
  au_database_put_uuid(sql, &id);
  au_bytes_put_u8(sql, ',');
  au_database_put_literal(sql, service.data, service.size);
  put_text(sql, (au_slice_t){(const char *)row->tuple, row->size});
  au_bytes_put_u8(sql, ',');
  au_database_put_literal(sql, refusal->reason, strlen(refusal->reason));
  au_bytes_printf(sql, ",'%s',1,now(),", refusal->sqlstate);
  put_place(sql, claim, seq);
  /* It is there already when somebody has put back a part of the database; a
   * dead letter must never stop the lane. */
  au_bytes_put_string(sql, ") ON CONFLICT DO NOTHING;");
}

void au_dead_letter_put_refused(au_bytes_t *sql, const au_row_t *row,
                                const au_refusal_t *refusal) {
  au_bytes_put_string(sql, "SELECT aurore.refuse_dead_letter(");
  au_database_put_uuid(sql, &row->dead_letter_id);
  au_bytes_printf(sql, ",'%s',", refusal->sqlstate);
  au_database_put_literal(sql, refusal->reason, strlen(refusal->reason));
  au_bytes_put_string(sql, ");");
}

void au_dead_letter_put_store(au_bytes_t *sql, const au_claim_t *claim,
                              const au_row_t *row) {
  au_event_t event;
  if (au_row_decode(row->tuple, row->size, &event) != AU_OK) {
    /* It was whole when it was put into the buffer. */
    au_dead_letter_put_refused(sql, row, &au_refusal_unsound);
    return;
  }
  au_bytes_put_string(sql, "SELECT aurore.store_dead_letter(");
  au_database_put_uuid(sql, &row->dead_letter_id);
  au_bytes_put_u8(sql, ',');
  au_database_put_uuid(sql, &claim->spool_id);
  au_bytes_printf(sql, ",%u::smallint,", claim->lane);
  au_database_put_time(sql, event.ingested_at_us);
  au_bytes_put_u8(sql, ',');
  au_database_put_uuid(sql, &event.id);
  au_bytes_put_u8(sql, ',');
  au_database_put_time(sql, event.occurred_at_us);
  put_text(sql, event.service);
  put_text(sql, event.message);
  put_text(sql, event.metadata);
  au_bytes_put_string(sql, ");");
}
