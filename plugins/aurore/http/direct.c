/* SPDX-License-Identifier: MIT
 * Part of http/; calls config/, metrics/, base/.
 *
 * direct - an answer that is written past libmicrohttpd, which keeps a header
 * until its answer is sent: one that fills its memory leaves none for the head
 * of the answer, and the client would see no more than the end of the
 * connection. Nothing else is on its way to the client at that moment, since
 * libmicrohttpd begins a request when it has sent the answer before.
 *
 * Threads: the request thread that has the connection.
 */
#include "http/private.h"

#include <sys/socket.h>
#include <time.h>

/* As RFC 9110 has it, whatever the locale. */
static void put_date(au_bytes_t *text) {
  static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed",
                                  "Thu", "Fri", "Sat"};
  static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  struct tm tm;
  time_t now = time(NULL);
  if (gmtime_r(&now, &tm) != NULL)
    au_bytes_printf(text, "Date: %s, %02d %s %04d %02d:%02d:%02d GMT\r\n",
                    days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon],
                    tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

/* What the connection does not take at once is not sent. */
static void send_now(const au_request_t *request, const au_bytes_t *text) {
  const au_connection_t *peer = request->peer;
  if (!text->failed &&
      (peer == NULL || !au_tls_send(&peer->tls, text->data, text->size)))
    (void)send(au_request_socket(request), text->data, text->size,
               MSG_DONTWAIT | MSG_NOSIGNAL);
}

enum MHD_Result au_direct_refusal(au_request_t *request, au_error_code_t code,
                                  const char *message, bool has_body) {
  au_bytes_t body = AU_BYTES_INIT;
  au_error_put(&body, code, message);
  au_bytes_put_u8(&body, '}');
  unsigned status = au_error_status(code);
  au_bytes_t text = AU_BYTES_INIT;
  au_bytes_printf(&text, "HTTP/1.1 %u %s\r\n", status,
                  MHD_get_reason_phrase_for(status));
  put_date(&text);
  au_bytes_printf(&text,
                  "Connection: close\r\nContent-Type: " AU_JSON_TYPE "\r\n"
                  "X-Correlation-Id: %s\r\nX-Content-Type-Options: nosniff\r\n"
                  "Cache-Control: no-store\r\nContent-Length: %zu\r\n\r\n",
                  request->correlation_id, body.size);
  if (has_body)
    au_bytes_put(&text, body.data, body.size);
  if (body.failed)
    text.failed = true;
  send_now(request, &text);
  au_bytes_fini(&body);
  au_bytes_fini(&text);
  request->is_answered = true;
  request->status = status;
  return MHD_NO;
}
