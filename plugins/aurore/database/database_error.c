/* SPDX-License-Identifier: MIT
 * Part of database/; calls spool/, config/, metrics/, event/, base/.
 *
 * database_error - libpq's errors as a class and one line of text.
 *
 * Of what the server says only the primary message and the names of what is
 * concerned are kept: its detail holds values of the row, its context the line
 * of the COPY, and its statement the whole batch.
 */
#include "database/database_private.h"

#include "base/clock.h"
#include "base/utf8.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A line that is being built in a buffer of fixed size; what does not fit is
 * cut at a character. */
typedef struct line {
  char *text;
  size_t size; /* of the buffer */
  size_t length;
} line_t;

/* Of an error that begins, and is the database's fault so far. */
static line_t line_of(au_database_error_t *error) {
  *error = (au_database_error_t){.fault = AU_FAULT_DATABASE};
  return (line_t){.text = error->message, .size = sizeof(error->message)};
}

static void put_character(line_t *line, const char *text, size_t length) {
  if (line->size - line->length <= length) {
    line->size = line->length + 1; /* nothing more after the first cut */
    return;
  }
  memcpy(line->text + line->length, text, length);
  line->length += length;
  line->text[line->length] = '\0';
}

/* What is no UTF-8 becomes a question mark (the text comes from a server whose
 * locale nobody promised), and control characters become blanks. */
static void put_bytes(line_t *line, const char *text, size_t size) {
  for (size_t at = 0; at < size;) {
    size_t length = au_utf8_sequence(text + at, size - at);
    unsigned char first = (unsigned char)text[at];
    if (length > 1 || (length == 1 && first >= 0x20 && first != 0x7F))
      put_character(line, text + at, length);
    else
      put_character(line, length == 0 ? "?" : " ", 1);
    at += length == 0 ? 1 : length;
  }
}

static void put_text(line_t *line, const char *text) {
  put_bytes(line, text, strlen(text));
}

/* What may be quoted in a message about a connection: the characters of
 * host names, addresses, socket paths, roles and databases. Anything else may
 * be a piece of a connection string that was read in a way its author did not
 * mean, as of "postgresql://user:p@ss@host". */
static bool is_name(const char *text, size_t size) {
  for (size_t i = 0; i < size; i++)
    if (!isalnum((unsigned char)text[i]) && strchr("._-/:", text[i]) == NULL)
      return false;
  return true;
}

/* Puts "text" up to "end", names in quotes judged one by one. */
static void put_careful(line_t *line, const char *text, const char *end,
                        bool secret) {
  while (text < end) {
    const char *open = memchr(text, '"', (size_t)(end - text));
    if (open == NULL) {
      put_bytes(line, text, (size_t)(end - text));
      return;
    }
    put_bytes(line, text, (size_t)(open - text));
    const char *name = open + 1;
    const char *close = memchr(name, '"', (size_t)(end - name));
    /* Without an end it is not known where the secret ends. */
    size_t size = (size_t)((close != NULL ? close : end) - name);
    put_text(line, "\"");
    if (close == NULL || secret || !is_name(name, size))
      put_text(line, "...");
    else
      put_bytes(line, name, size);
    put_text(line, "\"");
    text = close != NULL ? close + 1 : end;
  }
}

/* In a line of libpq's verbose form, "...: FATAL:  53300: too many ...": where
 * the SQLSTATE begins; NULL: there is none. The words are in the server's
 * language. */
static const char *find_sqlstate(const char *text, const char *end) {
  for (; end - text >= 9; text++)
    if (memcmp(text, ":  ", 3) == 0 && memcmp(text + 8, ": ", 2) == 0 &&
        strspn(text + 3, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 5)
      return text + 3;
  return NULL;
}

/* A line of what libpq said; "sqlstate" (NULL: not wanted) is taken out of it.
 */
static void put_libpq_line(line_t *line, const char *text, const char *end,
                           bool secret, char *sqlstate) {
  const char *code = sqlstate != NULL ? find_sqlstate(text, end) : NULL;
  if (line->length > 0)
    put_text(line, "; ");
  if (code != NULL) {
    memcpy(sqlstate, code, 5);
    sqlstate[5] = '\0';
    put_careful(line, text, code, secret);
    text = code + 7;
  }
  put_careful(line, text, end, secret);
}

/* "LOCATION:  InitPostgres, postinit.c:818", in the server's language. */
static bool is_in_source(const char *text, const char *end) {
  for (; end - text >= 3; text++)
    if (memcmp(text, ".c:", 3) == 0)
      return true;
  return false;
}

/* libpq's message has a line for each host or address it tried, hints on lines
 * that begin with a tab, and in its verbose form the place in the server's
 * source. Hints and places are left out, the lines joined. */
static void put_libpq(line_t *line, const char *message, bool secret,
                      char *sqlstate) {
  bool after_error = false; /* the next line is the place */
  while (*message != '\0') {
    size_t length = strcspn(message, "\n");
    const char *end = message + length;
    bool is_place = after_error && find_sqlstate(message, end) == NULL &&
                    is_in_source(message, end);
    if (length > 0 && message[0] != '\t' && !is_place)
      put_libpq_line(line, message, end, secret, sqlstate);
    after_error = sqlstate != NULL && find_sqlstate(message, end) != NULL;
    message = end + (*end == '\n' ? 1 : 0);
  }
}

void au_database_error_set(au_database_error_t *error, const char *format,
                           ...) {
  *error = (au_database_error_t){.fault = AU_FAULT_DATABASE};
  va_list arguments;
  va_start(arguments, format);
  (void)vsnprintf(error->message, sizeof(error->message), format, arguments);
  va_end(arguments);
}

const char *au_database_text(au_bytes_t *sql, au_database_error_t *error) {
  const char *text = au_bytes_text(sql);
  if (text == NULL)
    au_database_error_set(error, "out of memory");
  return text;
}

void au_database_error_wait(au_database_error_t *error, au_ready_t ready,
                            int64_t timeout_ns) {
  if (ready == AU_READY_TIMEOUT)
    au_database_error_set(error, "no answer within %.3g s",
                          (double)timeout_ns / (double)AU_NS_PER_S);
  else if (ready == AU_READY_STOP)
    au_database_error_set(error, "stopped while waiting for the database");
  else
    au_database_error_set(error, "the connection was lost");
}

void au_database_error_connect(au_database_error_t *error, const char *message,
                               bool secret) {
  line_t line = line_of(error);
  put_libpq(&line, message, secret, error->sqlstate);
  if (line.length == 0)
    put_text(&line, "the connection was lost");
}

/* Never a row's: the connection, the transaction's state, a statement that is
 * gone, a conflict, no room, not ready, somebody's intervention, the system. */
static bool is_of_database(const char *sqlstate) {
  static const char classes[][3] = {"08", "25", "26", "40",
                                    "53", "55", "57", "58"};
  /* "Protocol violation" is also what COPY says of a field that is too short.
   * It counts only when the connection outlives it, see assess(). */
  if (strcmp(sqlstate, "08P01") == 0)
    return false;
  for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
    if (strncmp(sqlstate, classes[i], 2) == 0)
      return true;
  return false;
}

static au_fault_t fault_of(const char *sqlstate, const PGresult *result) {
  if (strcmp(sqlstate, AU_SQLSTATE_FENCED) == 0)
    return AU_FAULT_FENCED;
  /* A row that no partition takes names the table; a check constraint names
   * itself as well. The text says so too, but in the server's language. */
  if (strcmp(sqlstate, "23514") == 0 &&
      PQresultErrorField(result, PG_DIAG_TABLE_NAME) != NULL &&
      PQresultErrorField(result, PG_DIAG_CONSTRAINT_NAME) == NULL)
    return AU_FAULT_PARTITION;
  return is_of_database(sqlstate) ? AU_FAULT_DATABASE : AU_FAULT_ROW;
}

static void take_name(char name[AU_DATABASE_NAME_SIZE], const char *text,
                      size_t size) {
  if (size < AU_DATABASE_NAME_SIZE) {
    memcpy(name, text, size);
    name[size] = '\0';
  }
}

static void take_field(char name[AU_DATABASE_NAME_SIZE], const PGresult *result,
                       int field) {
  const char *text = PQresultErrorField(result, field);
  if (text != NULL)
    take_name(name, text, strlen(text));
}

/* "COPY event, line 3, column message", in the server's language: our COPY is
 * the outermost of what the context lists, so its last line. */
static void take_place(au_database_culprit_t *culprit, const char *context) {
  static const char begin[] = "COPY event, ";
  const char *last = strrchr(context, '\n');
  last = last != NULL ? last + 1 : context;
  if (strncmp(last, begin, sizeof(begin) - 1) != 0)
    return;
  const char *digits = last + strcspn(last, "0123456789");
  uint64_t line = 0;
  for (; isdigit((unsigned char)*digits) && line < UINT32_MAX; digits++)
    line = line * 10 + (uint64_t)(*digits - '0');
  culprit->line = line;
  /* ", column message" */
  const char *name =
      strncmp(digits, ", ", 2) == 0 ? strchr(digits + 2, ' ') : NULL;
  if (name != NULL && culprit->column[0] == '\0')
    take_name(culprit->column, name + 1, strlen(name + 1));
}

static void take_culprit(au_database_culprit_t *culprit,
                         const PGresult *result) {
  take_field(culprit->schema, result, PG_DIAG_SCHEMA_NAME);
  take_field(culprit->table, result, PG_DIAG_TABLE_NAME);
  take_field(culprit->column, result, PG_DIAG_COLUMN_NAME);
  take_field(culprit->constraint, result, PG_DIAG_CONSTRAINT_NAME);
  const char *context = PQresultErrorField(result, PG_DIAG_CONTEXT);
  if (context != NULL)
    take_place(culprit, context);
}

static void put_name(line_t *line, const PGresult *result, int field,
                     const char *kind, const char *primary) {
  const char *name = PQresultErrorField(result, field);
  if (name == NULL || *name == '\0' || strstr(primary, name) != NULL)
    return;
  put_text(line, ", ");
  put_text(line, kind);
  put_text(line, " \"");
  put_text(line, name);
  put_text(line, "\"");
}

void au_database_error_result(au_database_error_t *error,
                              const PGresult *result) {
  line_t line = line_of(error);
  const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  const char *primary = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
  if (sqlstate == NULL || strlen(sqlstate) != sizeof(error->sqlstate) - 1) {
    /* libpq's own: the connection broke. */
    put_libpq(&line, primary != NULL ? primary : PQresultErrorMessage(result),
              false, NULL);
    if (line.length == 0)
      put_text(&line, "the connection was lost");
    return;
  }
  memcpy(error->sqlstate, sqlstate, sizeof(error->sqlstate));
  error->fault = fault_of(sqlstate, result);
  take_culprit(&error->culprit, result);
  if (primary == NULL)
    primary = "no message";
  put_text(&line, primary);
  put_name(&line, result, PG_DIAG_CONSTRAINT_NAME, "constraint", primary);
  put_name(&line, result, PG_DIAG_TABLE_NAME, "table", primary);
  put_name(&line, result, PG_DIAG_COLUMN_NAME, "column", primary);
}
