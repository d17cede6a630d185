// SPDX-License-Identifier: Apache-2.0
// Consumers: prefetch windows, acknowledgements in all forms, requeueing in order, cancelling from
// either side.
#include <stdlib.h>
#include <string.h>

#include "support.h"

// A queue holding "m1".."mN", read by channel 1.
static const char* queue_with_messages(amqp_connection_state_t conn, int count) {
  const char* queue = unique_name("consume");
  declare_queue(conn, 1, queue);
  for (int i = 1; i <= count; ++i) {
    char body[8] = {'m', (char)('0' + i), '\0'};
    publish(conn, 1, "", queue, body);
  }
  return queue;
}

static void set_prefetch(amqp_connection_state_t conn, uint16_t count, bool global) {
  amqp_basic_qos(conn, 1, 0, count, global);
  EXPECT_LAST_OK(conn);
}

static void ack(amqp_connection_state_t conn, uint64_t tag, bool multiple) {
  EXPECT_INT(AMQP_STATUS_OK, amqp_basic_ack(conn, 1, tag, multiple));
}

static void prefetch_bounds_what_is_unacked(void) {
  amqp_connection_state_t conn = open_connection(1);
  const char* queue = queue_with_messages(conn, 4);
  set_prefetch(conn, 2, false);
  consume(conn, 1, queue, "", false);
  EXPECT_INT(1, expect_delivery(conn, "m1", false));
  EXPECT_INT(2, expect_delivery(conn, "m2", false));
  expect_nothing_more(conn, 1, queue);
  ack(conn, 1, false);
  EXPECT_INT(3, expect_delivery(conn, "m3", false));
  expect_nothing_more(conn, 1, queue);
  ack(conn, 3, true);
  EXPECT_INT(4, expect_delivery(conn, "m4", false));
  ack(conn, 0, true);  // everything outstanding
  expect_empty(conn, 1, queue);
  delete_queue(conn, 1, queue);
  close_connection(conn);
}

static void global_prefetch_is_shared_by_the_channel(void) {
  amqp_connection_state_t conn = open_connection(1);
  const char* first = queue_with_messages(conn, 2);
  const char* second = queue_with_messages(conn, 2);
  set_prefetch(conn, 3, true);
  consume(conn, 1, first, "first", false);
  expect_delivery(conn, "m1", false);
  expect_delivery(conn, "m2", false);
  consume(conn, 1, second, "second", false);
  expect_delivery(conn, "m1", false);
  expect_nothing_more(conn, 1, second);
  ack(conn, 1, false);
  expect_delivery(conn, "m2", false);
  delete_queue(conn, 1, first);
  delete_queue(conn, 1, second);
  close_connection(conn);
}

static void requeued_messages_keep_their_place(void) {
  amqp_connection_state_t conn = open_connection(1);
  const char* queue = queue_with_messages(conn, 3);
  uint64_t first = expect_get(conn, 1, queue, "m1", false);
  uint64_t second = expect_get(conn, 1, queue, "m2", false);
  EXPECT_INT(AMQP_STATUS_OK, amqp_basic_nack(conn, 1, second, 0, 1));
  EXPECT_INT(AMQP_STATUS_OK, amqp_basic_reject(conn, 1, first, 1));
  consume(conn, 1, queue, "", true);
  expect_delivery(conn, "m1", true);
  expect_delivery(conn, "m2", true);
  expect_delivery(conn, "m3", false);
  delete_queue(conn, 1, queue);
  close_connection(conn);
}

static void nack_multiple_and_reject(void) {
  amqp_connection_state_t conn = open_connection(1);
  const char* queue = queue_with_messages(conn, 4);
  expect_get(conn, 1, queue, "m1", false);
  expect_get(conn, 1, queue, "m2", false);
  uint64_t third = expect_get(conn, 1, queue, "m3", false);
  uint64_t fourth = expect_get(conn, 1, queue, "m4", false);
  EXPECT_INT(AMQP_STATUS_OK, amqp_basic_reject(conn, 1, fourth, 0));  // dropped
  EXPECT_INT(AMQP_STATUS_OK, amqp_basic_nack(conn, 1, third, 1, 1));
  for (int i = 1; i <= 3; ++i) {
    char body[8] = {'m', (char)('0' + i), '\0'};
    expect_get(conn, 1, queue, body, true);
  }
  expect_empty(conn, 1, queue);
  delete_queue(conn, 1, queue);
  close_connection(conn);
}

static void unacked_messages_return_when_the_channel_closes(void) {
  amqp_connection_state_t conn = open_connection(1);
  const char* queue = queue_with_messages(conn, 2);
  consume(conn, 1, queue, "", false);
  expect_delivery(conn, "m1", false);
  expect_delivery(conn, "m2", false);
  ack(conn, 1, false);
  EXPECT_OK(amqp_channel_close(conn, 1, AMQP_REPLY_SUCCESS));
  reopen_channel(conn, 1);
  consume(conn, 1, queue, "", true);
  expect_delivery(conn, "m2", true);
  delete_queue(conn, 1, queue);
  close_connection(conn);
}

static void recover_redelivers(void) {
  amqp_connection_state_t conn = open_connection(1);
  const char* queue = queue_with_messages(conn, 2);
  consume(conn, 1, queue, "", false);
  expect_delivery(conn, "m1", false);
  expect_delivery(conn, "m2", false);
  // Sent by hand: amqp_basic_recover would refuse deliveries that come before recover-ok.
  amqp_basic_recover_t recover = {.requeue = 1};
  EXPECT_INT(AMQP_STATUS_OK, amqp_send_method(conn, 1, AMQP_BASIC_RECOVER_METHOD, &recover));
  await_method(conn, 1, AMQP_BASIC_RECOVER_OK_METHOD);
  EXPECT_INT(3, expect_delivery(conn, "m1", true));
  EXPECT_INT(4, expect_delivery(conn, "m2", true));
  ack(conn, 4, true);
  delete_queue(conn, 1, queue);
  close_connection(conn);
}

static void unknown_delivery_tag_is_406(void) {
  amqp_connection_state_t conn = open_connection(1);
  ack(conn, 82, false);
  await_channel_error(conn, 1, 406, "PRECONDITION_FAILED - unknown delivery tag 82",
                      AMQP_BASIC_ACK_METHOD);
  reopen_channel(conn, 1);
  const char* queue = queue_with_messages(conn, 1);
  uint64_t tag = expect_get(conn, 1, queue, "m1", false);
  ack(conn, tag, false);
  ack(conn, tag, false);  // the second time it is unknown
  await_channel_error(conn, 1, 406, "PRECONDITION_FAILED - unknown delivery tag 1",
                      AMQP_BASIC_ACK_METHOD);
  reopen_channel(conn, 1);
  EXPECT_INT(AMQP_STATUS_OK, amqp_basic_nack(conn, 1, 7, 0, 1));
  await_channel_error(conn, 1, 406, "unknown delivery tag 7", AMQP_BASIC_NACK_METHOD);
  reopen_channel(conn, 1);
  EXPECT_INT(AMQP_STATUS_OK, amqp_basic_reject(conn, 1, 8, 1));
  await_channel_error(conn, 1, 406, "unknown delivery tag 8", AMQP_BASIC_REJECT_METHOD);
  reopen_channel(conn, 1);
  delete_queue(conn, 1, queue);
  close_connection(conn);
}

static void cancel_keeps_what_was_delivered(void) {
  amqp_connection_state_t conn = open_connection(1);
  const char* queue = queue_with_messages(conn, 2);
  set_prefetch(conn, 1, false);
  consume(conn, 1, queue, "mine", false);
  uint64_t tag = expect_delivery(conn, "m1", false);
  amqp_basic_cancel(conn, 1, text("mine"));
  EXPECT_LAST_OK(conn);
  const amqp_basic_cancel_ok_t* ok = amqp_basic_cancel(conn, 1, text("never existed"));
  EXPECT_LAST_OK(conn);
  EXPECT_TEXT("never existed", ok->consumer_tag);
  ack(conn, tag, false);
  expect_get(conn, 1, queue, "m2", true);
  expect_empty(conn, 1, queue);
  delete_queue(conn, 1, queue);
  close_connection(conn);
}

static amqp_connection_state_t connection_that_hears_of_cancels(void) {
  amqp_table_entry_t capability = {.key = text("consumer_cancel_notify"),
                                   .value = {.kind = AMQP_FIELD_KIND_BOOLEAN, .value.boolean = 1}};
  amqp_table_entry_t capabilities = {.key = text("capabilities"),
                                     .value = {.kind = AMQP_FIELD_KIND_TABLE}};
  capabilities.value.value.table = (amqp_table_t){1, &capability};
  amqp_table_t properties = {1, &capabilities};
  amqp_connection_state_t conn = connect_socket();
  EXPECT_OK(amqp_login_with_properties(conn, settings.vhost, 0, AMQP_DEFAULT_FRAME_SIZE, 0,
                                       &properties, AMQP_SASL_METHOD_PLAIN, settings.user,
                                       settings.password));
  reopen_channel(conn, 1);
  return conn;
}

static void deleting_the_queue_cancels_its_consumer(void) {
  amqp_connection_state_t conn = connection_that_hears_of_cancels();
  amqp_connection_state_t other = open_connection(1);
  const char* queue = queue_with_messages(conn, 0);
  consume(conn, 1, queue, "watcher", false);
  delete_queue(other, 1, queue);
  const amqp_basic_cancel_t* cancel = await_method(conn, 1, AMQP_BASIC_CANCEL_METHOD);
  EXPECT_TEXT("watcher", cancel->consumer_tag);
  close_connection(other);
  close_connection(conn);
}

static void exclusive_consumer_is_alone(void) {
  amqp_connection_state_t conn = open_connection(2);
  const char* queue = queue_with_messages(conn, 0);
  amqp_basic_consume(conn, 1, text(queue), text("alone"), 0, 1, 1, amqp_empty_table);
  EXPECT_LAST_OK(conn);
  amqp_basic_consume(conn, 2, text(queue), text("late"), 0, 1, 0, amqp_empty_table);
  expect_channel_error(conn, 2, amqp_get_rpc_reply(conn), 403, "in exclusive use",
                       AMQP_BASIC_CONSUME_METHOD);
  reopen_channel(conn, 2);
  amqp_basic_cancel(conn, 1, text("alone"));
  EXPECT_LAST_OK(conn);
  consume(conn, 2, queue, "late", true);
  delete_queue(conn, 1, queue);
  close_connection(conn);
}

static void consumer_priority_decides(void) {
  amqp_connection_state_t conn = open_connection(1);
  const char* queue = queue_with_messages(conn, 0);
  consume(conn, 1, queue, "ordinary", true);
  amqp_table_entry_t entry = {.key = text("x-priority"),
                              .value = {.kind = AMQP_FIELD_KIND_I32, .value.i32 = 10}};
  amqp_basic_consume(conn, 1, text(queue), text("preferred"), 0, 1, 0, (amqp_table_t){1, &entry});
  EXPECT_LAST_OK(conn);
  for (int i = 0; i < 4; ++i) {
    publish(conn, 1, "", queue, "for the preferred one");
    amqp_envelope_t envelope = next_delivery(conn);
    EXPECT_TEXT("preferred", envelope.consumer_tag);
    amqp_destroy_envelope(&envelope);
  }
  delete_queue(conn, 1, queue);
  close_connection(conn);
}

const struct Case kConsumeCases[] = {
    {"prefetch-bounds-what-is-unacked", prefetch_bounds_what_is_unacked},
    {"global-prefetch-is-shared-by-the-channel", global_prefetch_is_shared_by_the_channel},
    {"requeued-messages-keep-their-place", requeued_messages_keep_their_place},
    {"nack-multiple-and-reject", nack_multiple_and_reject},
    {"unacked-messages-return-when-the-channel-closes",
     unacked_messages_return_when_the_channel_closes},
    {"recover-redelivers", recover_redelivers},
    {"unknown-delivery-tag-is-406", unknown_delivery_tag_is_406},
    {"cancel-keeps-what-was-delivered", cancel_keeps_what_was_delivered},
    {"deleting-the-queue-cancels-its-consumer", deleting_the_queue_cancels_its_consumer},
    {"exclusive-consumer-is-alone", exclusive_consumer_is_alone},
    {"consumer-priority-decides", consumer_priority_decides},
    {NULL, NULL}};
