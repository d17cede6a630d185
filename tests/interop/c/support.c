// SPDX-License-Identifier: Apache-2.0
#include "support.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "runner.h"

struct Settings settings;

enum { kConnectionsPerCaseMax = 16 };
static amqp_connection_state_t open_connections[kConnectionsPerCaseMax];

void fail(const char* file, int line, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int length = snprintf(failure_text, sizeof failure_text, "%s:%d: ", file, line);
  vsnprintf(failure_text + length, sizeof failure_text - (size_t)length, format, arguments);
  va_end(arguments);
  longjmp(case_abandoned, 1);
}

void expect_int(const char* file, int line, const char* what, int64_t expected, int64_t actual) {
  if (expected != actual) {
    fail(file, line, "%s: expected %" PRId64 ", got %" PRId64, what, expected, actual);
  }
}

void expect_text(const char* file, int line, const char* what, const char* expected,
                 amqp_bytes_t actual) {
  if (strlen(expected) != actual.len || memcmp(expected, actual.bytes, actual.len) != 0) {
    fail(file, line, "%s: expected \"%s\", got \"%.*s\"", what, expected, (int)actual.len,
         (const char*)actual.bytes);
  }
}

void expect_reply_ok(const char* file, int line, amqp_rpc_reply_t reply) {
  if (reply.reply_type == AMQP_RESPONSE_NORMAL) return;
  if (reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION) {
    if (reply.reply.id == AMQP_CHANNEL_CLOSE_METHOD) {
      const amqp_channel_close_t* close = reply.reply.decoded;
      fail(file, line, "channel.close %d %.*s", close->reply_code, (int)close->reply_text.len,
           (const char*)close->reply_text.bytes);
    }
    if (reply.reply.id == AMQP_CONNECTION_CLOSE_METHOD) {
      const amqp_connection_close_t* close = reply.reply.decoded;
      fail(file, line, "connection.close %d %.*s", close->reply_code, (int)close->reply_text.len,
           (const char*)close->reply_text.bytes);
    }
    fail(file, line, "unexpected method %#x", reply.reply.id);
  }
  fail(file, line, "library error: %s", amqp_error_string2(reply.library_error));
}

const char* unique_name(const char* base) {
  static unsigned counter = 0;
  char* name = NULL;
  if (asprintf(&name, "interop-c-%d-%u-%s", (int)getpid(), counter++, base) < 0) abort();
  return name;
}

amqp_bytes_t text(const char* string) { return amqp_cstring_bytes(string); }

amqp_connection_state_t connect_socket(void) {
  amqp_connection_state_t conn = amqp_new_connection();
  int slot = 0;
  while (slot < kConnectionsPerCaseMax && open_connections[slot] != NULL) ++slot;
  EXPECT(slot < kConnectionsPerCaseMax);
  open_connections[slot] = conn;
  amqp_socket_t* socket = amqp_tcp_socket_new(conn);
  EXPECT(socket != NULL);
  struct timeval timeout = {.tv_sec = kWaitSeconds};
  EXPECT_INT(AMQP_STATUS_OK, amqp_set_handshake_timeout(conn, &timeout));
  EXPECT_INT(AMQP_STATUS_OK, amqp_set_rpc_timeout(conn, &timeout));
  EXPECT_INT(AMQP_STATUS_OK,
             amqp_socket_open_noblock(socket, settings.host, settings.port, &timeout));
  return conn;
}

amqp_rpc_reply_t login(amqp_connection_state_t conn, const char* vhost, const char* password,
                       int heartbeat_s) {
  return amqp_login(conn, vhost, AMQP_DEFAULT_MAX_CHANNELS, AMQP_DEFAULT_FRAME_SIZE, heartbeat_s,
                    AMQP_SASL_METHOD_PLAIN, settings.user, password);
}

amqp_connection_state_t open_connection(int channel_count) {
  amqp_connection_state_t conn = connect_socket();
  EXPECT_OK(login(conn, settings.vhost, settings.password, 0));
  for (int channel = 1; channel <= channel_count; ++channel) {
    reopen_channel(conn, (amqp_channel_t)channel);
  }
  return conn;
}

static void forget_connection(amqp_connection_state_t conn) {
  for (int slot = 0; slot < kConnectionsPerCaseMax; ++slot) {
    if (open_connections[slot] == conn) open_connections[slot] = NULL;
  }
  amqp_destroy_connection(conn);
}

void close_connection(amqp_connection_state_t conn) {
  EXPECT_OK(amqp_connection_close(conn, AMQP_REPLY_SUCCESS));
  forget_connection(conn);
}

void drop_connections(void) {
  for (int slot = 0; slot < kConnectionsPerCaseMax; ++slot) {
    if (open_connections[slot] != NULL) forget_connection(open_connections[slot]);
  }
}

void declare_queue(amqp_connection_state_t conn, amqp_channel_t channel, const char* queue) {
  amqp_queue_declare(conn, channel, text(queue), 0, 0, 0, 0, amqp_empty_table);
  EXPECT_LAST_OK(conn);
}

void declare_exchange(amqp_connection_state_t conn, amqp_channel_t channel, const char* exchange,
                      const char* type, amqp_table_t arguments) {
  amqp_exchange_declare(conn, channel, text(exchange), text(type), 0, 0, 0, 0, arguments);
  EXPECT_LAST_OK(conn);
}

void bind_queue(amqp_connection_state_t conn, amqp_channel_t channel, const char* queue,
                const char* exchange, const char* key, amqp_table_t arguments) {
  amqp_queue_bind(conn, channel, text(queue), text(exchange), text(key), arguments);
  EXPECT_LAST_OK(conn);
}

void delete_queue(amqp_connection_state_t conn, amqp_channel_t channel, const char* queue) {
  amqp_queue_delete(conn, channel, text(queue), 0, 0);
  EXPECT_LAST_OK(conn);
}

void delete_exchange(amqp_connection_state_t conn, amqp_channel_t channel, const char* exchange) {
  amqp_exchange_delete(conn, channel, text(exchange), 0);
  EXPECT_LAST_OK(conn);
}

uint32_t message_count(amqp_connection_state_t conn, amqp_channel_t channel, const char* queue) {
  const amqp_queue_declare_ok_t* ok =
      amqp_queue_declare(conn, channel, text(queue), 1, 0, 0, 0, amqp_empty_table);
  EXPECT_LAST_OK(conn);
  return ok->message_count;
}

void publish(amqp_connection_state_t conn, amqp_channel_t channel, const char* exchange,
             const char* key, const char* body) {
  EXPECT_INT(AMQP_STATUS_OK, amqp_basic_publish(conn, channel, text(exchange), text(key), 0, 0,
                                                NULL, text(body)));
}

void select_confirms(amqp_connection_state_t conn, amqp_channel_t channel) {
  EXPECT(amqp_confirm_select(conn, channel) != NULL);
}

void publish_confirmed(amqp_connection_state_t conn, amqp_channel_t channel, const char* exchange,
                       const char* key, const char* body) {
  publish(conn, channel, exchange, key, body);
  await_method(conn, channel, AMQP_BASIC_ACK_METHOD);
}

void* await_method(amqp_connection_state_t conn, amqp_channel_t channel, amqp_method_number_t id) {
  amqp_frame_t frame;
  struct timeval timeout = {.tv_sec = kWaitSeconds};
  EXPECT_INT(AMQP_STATUS_OK, amqp_simple_wait_frame_noblock(conn, &frame, &timeout));
  EXPECT_INT(AMQP_FRAME_METHOD, frame.frame_type);
  EXPECT_INT(channel, frame.channel);
  EXPECT_INT(id, frame.payload.method.id);
  return frame.payload.method.decoded;
}

void consume(amqp_connection_state_t conn, amqp_channel_t channel, const char* queue,
             const char* tag, bool no_ack) {
  amqp_basic_consume(conn, channel, text(queue), text(tag), 0, no_ack, 0, amqp_empty_table);
  EXPECT_LAST_OK(conn);
}

amqp_envelope_t next_delivery(amqp_connection_state_t conn) {
  amqp_envelope_t envelope;
  struct timeval timeout = {.tv_sec = kWaitSeconds};
  EXPECT_OK(amqp_consume_message(conn, &envelope, &timeout, 0));
  return envelope;
}

uint64_t expect_delivery(amqp_connection_state_t conn, const char* body, bool redelivered) {
  amqp_envelope_t envelope = next_delivery(conn);
  EXPECT_TEXT(body, envelope.message.body);
  EXPECT_INT(redelivered, envelope.redelivered);
  uint64_t tag = envelope.delivery_tag;
  amqp_destroy_envelope(&envelope);
  return tag;
}

void expect_nothing_more(amqp_connection_state_t conn, amqp_channel_t channel, const char* queue) {
  message_count(conn, channel, queue);
  EXPECT(!amqp_frames_enqueued(conn));
  EXPECT(!amqp_data_in_buffer(conn));
}

uint64_t expect_get(amqp_connection_state_t conn, amqp_channel_t channel, const char* queue,
                    const char* body, bool no_ack) {
  amqp_rpc_reply_t reply = amqp_basic_get(conn, channel, text(queue), no_ack);
  EXPECT_OK(reply);
  EXPECT_INT(AMQP_BASIC_GET_OK_METHOD, reply.reply.id);
  const amqp_basic_get_ok_t* ok = reply.reply.decoded;
  uint64_t tag = ok->delivery_tag;
  amqp_message_t message;
  EXPECT_OK(amqp_read_message(conn, channel, &message, 0));
  EXPECT_TEXT(body, message.body);
  amqp_destroy_message(&message);
  return tag;
}

void expect_empty(amqp_connection_state_t conn, amqp_channel_t channel, const char* queue) {
  amqp_rpc_reply_t reply = amqp_basic_get(conn, channel, text(queue), 1);
  EXPECT_OK(reply);
  EXPECT_INT(AMQP_BASIC_GET_EMPTY_METHOD, reply.reply.id);
}

static void expect_close(int code, const char* fragment, amqp_method_number_t method,
                         int actual_code, amqp_bytes_t actual_text, int class_id, int method_id) {
  EXPECT_INT(code, actual_code);
  if (memmem(actual_text.bytes, actual_text.len, fragment, strlen(fragment)) == NULL) {
    fail(__FILE__, __LINE__, "expected \"%s\" in the reply text \"%.*s\"", fragment,
         (int)actual_text.len, (const char*)actual_text.bytes);
  }
  EXPECT_INT(method >> 16, class_id);
  EXPECT_INT(method & 0xFFFF, method_id);
}

static void answer_channel_close(amqp_connection_state_t conn, amqp_channel_t channel) {
  amqp_channel_close_ok_t ok = {0};
  EXPECT_INT(AMQP_STATUS_OK, amqp_send_method(conn, channel, AMQP_CHANNEL_CLOSE_OK_METHOD, &ok));
}

void expect_channel_error(amqp_connection_state_t conn, amqp_channel_t channel,
                          amqp_rpc_reply_t reply, int code, const char* fragment,
                          amqp_method_number_t method) {
  EXPECT_INT(AMQP_RESPONSE_SERVER_EXCEPTION, reply.reply_type);
  EXPECT_INT(AMQP_CHANNEL_CLOSE_METHOD, reply.reply.id);
  const amqp_channel_close_t* close = reply.reply.decoded;
  expect_close(code, fragment, method, close->reply_code, close->reply_text, close->class_id,
               close->method_id);
  answer_channel_close(conn, channel);
}

void expect_connection_error(amqp_rpc_reply_t reply, int code, const char* fragment,
                             amqp_method_number_t method) {
  EXPECT_INT(AMQP_RESPONSE_SERVER_EXCEPTION, reply.reply_type);
  EXPECT_INT(AMQP_CONNECTION_CLOSE_METHOD, reply.reply.id);
  const amqp_connection_close_t* close = reply.reply.decoded;
  expect_close(code, fragment, method, close->reply_code, close->reply_text, close->class_id,
               close->method_id);
}

void await_channel_error(amqp_connection_state_t conn, amqp_channel_t channel, int code,
                         const char* fragment, amqp_method_number_t method) {
  const amqp_channel_close_t* close = await_method(conn, channel, AMQP_CHANNEL_CLOSE_METHOD);
  expect_close(code, fragment, method, close->reply_code, close->reply_text, close->class_id,
               close->method_id);
  answer_channel_close(conn, channel);
}

void reopen_channel(amqp_connection_state_t conn, amqp_channel_t channel) {
  EXPECT(amqp_channel_open(conn, channel) != NULL);
}
