// SPDX-License-Identifier: Apache-2.0
// Declaring queues in their forms, who may use an exclusive one, get, purge and delete.
#include <stdlib.h>
#include <string.h>

#include "support.h"

static void server_named_queue(void) {
  amqp_connection_state_t conn = open_connection(1);
  const amqp_queue_declare_ok_t* ok =
      amqp_queue_declare(conn, 1, amqp_empty_bytes, 0, 0, 1, 0, amqp_empty_table);
  EXPECT_LAST_OK(conn);
  static const char kPrefix[] = "amq.gen-";
  EXPECT_INT(strlen(kPrefix) + 22, ok->queue.len);
  EXPECT(memcmp(ok->queue.bytes, kPrefix, strlen(kPrefix)) == 0);
  char name[64] = "";
  memcpy(name, ok->queue.bytes, ok->queue.len);

  // The empty name now means this queue, in bind (also as the key), get and delete.
  amqp_queue_bind(conn, 1, amqp_empty_bytes, text("amq.direct"), amqp_empty_bytes,
                  amqp_empty_table);
  EXPECT_LAST_OK(conn);
  select_confirms(conn, 1);
  publish_confirmed(conn, 1, "amq.direct", name, "by its own name");
  expect_get(conn, 1, "", "by its own name", true);
  const amqp_queue_delete_ok_t* deleted = amqp_queue_delete(conn, 1, amqp_empty_bytes, 0, 0);
  EXPECT_LAST_OK(conn);
  EXPECT_INT(0, deleted->message_count);
  close_connection(conn);
}

static void exclusive_queue_is_locked_for_others(void) {
  amqp_connection_state_t owner = open_connection(1);
  const char* queue = unique_name("exclusive");
  amqp_queue_declare(owner, 1, text(queue), 0, 0, 1, 0, amqp_empty_table);
  EXPECT_LAST_OK(owner);

  amqp_connection_state_t other = open_connection(1);
  amqp_queue_declare(other, 1, text(queue), 1, 0, 0, 0, amqp_empty_table);
  expect_channel_error(other, 1, amqp_get_rpc_reply(other), 405,
                       "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue",
                       AMQP_QUEUE_DECLARE_METHOD);
  reopen_channel(other, 1);
  expect_channel_error(other, 1, amqp_basic_get(other, 1, text(queue), 1), 405, "RESOURCE_LOCKED",
                       AMQP_BASIC_GET_METHOD);
  reopen_channel(other, 1);
  amqp_queue_delete(other, 1, text(queue), 0, 0);
  expect_channel_error(other, 1, amqp_get_rpc_reply(other), 405, "RESOURCE_LOCKED",
                       AMQP_QUEUE_DELETE_METHOD);
  reopen_channel(other, 1);

  close_connection(owner);  // close-ok says that the queue is gone
  amqp_queue_declare(other, 1, text(queue), 1, 0, 0, 0, amqp_empty_table);
  expect_channel_error(other, 1, amqp_get_rpc_reply(other), 404, "NOT_FOUND - no queue",
                       AMQP_QUEUE_DECLARE_METHOD);
  reopen_channel(other, 1);
  close_connection(other);
}

static void redeclare_must_be_equivalent(void) {
  amqp_connection_state_t conn = open_connection(1);
  const char* queue = unique_name("equivalent");
  declare_queue(conn, 1, queue);
  declare_queue(conn, 1, queue);
  amqp_queue_declare(conn, 1, text(queue), 0, 1, 0, 0, amqp_empty_table);
  expect_channel_error(conn, 1, amqp_get_rpc_reply(conn), 406,
                       "PRECONDITION_FAILED - inequivalent arg 'durable' for queue",
                       AMQP_QUEUE_DECLARE_METHOD);
  reopen_channel(conn, 1);
  amqp_table_entry_t entry = {.key = text("x-message-ttl"),
                              .value = {.kind = AMQP_FIELD_KIND_UTF8}};
  entry.value.value.bytes = text("1000");
  amqp_queue_declare(conn, 1, text(unique_name("bad-ttl")), 0, 0, 0, 0, (amqp_table_t){1, &entry});
  expect_channel_error(conn, 1, amqp_get_rpc_reply(conn), 406,
                       "PRECONDITION_FAILED - invalid arg 'x-message-ttl' for queue",
                       AMQP_QUEUE_DECLARE_METHOD);
  reopen_channel(conn, 1);
  amqp_queue_declare(conn, 1, text("amq.reserved"), 0, 0, 0, 0, amqp_empty_table);
  expect_channel_error(conn, 1, amqp_get_rpc_reply(conn), 403, "contains reserved prefix 'amq.*'",
                       AMQP_QUEUE_DECLARE_METHOD);
  reopen_channel(conn, 1);
  delete_queue(conn, 1, queue);
  close_connection(conn);
}

static void get_in_order_with_counts(void) {
  amqp_connection_state_t conn = open_connection(1);
  const char* queue = unique_name("get");
  declare_queue(conn, 1, queue);
  expect_empty(conn, 1, queue);
  select_confirms(conn, 1);
  static const char* const kBodies[] = {"one", "two", "three"};
  for (int i = 0; i < 3; ++i) publish_confirmed(conn, 1, "", queue, kBodies[i]);
  for (uint32_t i = 0; i < 3; ++i) {
    amqp_rpc_reply_t reply = amqp_basic_get(conn, 1, text(queue), 0);
    EXPECT_OK(reply);
    EXPECT_INT(AMQP_BASIC_GET_OK_METHOD, reply.reply.id);
    const amqp_basic_get_ok_t* ok = reply.reply.decoded;
    EXPECT_INT(i + 1, ok->delivery_tag);
    EXPECT_INT(0, ok->redelivered);
    EXPECT_INT(2 - i, ok->message_count);
    EXPECT_TEXT("", ok->exchange);
    EXPECT_TEXT(queue, ok->routing_key);
    amqp_message_t message;
    EXPECT_OK(amqp_read_message(conn, 1, &message, 0));
    EXPECT_TEXT(kBodies[i], message.body);
    amqp_destroy_message(&message);
  }
  expect_empty(conn, 1, queue);
  EXPECT_INT(AMQP_STATUS_OK, amqp_basic_ack(conn, 1, 3, 1));
  delete_queue(conn, 1, queue);
  close_connection(conn);
}

static void get_from_a_missing_queue_is_404(void) {
  amqp_connection_state_t conn = open_connection(1);
  expect_channel_error(conn, 1, amqp_basic_get(conn, 1, text(unique_name("missing")), 1), 404,
                       "NOT_FOUND - no queue", AMQP_BASIC_GET_METHOD);
  reopen_channel(conn, 1);
  close_connection(conn);
}

static void purge_and_delete_count(void) {
  amqp_connection_state_t conn = open_connection(1);
  const char* queue = unique_name("counts");
  declare_queue(conn, 1, queue);
  select_confirms(conn, 1);
  for (int i = 0; i < 5; ++i) publish_confirmed(conn, 1, "", queue, "counted");
  expect_get(conn, 1, queue, "counted", false);  // unacked: purge must leave it alone
  const amqp_queue_purge_ok_t* purged = amqp_queue_purge(conn, 1, text(queue));
  EXPECT_LAST_OK(conn);
  EXPECT_INT(4, purged->message_count);

  for (int i = 0; i < 3; ++i) publish_confirmed(conn, 1, "", queue, "counted");
  amqp_queue_delete(conn, 1, text(queue), 0, 1);
  expect_channel_error(conn, 1, amqp_get_rpc_reply(conn), 406, "not empty",
                       AMQP_QUEUE_DELETE_METHOD);
  reopen_channel(conn, 1);  // the unacked one is back with the three
  const amqp_queue_delete_ok_t* deleted = amqp_queue_delete(conn, 1, text(queue), 0, 0);
  EXPECT_LAST_OK(conn);
  EXPECT_INT(4, deleted->message_count);
  deleted = amqp_queue_delete(conn, 1, text(queue), 0, 0);
  EXPECT_LAST_OK(conn);
  EXPECT_INT(0, deleted->message_count);
  close_connection(conn);
}

static void auto_delete_queue_goes_with_its_last_consumer(void) {
  amqp_connection_state_t conn = open_connection(1);
  const char* queue = unique_name("auto-delete");
  amqp_queue_declare(conn, 1, text(queue), 0, 0, 0, 1, amqp_empty_table);
  EXPECT_LAST_OK(conn);
  consume(conn, 1, queue, "only", true);
  const amqp_queue_declare_ok_t* ok =
      amqp_queue_declare(conn, 1, text(queue), 1, 0, 0, 0, amqp_empty_table);
  EXPECT_LAST_OK(conn);
  EXPECT_INT(1, ok->consumer_count);
  amqp_queue_delete(conn, 1, text(queue), 1, 0);
  expect_channel_error(conn, 1, amqp_get_rpc_reply(conn), 406, "in use", AMQP_QUEUE_DELETE_METHOD);
  reopen_channel(conn, 1);  // closing the channel took the consumer, and so the queue
  amqp_queue_declare(conn, 1, text(queue), 1, 0, 0, 0, amqp_empty_table);
  expect_channel_error(conn, 1, amqp_get_rpc_reply(conn), 404, "NOT_FOUND - no queue",
                       AMQP_QUEUE_DECLARE_METHOD);
  reopen_channel(conn, 1);
  close_connection(conn);
}

const struct Case kQueueCases[] = {
    {"server-named-queue", server_named_queue},
    {"exclusive-queue-is-locked-for-others", exclusive_queue_is_locked_for_others},
    {"redeclare-must-be-equivalent", redeclare_must_be_equivalent},
    {"get-in-order-with-counts", get_in_order_with_counts},
    {"get-from-a-missing-queue-is-404", get_from_a_missing_queue_is_404},
    {"purge-and-delete-count", purge_and_delete_count},
    {"auto-delete-queue-goes-with-its-last-consumer",
     auto_delete_queue_goes_with_its_last_consumer},
    {NULL, NULL}};
