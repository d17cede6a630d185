// SPDX-License-Identifier: Apache-2.0
// Log-in, its refusals, heartbeats, and the two errors that end a whole connection.
#include <string.h>
#include <time.h>

#include "support.h"

static const amqp_table_entry_t* find_entry(const amqp_table_t* table, const char* key) {
  for (int i = 0; i < table->num_entries; ++i) {
    const amqp_bytes_t name = table->entries[i].key;
    if (name.len == strlen(key) && memcmp(name.bytes, key, name.len) == 0) {
      return &table->entries[i];
    }
  }
  fail(__FILE__, __LINE__, "no entry \"%s\"", key);
}

static void identity_and_capabilities(void) {
  amqp_connection_state_t conn = open_connection(0);
  const amqp_table_t* properties = amqp_get_server_properties(conn);
  const amqp_table_entry_t* product = find_entry(properties, "product");
  EXPECT_INT(AMQP_FIELD_KIND_UTF8, product->value.kind);
  EXPECT_TEXT(settings.is_rabbitmq ? "RabbitMQ" : "Harrier", product->value.value.bytes);
  EXPECT(find_entry(properties, "version")->value.value.bytes.len > 0);

  const amqp_table_entry_t* capabilities = find_entry(properties, "capabilities");
  EXPECT_INT(AMQP_FIELD_KIND_TABLE, capabilities->value.kind);
  static const char* const kNames[] = {
      "publisher_confirms", "exchange_exchange_bindings", "basic.nack", "consumer_cancel_notify",
      "connection.blocked", "consumer_priorities", "authentication_failure_close",
      "per_consumer_qos", "direct_reply_to"};
  for (size_t i = 0; i < sizeof kNames / sizeof kNames[0]; ++i) {
    const amqp_table_entry_t* entry = find_entry(&capabilities->value.value.table, kNames[i]);
    EXPECT_INT(AMQP_FIELD_KIND_BOOLEAN, entry->value.kind);
    EXPECT_INT(1, entry->value.value.boolean);
  }
  EXPECT_INT(2047, amqp_get_channel_max(conn));
  EXPECT_INT(131072, amqp_get_frame_max(conn));
  close_connection(conn);
}

static void wrong_password(void) {
  amqp_connection_state_t conn = connect_socket();
  expect_connection_error(login(conn, settings.vhost, "not-the-password", 0), 403,
                          "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN",
                          0);
}

static void wrong_vhost(void) {
  amqp_connection_state_t conn = connect_socket();
  expect_connection_error(login(conn, "no-such-vhost", settings.password, 0), 530,
                          "NOT_ALLOWED - vhost no-such-vhost not found",
                          AMQP_CONNECTION_OPEN_METHOD);
}

// Reads nothing but heartbeats (the library swallows them) for three seconds.
static void heartbeats_keep_an_idle_connection(void) {
  amqp_connection_state_t conn = connect_socket();
  EXPECT_OK(login(conn, settings.vhost, settings.password, 1));
  EXPECT_INT(1, amqp_get_heartbeat(conn));
  reopen_channel(conn, 1);

  struct timespec start;
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &start);
  do {
    amqp_frame_t frame;
    struct timeval timeout = {.tv_usec = 100000};
    // A missed heartbeat of the server would be AMQP_STATUS_HEARTBEAT_TIMEOUT here.
    EXPECT_INT(AMQP_STATUS_TIMEOUT, amqp_simple_wait_frame_noblock(conn, &frame, &timeout));
    clock_gettime(CLOCK_MONOTONIC, &now);
  } while (now.tv_sec - start.tv_sec < 4);

  const char* queue = unique_name("heartbeat");
  declare_queue(conn, 1, queue);
  delete_queue(conn, 1, queue);
  close_connection(conn);
}

static void consumer_tag_reuse_is_530(void) {
  amqp_connection_state_t conn = open_connection(1);
  amqp_queue_declare(conn, 1, amqp_empty_bytes, 0, 0, 1, 0, amqp_empty_table);
  EXPECT_LAST_OK(conn);
  amqp_basic_consume(conn, 1, amqp_empty_bytes, text("twice"), 0, 1, 0, amqp_empty_table);
  EXPECT_LAST_OK(conn);
  amqp_basic_consume(conn, 1, amqp_empty_bytes, text("twice"), 0, 1, 0, amqp_empty_table);
  expect_connection_error(amqp_get_rpc_reply(conn), 530,
                          "NOT_ALLOWED - attempt to reuse consumer tag 'twice'",
                          AMQP_BASIC_CONSUME_METHOD);
}

static void immediate_is_540(void) {
  amqp_connection_state_t conn = open_connection(1);
  EXPECT_INT(AMQP_STATUS_OK, amqp_basic_publish(conn, 1, text("amq.direct"), text("nowhere"), 0, 1,
                                                NULL, text("now")));
  const amqp_connection_close_t* close = await_method(conn, 0, AMQP_CONNECTION_CLOSE_METHOD);
  EXPECT_INT(540, close->reply_code);
  EXPECT_TEXT("NOT_IMPLEMENTED - immediate=true", close->reply_text);
  EXPECT_INT(60, close->class_id);
  EXPECT_INT(40, close->method_id);
}

static void channel_numbers_are_reusable_at_once(void) {
  amqp_connection_state_t conn = open_connection(3);
  for (int round = 0; round < 20; ++round) {
    EXPECT_OK(amqp_channel_close(conn, 2, AMQP_REPLY_SUCCESS));
    reopen_channel(conn, 2);
    amqp_queue_declare(conn, 2, amqp_empty_bytes, 0, 0, 1, 1, amqp_empty_table);
    EXPECT_LAST_OK(conn);
  }
  close_connection(conn);
}

const struct Case kConnectionCases[] = {
    {"identity-and-capabilities", identity_and_capabilities},
    {"wrong-password", wrong_password},
    {"wrong-vhost", wrong_vhost},
    {"heartbeats-keep-an-idle-connection", heartbeats_keep_an_idle_connection},
    {"consumer-tag-reuse-is-530", consumer_tag_reuse_is_530},
    {"immediate-is-540", immediate_is_540},
    {"channel-numbers-are-reusable-at-once", channel_numbers_are_reusable_at_once},
    {NULL, NULL}};
