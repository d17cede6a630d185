// SPDX-License-Identifier: Apache-2.0
// Transactions, and requests with replies: through an exclusive queue and by direct reply-to.
#include <stdlib.h>
#include <string.h>

#include "support.h"

static const char kReplyTo[] = "amq.rabbitmq.reply-to";

static void select_tx(amqp_connection_state_t conn) {
  amqp_tx_select(conn, 1);
  EXPECT_LAST_OK(conn);
}

static void commit(amqp_connection_state_t conn) {
  amqp_tx_commit(conn, 1);
  EXPECT_LAST_OK(conn);
}

static void rollback(amqp_connection_state_t conn) {
  amqp_tx_rollback(conn, 1);
  EXPECT_LAST_OK(conn);
}

static void tx_commit_publishes(void) {
  amqp_connection_state_t conn = open_connection(1);
  const char* queue = unique_name("tx");
  declare_queue(conn, 1, queue);
  select_tx(conn);
  publish(conn, 1, "", queue, "committed");
  expect_empty(conn, 1, queue);
  commit(conn);
  publish(conn, 1, "", queue, "rolled back");
  rollback(conn);
  commit(conn);
  expect_get(conn, 1, queue, "committed", true);
  expect_empty(conn, 1, queue);
  delete_queue(conn, 1, queue);
  close_connection(conn);
}

static void tx_rollback_forgets_acks(void) {
  amqp_connection_state_t conn = open_connection(2);
  const char* queue = unique_name("tx-ack");
  declare_queue(conn, 1, queue);
  publish(conn, 1, "", queue, "acked twice");
  select_tx(conn);
  uint64_t tag = expect_get(conn, 1, queue, "acked twice", false);
  EXPECT_INT(AMQP_STATUS_OK, amqp_basic_ack(conn, 1, tag, 0));
  rollback(conn);
  expect_empty(conn, 2, queue);  // outstanding still, not requeued
  EXPECT_INT(AMQP_STATUS_OK, amqp_basic_ack(conn, 1, tag, 0));
  commit(conn);
  EXPECT_OK(amqp_channel_close(conn, 1, AMQP_REPLY_SUCCESS));
  expect_empty(conn, 2, queue);
  delete_queue(conn, 2, queue);
  close_connection(conn);
}

static void tx_returns_at_commit(void) {
  amqp_connection_state_t conn = open_connection(1);
  select_tx(conn);
  EXPECT_INT(AMQP_STATUS_OK, amqp_basic_publish(conn, 1, text("amq.direct"), text("nowhere"), 1, 0,
                                                NULL, text("back")));
  amqp_basic_qos(conn, 1, 0, 0, 0);  // a round trip: nothing came before it
  EXPECT_LAST_OK(conn);
  EXPECT(!amqp_frames_enqueued(conn));
  amqp_tx_commit_t request = {0};
  EXPECT_INT(AMQP_STATUS_OK, amqp_send_method(conn, 1, AMQP_TX_COMMIT_METHOD, &request));
  const amqp_basic_return_t* returned = await_method(conn, 1, AMQP_BASIC_RETURN_METHOD);
  EXPECT_INT(312, returned->reply_code);
  amqp_message_t message;
  EXPECT_OK(amqp_read_message(conn, 1, &message, 0));
  EXPECT_TEXT("back", message.body);
  amqp_destroy_message(&message);
  await_method(conn, 1, AMQP_TX_COMMIT_OK_METHOD);
  close_connection(conn);
}

static void tx_and_confirms_do_not_mix(void) {
  amqp_connection_state_t conn = open_connection(1);
  amqp_tx_commit(conn, 1);
  expect_channel_error(conn, 1, amqp_get_rpc_reply(conn), 406,
                       "PRECONDITION_FAILED - channel is not transactional", AMQP_TX_COMMIT_METHOD);
  reopen_channel(conn, 1);
  select_tx(conn);
  amqp_confirm_select(conn, 1);
  expect_channel_error(conn, 1, amqp_get_rpc_reply(conn), 406,
                       "PRECONDITION_FAILED - cannot switch from tx to confirm mode",
                       AMQP_CONFIRM_SELECT_METHOD);
  reopen_channel(conn, 1);
  select_confirms(conn, 1);
  amqp_tx_select(conn, 1);
  expect_channel_error(conn, 1, amqp_get_rpc_reply(conn), 406,
                       "PRECONDITION_FAILED - cannot switch from confirm to tx mode",
                       AMQP_TX_SELECT_METHOD);
  reopen_channel(conn, 1);
  close_connection(conn);
}

static void send_request(amqp_connection_state_t conn, const char* to, const char* reply_to,
                         const char* correlation_id, const char* body) {
  amqp_basic_properties_t properties = {
      ._flags = AMQP_BASIC_REPLY_TO_FLAG | AMQP_BASIC_CORRELATION_ID_FLAG,
      .reply_to = text(reply_to),
      .correlation_id = text(correlation_id)};
  EXPECT_INT(AMQP_STATUS_OK,
             amqp_basic_publish(conn, 1, text(""), text(to), 0, 0, &properties, text(body)));
}

// Takes one request and answers "re: <body>" to whom it names.
static void serve_one(amqp_connection_state_t server, amqp_bytes_t* reply_to_out) {
  amqp_envelope_t request = next_delivery(server);
  amqp_basic_properties_t properties = {
      ._flags = AMQP_BASIC_CORRELATION_ID_FLAG,
      .correlation_id = request.message.properties.correlation_id};
  char body[64] = "re: ";
  EXPECT(request.message.body.len < sizeof body - 5);
  memcpy(body + 4, request.message.body.bytes, request.message.body.len);
  EXPECT_INT(AMQP_STATUS_OK,
             amqp_basic_publish(server, 1, text(""), request.message.properties.reply_to, 1, 0,
                                &properties, text(body)));
  if (reply_to_out != NULL) {
    *reply_to_out = amqp_bytes_malloc_dup(request.message.properties.reply_to);
  }
  amqp_destroy_envelope(&request);
}

static void expect_reply(amqp_connection_state_t client, const char* correlation_id,
                         const char* body) {
  amqp_envelope_t reply = next_delivery(client);
  EXPECT_TEXT(correlation_id, reply.message.properties.correlation_id);
  EXPECT_TEXT(body, reply.message.body);
  EXPECT_TEXT("", reply.exchange);
  amqp_destroy_envelope(&reply);
}

static void rpc_by_reply_queue(void) {
  amqp_connection_state_t server = open_connection(1);
  amqp_connection_state_t client = open_connection(1);
  const char* requests = unique_name("requests");
  declare_queue(server, 1, requests);
  consume(server, 1, requests, "", true);
  const amqp_queue_declare_ok_t* ok =
      amqp_queue_declare(client, 1, amqp_empty_bytes, 0, 0, 1, 1, amqp_empty_table);
  EXPECT_LAST_OK(client);
  char replies[128] = "";
  memcpy(replies, ok->queue.bytes, ok->queue.len);
  consume(client, 1, replies, "", true);
  send_request(client, requests, replies, "1", "first");
  send_request(client, requests, replies, "2", "second");
  serve_one(server, NULL);
  serve_one(server, NULL);
  expect_reply(client, "1", "re: first");
  expect_reply(client, "2", "re: second");
  delete_queue(server, 1, requests);
  close_connection(client);
  close_connection(server);
}

static void rpc_by_direct_reply_to(void) {
  amqp_connection_state_t server = open_connection(1);
  amqp_connection_state_t client = open_connection(1);
  const char* requests = unique_name("requests");
  declare_queue(server, 1, requests);
  consume(server, 1, requests, "", true);
  consume(client, 1, kReplyTo, "direct", true);
  send_request(client, requests, kReplyTo, "42", "question");
  amqp_bytes_t reply_to;
  serve_one(server, &reply_to);
  EXPECT(reply_to.len > strlen(kReplyTo) + 1);
  EXPECT(memcmp(reply_to.bytes, "amq.rabbitmq.reply-to.", strlen(kReplyTo) + 1) == 0);
  expect_reply(client, "42", "re: question");

  // The server may ask whether the requester is still there.
  const amqp_queue_declare_ok_t* alive =
      amqp_queue_declare(server, 1, reply_to, 1, 0, 0, 0, amqp_empty_table);
  EXPECT_LAST_OK(server);
  EXPECT_INT(1, alive->consumer_count);
  // The reply was mandatory and had a taker. RabbitMQ returns it all the same until 4.2.
  if (!settings.is_rabbitmq) EXPECT(!amqp_frames_enqueued(server));
  EXPECT_OK(amqp_channel_close(client, 1, AMQP_REPLY_SUCCESS));
  amqp_queue_declare(server, 1, reply_to, 1, 0, 0, 0, amqp_empty_table);
  expect_channel_error(server, 1, amqp_get_rpc_reply(server), 404, "NOT_FOUND",
                       AMQP_QUEUE_DECLARE_METHOD);
  reopen_channel(server, 1);
  amqp_bytes_free(reply_to);
  delete_queue(server, 1, requests);
  close_connection(client);
  close_connection(server);
}

static void direct_reply_to_errors(void) {
  amqp_connection_state_t conn = open_connection(1);
  amqp_basic_consume(conn, 1, text(kReplyTo), text(""), 0, 0, 0, amqp_empty_table);
  expect_channel_error(conn, 1, amqp_get_rpc_reply(conn), 406,
                       "PRECONDITION_FAILED - reply consumer cannot acknowledge",
                       AMQP_BASIC_CONSUME_METHOD);
  reopen_channel(conn, 1);
  send_request(conn, "anywhere", kReplyTo, "1", "no reply consumer");
  await_channel_error(conn, 1, 406, "PRECONDITION_FAILED - fast reply consumer does not exist",
                      AMQP_BASIC_PUBLISH_METHOD);
  reopen_channel(conn, 1);
  consume(conn, 1, kReplyTo, "one", true);
  amqp_basic_consume(conn, 1, text(kReplyTo), text("two"), 0, 1, 0, amqp_empty_table);
  expect_channel_error(conn, 1, amqp_get_rpc_reply(conn), 406,
                       "PRECONDITION_FAILED - reply consumer already set",
                       AMQP_BASIC_CONSUME_METHOD);
  reopen_channel(conn, 1);
  close_connection(conn);
}

const struct Case kTxAndRpcCases[] = {{"tx-commit-publishes", tx_commit_publishes},
                                      {"tx-rollback-forgets-acks", tx_rollback_forgets_acks},
                                      {"tx-returns-at-commit", tx_returns_at_commit},
                                      {"tx-and-confirms-do-not-mix", tx_and_confirms_do_not_mix},
                                      {"rpc-by-reply-queue", rpc_by_reply_queue},
                                      {"rpc-by-direct-reply-to", rpc_by_direct_reply_to},
                                      {"direct-reply-to-errors", direct_reply_to_errors},
                                      {NULL, NULL}};
