/* SPDX-License-Identifier: MIT
 *
 * Where a message begins and ends: what RFC 9112 lets no server guess is
 * refused, nothing that follows it is run, and nothing is taken whose answer
 * cannot be sent.
 */
#include "support/http_client.h"

#include "http/framing.h"
#include "support/suite.h"

#include <signal.h>

static server_t server;

static void setup(void) { server_prepare(&server); }

/* Whether the answer, or the want of one, may be libmicrohttpd's own: a strict
 * one refuses most of this by itself. */
static bool is_up_to_library(int status, bool is_own) {
  return status >= 400 && (is_own || !au_framing_is_library_lenient());
}

/* --- one request, and one behind it -------------------------------------- */

#define LINE "POST /events HTTP/1.1\r\n"
#define HOST "Host: t\r\n"
#define LENGTH "Content-Length: 64\r\n" /* of EVENT */
#define CHUNKED "Transfer-Encoding: chunked\r\n"
#define CHUNKS "40\r\n" EVENT "\r\n0\r\n\r\n"
#define POST(fields) LINE HOST JSON_TYPE fields LENGTH "\r\n" EVENT
#define TARGET(target)                                                         \
  "POST " target " HTTP/1.1\r\n" HOST JSON_TYPE LENGTH "\r\n" EVENT
#define GET(target) "GET " target " HTTP/1.1\r\n" HOST "\r\n"
#define BODY(chunks) LINE HOST JSON_TYPE CHUNKED "\r\n" chunks

typedef enum end {
  KEPT,  /* the next request is answered, too */
  CLOSED /* and the next request never run */
} end_t;

typedef struct row {
  const char *name;
  const char *text;
  size_t size;
  int status;
  const char *part; /* of the body; NULL: the answer is libmicrohttpd's own */
  end_t end;
} row_t;

#define ROW(name, text, status, part, end)                                     \
  { name, text, sizeof(text) - 1, status, part, end }
#define REFUSED(name, text)                                                    \
  ROW(name, text, 400, "\"errorCode\":\"MALFORMED_REQUEST\"", CLOSED)
#define TAKEN(name, text) ROW(name, text, 202, "event_id", KEPT)

static const row_t rows[] = {
    TAKEN("as it should be", POST("")), TAKEN("chunks", BODY(CHUNKS)),
    TAKEN("names in any case", LINE "hOST: t\r\ncontent-TYPE:application/json"
                                    "\r\ncontent-length:\t64\r\n\r\n" EVENT),
    TAKEN("an empty line before it", "\r\n" POST("")),

    /* two opinions of where the body ends */
    REFUSED("length and chunks",
            LINE HOST JSON_TYPE LENGTH CHUNKED "\r\n" CHUNKS),
    REFUSED("chunks and length",
            LINE HOST JSON_TYPE CHUNKED LENGTH "\r\n" CHUNKS),
    REFUSED("two lengths", POST("Content-Length: 5\r\n")),
    REFUSED("a length twice", POST(LENGTH)),
    REFUSED("chunked twice", LINE HOST JSON_TYPE CHUNKED CHUNKED "\r\n" CHUNKS),
    REFUSED("chunks in HTTP/1.0",
            "POST /events HTTP/1.0\r\n" HOST JSON_TYPE CHUNKED "\r\n" CHUNKS),
    ROW("length and another coding", POST("Transfer-Encoding: gzip\r\n"), 400,
        "MALFORMED_REQUEST", CLOSED),
#define CODING(value)                                                          \
  ROW("the coding " value,                                                     \
      LINE HOST JSON_TYPE "Transfer-Encoding: " value "\r\n\r\n" CHUNKS, 501,  \
      "UNSUPPORTED_TRANSFER_CODING", CLOSED)
    CODING("gzip, chunked"), CODING("gzip"), CODING("chunked, chunked"),
    CODING("identity"), CODING("xchunked"), CODING("chunked;a=b"),
    CODING("\"chunked\""),

    /* fields */
    REFUSED("a space before the colon",
            LINE HOST JSON_TYPE "Transfer-Encoding : chunked\r\n\r\n" CHUNKS),
    REFUSED("a tab before the colon", POST("Content-Length\t: 5\r\n")),
    REFUSED("a space before the name",
            LINE " X: y\r\n" HOST JSON_TYPE LENGTH "\r\n" EVENT),
    REFUSED("no name", POST(": y\r\n")),
    REFUSED("a name that is no token", POST("X(y): z\r\n")),
    REFUSED("a continued line", POST("X: y\r\n z\r\n")),
    REFUSED("a continued line, tab", POST("X: y\r\n\tz\r\n")),
    REFUSED("a continued line, empty", POST("X: y\r\n \r\n")),
    REFUSED("a bare LF", POST("X: y\n")),
    REFUSED("a bare LF at the end", LINE HOST JSON_TYPE "Content-Length: 64\n"
                                                        "\r\n" EVENT),
    REFUSED("the empty line, bare", LINE HOST JSON_TYPE LENGTH "\n" EVENT),
    REFUSED("a bare LF after the first line",
            "POST /events HTTP/1.1\n" HOST JSON_TYPE LENGTH "\r\n" EVENT),
    REFUSED("a bare CR", POST("X: y\rz\r\n")),
    REFUSED("CR CR LF", POST("X: y\r\r\n")),
    REFUSED("CR in a name", POST("X\ry: z\r\n")),
    REFUSED("NUL in a value", POST("Authorization: Bearer x\0y\r\n")),
    REFUSED("NUL at the end of a value", POST("X: y\0\r\n")),
    REFUSED("NUL NUL in a value", POST("X: y\0\0Y\0z\r\n")),
    REFUSED("NUL before a name", POST("\0X: y\r\n")),
    REFUSED("a control character", POST("X: y\x01z\r\n")),
    REFUSED("DEL", POST("X: y\x7Fz\r\n")),
    TAKEN("what a value may have",
          POST("X: \t\"(),/:;<=>?@[\\]{}\xC3\xA9\t\r\n")),
    TAKEN("what a name may have", POST("!#$%&'*+-.^_`|~09azAZ: y\r\n")),
    TAKEN("an empty value", POST("X:\r\n")),
    REFUSED("two types", POST(JSON_TYPE)),
    REFUSED("two tokens", POST("Authorization: Bearer a\r\n"
                               "Authorization: Bearer b\r\n")),
    ROW("two content codings",
        POST("Content-Encoding: gzip\r\nContent-Encoding: gzip\r\n"), 415,
        "UNSUPPORTED_CODING", CLOSED),

    /* the host */
    REFUSED("no host", LINE JSON_TYPE LENGTH "\r\n" EVENT),
    REFUSED("two hosts", POST("Host: u\r\n")),
    REFUSED("a host twice", POST(HOST)),
#define OF_HOST(value) LINE "Host: " value "\r\n" JSON_TYPE LENGTH "\r\n" EVENT
    REFUSED("a host with a path", OF_HOST("t/u")),
    REFUSED("a host with a user", OF_HOST("u@t")),
    REFUSED("two hosts in one", OF_HOST("t, u")),
    REFUSED("a port that is none", OF_HOST("t:http")),
    REFUSED("two ports", OF_HOST("t:1:2")),
    REFUSED("an address that does not end", OF_HOST("[::1")),
    TAKEN("an address", OF_HOST("[::1]:3000")),
    TAKEN("a name with a port", OF_HOST("a-b_c.example:3000")),
    TAKEN("a host that is empty", OF_HOST("")),
    TAKEN("white space after a host", OF_HOST("t \t")),
    ROW("HTTP/1.0 needs none",
        "POST /events HTTP/1.0\r\n" JSON_TYPE LENGTH "\r\n" EVENT, 202,
        "event_id", CLOSED),
    REFUSED("HTTP/1.0 with two",
            "POST /events HTTP/1.0\r\n" HOST HOST JSON_TYPE LENGTH
            "\r\n" EVENT),
    TAKEN("HTTP/1.0, kept", "POST /events HTTP/1.0\r\nConnection: keep-alive"
                            "\r\n" JSON_TYPE LENGTH "\r\n" EVENT),

    /* the request line */
    TAKEN("an absolute target", TARGET("http://t/events")),
    TAKEN("an absolute target with a port", TARGET("HTTP://t:80/events/?")),
    TAKEN("an absolute target, https", TARGET("https://other/events")),
    ROW("an absolute target without a path", TARGET("http://t?a=b"), 405,
        "METHOD_NOT_ALLOWED", KEPT),
    REFUSED("another scheme", TARGET("ftp://t/events")),
    REFUSED("no host in it", TARGET("http:///events")),
    REFUSED("an escape in its host", TARGET("http://%74/events")),
    REFUSED("no path", TARGET("events")),
    REFUSED("NUL in the target", TARGET("/events\0x")),
    REFUSED("NUL in the query", TARGET("/events?a=\0b")),
    REFUSED("a version in the target", TARGET("/events\0HTTP/1.1")),
    REFUSED("a space in the target", TARGET("/events x")),
    REFUSED("a tab in the target", TARGET("/events\tx")),
    REFUSED("CR in the target", TARGET("/events\rx")),
    REFUSED("two spaces", TARGET(" /events")),
    REFUSED("two spaces behind", TARGET("/events ")),
    REFUSED("a method that is no token",
            "P(ST /events HTTP/1.1\r\n" HOST "\r\n"),
    REFUSED("NUL in the method", "POST\0X /events HTTP/1.1\r\n" HOST "\r\n"),
    REFUSED("CONNECT", "CONNECT t:1 HTTP/1.1\r\n" HOST "\r\n"),
    ROW("TRACE", "TRACE /events HTTP/1.1\r\n" HOST "\r\n", 405,
        "METHOD_NOT_ALLOWED", KEPT),
    ROW("a method in lower case", "post /events HTTP/1.1\r\n" HOST "\r\n", 405,
        "METHOD_NOT_ALLOWED", KEPT),
    ROW("an escaped slash", GET("/dlq%2Fstatisticsx"), 404, "NOT_FOUND", KEPT),
    ROW("two slashes", GET("//live"), 404, "NOT_FOUND", KEPT),
    ROW("dots", GET("/health/../live"), 404, "NOT_FOUND", KEPT),
    ROW("an escaped NUL", GET("/live%00"), 404, "NOT_FOUND", KEPT),
    ROW("an escaped CR", GET("/live%0D"), 404, "NOT_FOUND", KEPT),
    ROW("HTTP/2.0", "GET /live HTTP/2.0\r\n" HOST "\r\n", 505, NULL, CLOSED),
    ROW("HTTP/0.9", "GET /live HTTP/0.9\r\n" HOST "\r\n", 505, NULL, CLOSED),
    ROW("no such version", "GET /live HTTP/x\r\n" HOST "\r\n", 400, NULL,
        CLOSED),
    TAKEN("HTTP/1.2",
          "POST /events HTTP/1.2\r\n" HOST JSON_TYPE LENGTH "\r\n" EVENT),

/* what libmicrohttpd refuses by itself */
#define OF_LENGTH(value)                                                       \
  ROW("the length " value,                                                     \
      LINE HOST JSON_TYPE "Content-Length: " value "\r\n\r\n" EVENT, 400,      \
      NULL, CLOSED)
    OF_LENGTH("+64"), OF_LENGTH("-64"), OF_LENGTH("0x40"), OF_LENGTH("64, 64"),
    OF_LENGTH("64,64"), OF_LENGTH("6 4"), OF_LENGTH(""), OF_LENGTH("x"),
    ROW("a length that overflows",
        LINE HOST JSON_TYPE
        "Content-Length: 18446744073709551680\r\n\r\n" EVENT,
        413, NULL, CLOSED),
#define BAD_CHUNKS(name, chunks) ROW(name, BODY(chunks), 400, NULL, CLOSED)
    BAD_CHUNKS("a negative chunk", "-40\r\n" EVENT "\r\n0\r\n\r\n"),
    BAD_CHUNKS("a chunk without a size", "\r\n" EVENT "\r\n0\r\n\r\n"),
    BAD_CHUNKS("a chunk with 0x", "0x40\r\n" EVENT "\r\n0\r\n\r\n"),
    BAD_CHUNKS("a chunk with a space", " 40\r\n" EVENT "\r\n0\r\n\r\n"),
    BAD_CHUNKS("a chunk that is longer", "3F\r\n" EVENT "\r\n0\r\n\r\n"),
    ROW("a chunk that overflows", BODY("10000000000000040\r\n" EVENT "\r\n"),
        413, NULL, CLOSED),
    TAKEN("zeros before a size", BODY("00040\r\n" EVENT "\r\n000\r\n\r\n")),
    TAKEN("a trailer", BODY("40\r\n" EVENT "\r\n0\r\nX: y\r\n"
                            "Content-Length: 5\r\n\r\n")),
    REFUSED("a bare CR in a trailer", BODY("40\r\n" EVENT "\r\n0\r\nX: a\rb\r\n"
                                           "\r\n")),

    /* Expect and Upgrade */
    ROW("another expectation", POST("Expect: 200-ok\r\n"), 417,
        "UNSUPPORTED_EXPECTATION", CLOSED),
    TAKEN("h2c", POST("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
                      "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n")),
    ROW("h2c without a body",
        "GET /live HTTP/1.1\r\n" HOST
        "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        200, "message", KEPT),
    ROW("another upgrade",
        "GET /live HTTP/1.1\r\n" HOST
        "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        200, "message", KEPT),

    /* refused as ever, and the connection goes on */
    ROW("another type",
        LINE HOST "Content-Type: text/x\r\n" LENGTH "\r\n" EVENT, 415,
        "UNSUPPORTED_TYPE", KEPT),
    ROW("an unknown coding", POST("Content-Encoding: br\r\n"), 415,
        "UNSUPPORTED_CODING", KEPT),
    ROW("a parameter without a name", GET("/dlq/statistics?=%FF&&a=%0D%0A&a;b"),
        503, "Code", KEPT)};

#define BEHIND                                                                 \
  LINE HOST "X-Correlation-Id: behind\r\n" JSON_TYPE LENGTH "\r\n" EVENT

/* The server may close the connection while the rest is still sent. */
static void send_some(client_t *client, const char *text, size_t size) {
  while (size > 0) {
    ssize_t sent = send(client->fd, text, size, MSG_NOSIGNAL);
    if (sent <= 0)
      return;
    text += sent;
    size -= (size_t)sent;
  }
}

static void read_to_end(client_t *client) {
  while (read_more(client))
    continue;
}

/* Our own says it in JSON, with the headers of every answer. */
static void check_answer(client_t *client, const row_t *row) {
  reply_t reply = read_reply(client);
  ck_assert_msg(reply.status == row->status, "%s: %d instead of %d: %s",
                row->name, reply.status, row->status, reply.body);
  const char *connection = header_of(&reply, "Connection");
  ck_assert_msg(row->end == KEPT || (connection != NULL &&
                                     strcasecmp(connection, "close") == 0),
                "%s: it does not say that it closes", row->name);
  check_common(&reply);
  ck_assert_str_eq(header_of(&reply, "Content-Type"),
                   "application/json; charset=utf-8");
  ck_assert_msg(strstr(reply.body, row->part) != NULL, "%s: %s", row->name,
                reply.body);
  reply_fini(&reply);
}

static void check_kept(client_t *client, const row_t *row) {
  reply_t reply = read_reply(client);
  ck_assert_msg(reply.status == 202, "%s: then %d", row->name, reply.status);
  ck_assert_str_eq(header_of(&reply, "X-Correlation-Id"), "behind");
  reply_fini(&reply);
}

static void check_closed(client_t *client, const row_t *row) {
  read_to_end(client);
  ck_assert_msg(memmem(client->in, client->size, "behind", 6) == NULL &&
                    memmem(client->in, client->size, " 202 ", 5) == NULL,
                "%s: what follows was run", row->name);
  char line[32];
  snprintf(line, sizeof(line), "HTTP/1.1 %d ", row->status);
  if (row->part == NULL && au_framing_is_library_lenient())
    ck_assert_msg(memcmp(client->in, line, strlen(line)) == 0, "%s: %.40s",
                  row->name, client->in);
}

/* Both in one packet, as whoever smuggles would send them. */
static void check_row(const row_t *row) {
  uint64_t taken = fake_buffer_taken();
  client_t *client = client_connect(&server);
  char text[4096];
  ck_assert_uint_lt(row->size + sizeof(BEHIND), sizeof(text));
  memcpy(text, row->text, row->size);
  memcpy(text + row->size, BEHIND, sizeof(BEHIND) - 1);
  send_some(client, text, row->size + sizeof(BEHIND) - 1);
  if (row->end == KEPT || !is_up_to_library(row->status, row->part == NULL))
    check_answer(client, row);
  if (row->end == KEPT)
    check_kept(client, row);
  else
    check_closed(client, row);
  taken += row->status == 202 ? 1 : 0;
  taken += row->end == KEPT ? 1 : 0;
  ck_assert_msg(fake_buffer_taken() == taken, "%s: %d taken", row->name,
                (int)(fake_buffer_taken() - taken));
  client_close(client);
}

CASE("framing", setup, NULL);

TEST(each_row) {
  ck_assert_uint_eq(strlen(EVENT), 64);
  server_start(&server);
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
    check_row(&rows[i]);
  server_stop(&server);
}

/* Newer libraries take its last byte for the first one of the chunk. */
TEST(a_chunk_extension_is_passed_over) {
  static const row_t row = TAKEN(
      "a chunk extension", BODY("40;a=\"b\"\r\n" EVENT "\r\n0;c\r\n\r\n"));
  server_start(&server);
  if (au_framing_is_library_lenient())
    check_row(&row);
  server_stop(&server);
}

/* The same, a byte at a time: where the packets end makes no difference. */
TEST(a_refusal_does_not_depend_on_packets) {
  server_start(&server);
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    const row_t *row = &rows[i];
    client_t *client = client_connect(&server);
    for (size_t at = 0; at < row->size; at++)
      send_some(client, row->text + at, 1);
    if (row->end == KEPT || !is_up_to_library(row->status, row->part == NULL))
      check_answer(client, row);
    client_close(client);
  }
  server_stop(&server);
}

/* --- the memory of a connection ------------------------------------------ */

/* More than libmicrohttpd has for a connection. */
#define MOST (AU_CONNECTION_MEMORY + 512)

typedef struct text {
  size_t size;
  char data[4 * AU_CONNECTION_MEMORY];
} text_t;

static void put(text_t *text, const char *part) {
  size_t size = strlen(part);
  ck_assert_uint_lt(text->size + size, sizeof(text->data));
  memcpy(text->data + text->size, part, size);
  text->size += size;
}

static void fill(text_t *text, char byte, size_t count) {
  ck_assert_uint_lt(text->size + count, sizeof(text->data));
  memset(text->data + text->size, byte, count);
  text->size += count;
}

/* Sends it, and reads as many answers as come: the status of the first, 0 for
 * none. No event is taken without its answer. */
static int send_and_count(const text_t *text, const char *what, size_t size) {
  uint64_t taken = fake_buffer_taken();
  client_t *client = client_connect(&server);
  send_some(client, text->data, text->size);
  shutdown(client->fd, SHUT_WR); /* once it has answered all, it closes */
  read_to_end(client);
  int status = 0;
  uint64_t accepted = 0;
  static const char line[] = "HTTP/1.1 ";
  const char *end = client->in + client->size;
  for (const char *at = client->in;
       (at = memmem(at, (size_t)(end - at), line, sizeof(line) - 1)) != NULL;
       at++) {
    int now = atoi(at + sizeof(line) - 1);
    accepted += now == 202;
    status = status == 0 ? now : status;
  }
  ck_assert_msg(fake_buffer_taken() - taken == accepted,
                "%s, %zu: %d taken, %d answered", what, size,
                (int)(fake_buffer_taken() - taken), (int)accepted);
  client_close(client);
  return status;
}

typedef enum shape {
  ONE_FIELD,
  MANY_FIELDS,
  EMPTY_FIELDS,
  ONE_COOKIE,
  COOKIES,
  PARAMETERS,
  LONG_PARAMETER,
  LONG_ID, /* that is in the answer, too */
  SHAPES
} shape_t;

/* A header of some "size" bytes. */
static void put_header(text_t *text, shape_t shape, size_t size) {
  put(text, "POST /events");
  if (shape == PARAMETERS)
    put(text, "?a");
  for (size_t i = 0; shape == PARAMETERS && i < size; i += 2)
    put(text, "&a");
  if (shape == LONG_PARAMETER) {
    put(text, "?a=");
    fill(text, 'b', size);
  }
  put(text, " HTTP/1.1\r\n" HOST JSON_TYPE);
  if (shape == LONG_ID) {
    put(text, "X-Correlation-Id: ");
    fill(text, 'i', 128);
    put(text, "\r\n");
  }
  if (shape == ONE_FIELD || shape == LONG_ID) {
    put(text, "X: ");
    fill(text, 'y', size);
    put(text, "\r\n");
  }
  for (size_t i = 0; shape == MANY_FIELDS && i < size; i += 70)
    put(text, "X-Forwarded-Something: 012345678901234567890123456789012345678"
              "901234\r\n");
  for (size_t i = 0; shape == EMPTY_FIELDS && i < size; i += 4)
    put(text, "X:\r\n");
  if (shape == ONE_COOKIE || shape == COOKIES)
    put(text, "Cookie: a=");
  if (shape == ONE_COOKIE)
    fill(text, 'b', size);
  for (size_t i = 0; shape == COOKIES && i < size; i += 5)
    put(text, "; a=b");
  if (shape == ONE_COOKIE || shape == COOKIES)
    put(text, "\r\n");
}

static const char *const shape_names[SHAPES] = {
    "one field", "many fields", "empty fields", "one cookie",
    "cookies",   "parameters",  "a parameter",  "an id"};

/* libmicrohttpd may end a connection without a word by itself: when it has no
 * memory to copy a cookie, or for more of a target. */
static bool may_be_silent(shape_t shape, size_t size) {
  return (shape == ONE_COOKIE || shape == COOKIES || shape == LONG_PARAMETER) &&
         size > AU_CONNECTION_MEMORY / 3;
}

static bool is_refusal(shape_t shape, size_t size, int status) {
  return status == 431 || status == 414 ||
         (status == 400 && (shape == PARAMETERS || shape == LONG_PARAMETER)) ||
         (status == 0 && may_be_silent(shape, size));
}

typedef struct message {
  const char *length;
  const char *body;
  size_t padding; /* spaces that follow it */
  size_t behind;  /* requests that follow, which are in the memory, too */
  size_t step;
} message_t;

static void check_sizes(const message_t *message, shape_t shape) {
  static text_t text;
  const char *what = shape_names[shape];
  bool was_taken = false;
  bool was_refused = false;
  for (size_t size = 0; size < MOST; size += message->step) {
    text.size = 0;
    put_header(&text, shape, size);
    put(&text, message->length);
    put(&text, "\r\n");
    put(&text, message->body);
    fill(&text, ' ', message->padding);
    for (size_t i = 0; i < message->behind; i++)
      put(&text, POST(""));
    int status = send_and_count(&text, what, size);
    bool refused = is_refusal(shape, size, status);
    ck_assert_msg(refused || status == 202, "%s, %zu: %d", what, size, status);
    was_taken |= !refused;
    was_refused |= refused;
  }
  ck_assert(was_refused);
  ck_assert(was_taken || shape == PARAMETERS || shape == LONG_PARAMETER);
}

CASE("memory", setup, NULL);

TEST_EACH(a_header_of_any_size_is_answered, SHAPES) {
  static const message_t message = {
      .length = LENGTH, .body = EVENT, .step = 97};
  server_start(&server);
  check_sizes(&message, (shape_t)_i);
  server_stop(&server);
}

TEST_EACH(also_with_requests_behind_it, SHAPES) {
  static const message_t message = {
      .length = LENGTH, .body = EVENT, .behind = 80, .step = 331};
  server_start(&server);
  check_sizes(&message, (shape_t)_i);
  server_stop(&server);
}

TEST_EACH(also_behind_a_large_body, SHAPES) {
  static const message_t message = {.length = "Content-Length: 20064\r\n",
                                    .body = EVENT,
                                    .padding = 20000,
                                    .behind = 80,
                                    .step = 331};
  server_start(&server);
  check_sizes(&message, (shape_t)_i);
  server_stop(&server);
}

TEST_EACH(also_behind_chunks, SHAPES) {
  static const message_t message = {
      .length = CHUNKED, .body = CHUNKS, .behind = 80, .step = 331};
  server_start(&server);
  check_sizes(&message, (shape_t)_i);
  server_stop(&server);
}

/* A trailer is in the same memory, and comes when the body has. */
TEST(a_trailer_of_any_size_is_answered) {
  static text_t text;
  server_start(&server);
  int statuses[2] = {0};
  for (size_t size = 0; size < MOST; size += 61)
    for (size_t line = 1; line <= 4096; line *= 4096) {
      text.size = 0;
      put(&text, LINE HOST JSON_TYPE CHUNKED "\r\n40\r\n" EVENT "\r\n0\r\n");
      for (size_t i = 0; i < size; i += line + 4) {
        put(&text, "X:");
        fill(&text, 'y', line);
        put(&text, "\r\n");
      }
      put(&text, "\r\n");
      int status = send_and_count(&text, "a trailer", size);
      ck_assert_msg(status == 202 || status == 431, "%zu: %d", size, status);
      statuses[status == 202]++;
    }
  server_stop(&server);
  ck_assert_int_gt(statuses[0], 0);
  ck_assert_int_gt(statuses[1], 0);
}

/* Chunks with a length beside them that is the length of each: once they were
 * taken for three bodies. Leaks are the sanitizer's to find. */
TEST(many_that_are_refused_leave_nothing) {
  static text_t text;
  put(&text, LINE HOST "Content-Type: application/x-ndjson\r\n"
                       "Content-Length: 65\r\n" CHUNKED "\r\n");
  for (int i = 0; i < 3; i++)
    put(&text, "41\r\n" EVENT "\n\r\n");
  put(&text, "0\r\n\r\n");
  server_start(&server);
  for (size_t i = 0; i < 1000; i++)
    ck_assert_int_eq(send_and_count(&text, "refused", i), 400);
  ck_assert_uint_eq(fake_buffer_calls(), 0);
  server_stop(&server);
  ck_assert_double_eq(au_metrics_gauge(AU_M_HTTP_CONNECTIONS), 0);
}

int main(void) {
  /* A peer that closes first is an error of the write, as in collectd. */
  signal(SIGPIPE, SIG_IGN);
  return run_tests("framing");
}
