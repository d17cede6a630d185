// SPDX-License-Identifier: Apache-2.0
// Every exchange type routes as declared: a confirmed publish, then a purge of each queue says
// which ones got it, and how many copies.
#include <stdio.h>
#include <string.h>

#include "support.h"

enum { kQueuesMax = 4 };

// A confirming channel 1, one exchange under test and a few queues named by their index.
struct Fixture {
  amqp_connection_state_t conn;
  const char* exchange;
  const char* queues[kQueuesMax];
  int queue_count;
};

static struct Fixture set_up(const char* type, int queue_count, amqp_table_t arguments) {
  struct Fixture f = {.conn = open_connection(1),
                      .exchange = unique_name(type),
                      .queue_count = queue_count};
  select_confirms(f.conn, 1);
  declare_exchange(f.conn, 1, f.exchange, type, arguments);
  for (int i = 0; i < queue_count; ++i) {
    f.queues[i] = unique_name("routed");
    declare_queue(f.conn, 1, f.queues[i]);
  }
  return f;
}

static void tear_down(struct Fixture* f) {
  for (int i = 0; i < f->queue_count; ++i) delete_queue(f->conn, 1, f->queues[i]);
  delete_exchange(f->conn, 1, f->exchange);
  close_connection(f->conn);
}

// `expected` has one digit per queue: how many copies it must have got.
static void expect_routed(struct Fixture* f, const char* exchange, const char* key,
                          amqp_table_t headers, const char* expected) {
  amqp_basic_properties_t properties = {._flags = AMQP_BASIC_HEADERS_FLAG, .headers = headers};
  EXPECT_INT(AMQP_STATUS_OK, amqp_basic_publish(f->conn, 1, text(exchange), text(key), 0, 0,
                                                &properties, text("routed")));
  await_method(f->conn, 1, AMQP_BASIC_ACK_METHOD);
  char actual[kQueuesMax + 1] = "";
  for (int i = 0; i < f->queue_count; ++i) {
    const amqp_queue_purge_ok_t* ok = amqp_queue_purge(f->conn, 1, text(f->queues[i]));
    EXPECT_LAST_OK(f->conn);
    actual[i] = (char)('0' + ok->message_count);
  }
  if (strcmp(expected, actual) != 0) {
    fail(__FILE__, __LINE__, "key \"%s\": expected copies %s, got %s", key, expected, actual);
  }
}

static void direct_exchange(void) {
  struct Fixture f = set_up("direct", 3, amqp_empty_table);
  bind_queue(f.conn, 1, f.queues[0], f.exchange, "red", amqp_empty_table);
  bind_queue(f.conn, 1, f.queues[1], f.exchange, "red", amqp_empty_table);
  bind_queue(f.conn, 1, f.queues[1], f.exchange, "blue", amqp_empty_table);
  expect_routed(&f, f.exchange, "red", amqp_empty_table, "110");
  expect_routed(&f, f.exchange, "blue", amqp_empty_table, "010");
  expect_routed(&f, f.exchange, "Red", amqp_empty_table, "000");
  expect_routed(&f, "", f.queues[2], amqp_empty_table, "001");
  amqp_queue_unbind(f.conn, 1, text(f.queues[0]), text(f.exchange), text("red"), amqp_empty_table);
  EXPECT_LAST_OK(f.conn);
  expect_routed(&f, f.exchange, "red", amqp_empty_table, "010");
  tear_down(&f);
}

static void fanout_exchange(void) {
  struct Fixture f = set_up("fanout", 3, amqp_empty_table);
  bind_queue(f.conn, 1, f.queues[0], f.exchange, "", amqp_empty_table);
  bind_queue(f.conn, 1, f.queues[1], f.exchange, "ignored", amqp_empty_table);
  bind_queue(f.conn, 1, f.queues[1], f.exchange, "second binding, one copy", amqp_empty_table);
  expect_routed(&f, f.exchange, "any", amqp_empty_table, "110");
  tear_down(&f);
}

static void topic_exchange(void) {
  struct Fixture f = set_up("topic", 4, amqp_empty_table);
  bind_queue(f.conn, 1, f.queues[0], f.exchange, "*.orange.*", amqp_empty_table);
  bind_queue(f.conn, 1, f.queues[1], f.exchange, "*.*.rabbit", amqp_empty_table);
  bind_queue(f.conn, 1, f.queues[1], f.exchange, "lazy.#", amqp_empty_table);
  bind_queue(f.conn, 1, f.queues[2], f.exchange, "#", amqp_empty_table);
  bind_queue(f.conn, 1, f.queues[3], f.exchange, "#.end", amqp_empty_table);
  expect_routed(&f, f.exchange, "quick.orange.rabbit", amqp_empty_table, "1110");
  expect_routed(&f, f.exchange, "lazy.orange.elephant", amqp_empty_table, "1110");
  expect_routed(&f, f.exchange, "lazy", amqp_empty_table, "0110");
  expect_routed(&f, f.exchange, "lazy.pink.rabbit", amqp_empty_table, "0110");
  expect_routed(&f, f.exchange, "quick.orange.male.rabbit", amqp_empty_table, "0010");
  expect_routed(&f, f.exchange, "a.b.c.end", amqp_empty_table, "0011");
  expect_routed(&f, f.exchange, "end", amqp_empty_table, "0011");
  expect_routed(&f, f.exchange, "", amqp_empty_table, "0010");
  tear_down(&f);
}

static amqp_table_entry_t string_entry(const char* key, const char* value) {
  amqp_table_entry_t entry = {.key = text(key), .value = {.kind = AMQP_FIELD_KIND_UTF8}};
  entry.value.value.bytes = text(value);
  return entry;
}

static amqp_table_entry_t int_entry(const char* key, int32_t value) {
  amqp_table_entry_t entry = {.key = text(key), .value = {.kind = AMQP_FIELD_KIND_I32}};
  entry.value.value.i32 = value;
  return entry;
}

static void headers_exchange(void) {
  struct Fixture f = set_up("headers", 3, amqp_empty_table);
  amqp_table_entry_t all[] = {string_entry("x-match", "all"), string_entry("format", "pdf"),
                              int_entry("pages", 3)};
  amqp_table_entry_t any[] = {string_entry("x-match", "any"), string_entry("format", "pdf"),
                              int_entry("pages", 3)};
  amqp_table_entry_t present[] = {string_entry("x-match", "any"),
                                  {.key = text("urgent"),
                                   .value = {.kind = AMQP_FIELD_KIND_VOID}}};
  bind_queue(f.conn, 1, f.queues[0], f.exchange, "", (amqp_table_t){3, all});
  bind_queue(f.conn, 1, f.queues[1], f.exchange, "", (amqp_table_t){3, any});
  bind_queue(f.conn, 1, f.queues[2], f.exchange, "", (amqp_table_t){2, present});

  amqp_table_entry_t both[] = {string_entry("format", "pdf"), int_entry("pages", 3)};
  amqp_table_entry_t one[] = {string_entry("format", "pdf"), int_entry("pages", 4)};
  amqp_table_entry_t wrong_type[] = {string_entry("pages", "3"), int_entry("urgent", 0)};
  expect_routed(&f, f.exchange, "", (amqp_table_t){2, both}, "110");
  expect_routed(&f, f.exchange, "", (amqp_table_t){2, one}, "010");
  expect_routed(&f, f.exchange, "", (amqp_table_t){2, wrong_type}, "001");
  expect_routed(&f, f.exchange, "", amqp_empty_table, "000");

  amqp_table_entry_t bad[] = {string_entry("x-match", "some")};
  amqp_queue_bind(f.conn, 1, text(f.queues[0]), text(f.exchange), text(""),
                  (amqp_table_t){1, bad});
  expect_channel_error(f.conn, 1, amqp_get_rpc_reply(f.conn), 406, "PRECONDITION_FAILED",
                       AMQP_QUEUE_BIND_METHOD);
  reopen_channel(f.conn, 1);
  tear_down(&f);
}

static void exchange_to_exchange(void) {
  struct Fixture f = set_up("topic", 2, amqp_empty_table);
  const char* front = unique_name("front");
  declare_exchange(f.conn, 1, front, "fanout", amqp_empty_table);
  bind_queue(f.conn, 1, f.queues[0], f.exchange, "a.*", amqp_empty_table);
  bind_queue(f.conn, 1, f.queues[1], f.exchange, "b.*", amqp_empty_table);
  amqp_exchange_bind(f.conn, 1, text(f.exchange), text(front), text(""), amqp_empty_table);
  EXPECT_LAST_OK(f.conn);
  // A cycle must end, and must not double the copies.
  amqp_exchange_bind(f.conn, 1, text(front), text(f.exchange), text("#"), amqp_empty_table);
  EXPECT_LAST_OK(f.conn);
  expect_routed(&f, front, "a.x", amqp_empty_table, "10");
  expect_routed(&f, f.exchange, "b.x", amqp_empty_table, "01");
  amqp_exchange_unbind(f.conn, 1, text(f.exchange), text(front), text(""), amqp_empty_table);
  EXPECT_LAST_OK(f.conn);
  expect_routed(&f, front, "a.x", amqp_empty_table, "00");
  delete_exchange(f.conn, 1, front);
  tear_down(&f);
}

static void alternate_exchange(void) {
  const char* spare = unique_name("spare");
  amqp_table_entry_t arguments[] = {string_entry("alternate-exchange", spare)};
  struct Fixture f = set_up("direct", 2, (amqp_table_t){1, arguments});
  declare_exchange(f.conn, 1, spare, "fanout", amqp_empty_table);
  bind_queue(f.conn, 1, f.queues[0], f.exchange, "known", amqp_empty_table);
  bind_queue(f.conn, 1, f.queues[1], spare, "", amqp_empty_table);
  expect_routed(&f, f.exchange, "known", amqp_empty_table, "10");
  expect_routed(&f, f.exchange, "unknown", amqp_empty_table, "01");
  delete_exchange(f.conn, 1, spare);
  expect_routed(&f, f.exchange, "unknown", amqp_empty_table, "00");
  tear_down(&f);
}

static void exchange_errors(void) {
  amqp_connection_state_t conn = open_connection(1);
  const char* exchange = unique_name("errors");
  amqp_exchange_declare(conn, 1, text(exchange), text("direct"), 1, 0, 0, 0, amqp_empty_table);
  expect_channel_error(conn, 1, amqp_get_rpc_reply(conn), 404, "NOT_FOUND - no exchange",
                       AMQP_EXCHANGE_DECLARE_METHOD);
  reopen_channel(conn, 1);
  declare_exchange(conn, 1, exchange, "direct", amqp_empty_table);
  amqp_exchange_declare(conn, 1, text(exchange), text("fanout"), 0, 0, 0, 0, amqp_empty_table);
  expect_channel_error(conn, 1, amqp_get_rpc_reply(conn), 406,
                       "PRECONDITION_FAILED - inequivalent arg 'type' for exchange",
                       AMQP_EXCHANGE_DECLARE_METHOD);
  reopen_channel(conn, 1);
  amqp_exchange_declare(conn, 1, text("amq.mine"), text("direct"), 0, 0, 0, 0, amqp_empty_table);
  expect_channel_error(conn, 1, amqp_get_rpc_reply(conn), 403,
                       "ACCESS_REFUSED - exchange name 'amq.mine' contains reserved prefix 'amq.*'",
                       AMQP_EXCHANGE_DECLARE_METHOD);
  reopen_channel(conn, 1);
  delete_exchange(conn, 1, exchange);
  delete_exchange(conn, 1, exchange);  // deleting what is gone is no error
  close_connection(conn);
}

const struct Case kRoutingCases[] = {{"direct-exchange", direct_exchange},
                                     {"fanout-exchange", fanout_exchange},
                                     {"topic-exchange", topic_exchange},
                                     {"headers-exchange", headers_exchange},
                                     {"exchange-to-exchange", exchange_to_exchange},
                                     {"alternate-exchange", alternate_exchange},
                                     {"exchange-errors", exchange_errors},
                                     {NULL, NULL}};
