// SPDX-License-Identifier: Apache-2.0
// Confirms, returns, and messages that come back as they were sent: large bodies, every property,
// every table type.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

enum { kLargeBodyBytes = 10 * 1024 * 1024 };

static void confirms_cover_every_publish_once(void) {
  enum { kMessageCount = 200 };
  amqp_connection_state_t conn = open_connection(1);
  const char* queue = unique_name("confirms");
  declare_queue(conn, 1, queue);
  publish(conn, 1, "", queue, "before select: not counted");
  select_confirms(conn, 1);
  for (int i = 0; i < kMessageCount; ++i) publish(conn, 1, "", queue, "confirm me");

  bool confirmed[kMessageCount + 1] = {false};
  int confirmed_count = 0;
  while (confirmed_count < kMessageCount) {
    const amqp_basic_ack_t* ack = await_method(conn, 1, AMQP_BASIC_ACK_METHOD);
    EXPECT(ack->delivery_tag >= 1 && ack->delivery_tag <= kMessageCount);
    EXPECT(!confirmed[ack->delivery_tag]);
    for (uint64_t tag = ack->multiple ? 1 : ack->delivery_tag; tag <= ack->delivery_tag; ++tag) {
      confirmed_count += confirmed[tag] ? 0 : 1;
      confirmed[tag] = true;
    }
  }
  EXPECT_INT(kMessageCount + 1, message_count(conn, 1, queue));
  delete_queue(conn, 1, queue);
  close_connection(conn);
}

static void mandatory_returns_before_the_ack(void) {
  amqp_connection_state_t conn = open_connection(1);
  select_confirms(conn, 1);
  amqp_basic_properties_t properties = {
      ._flags = AMQP_BASIC_MESSAGE_ID_FLAG, .message_id = text("unroutable-1")};
  EXPECT_INT(AMQP_STATUS_OK, amqp_basic_publish(conn, 1, text("amq.direct"), text("nowhere at all"),
                                                1, 0, &properties, text("come back")));
  const amqp_basic_return_t* returned = await_method(conn, 1, AMQP_BASIC_RETURN_METHOD);
  EXPECT_INT(312, returned->reply_code);
  EXPECT_TEXT("NO_ROUTE", returned->reply_text);
  EXPECT_TEXT("amq.direct", returned->exchange);
  EXPECT_TEXT("nowhere at all", returned->routing_key);
  amqp_message_t message;
  EXPECT_OK(amqp_read_message(conn, 1, &message, 0));
  EXPECT_TEXT("come back", message.body);
  EXPECT_TEXT("unroutable-1", message.properties.message_id);
  amqp_destroy_message(&message);
  const amqp_basic_ack_t* ack = await_method(conn, 1, AMQP_BASIC_ACK_METHOD);
  EXPECT_INT(1, ack->delivery_tag);
  close_connection(conn);
}

static amqp_bytes_t large_body(void) {
  amqp_bytes_t body = amqp_bytes_malloc(kLargeBodyBytes);
  EXPECT(body.bytes != NULL);
  uint32_t state = 12345;
  for (size_t i = 0; i < body.len; ++i) {
    state = state * 1664525 + 1013904223;
    ((uint8_t*)body.bytes)[i] = (uint8_t)(state >> 24);
  }
  return body;
}

static void ten_mebibytes_both_ways(void) {
  amqp_connection_state_t conn = open_connection(1);
  const char* queue = unique_name("large");
  declare_queue(conn, 1, queue);
  amqp_bytes_t body = large_body();
  for (int round = 0; round < 2; ++round) {
    EXPECT_INT(AMQP_STATUS_OK,
               amqp_basic_publish(conn, 1, text(""), text(queue), 0, 0, NULL, body));
  }

  amqp_rpc_reply_t reply = amqp_basic_get(conn, 1, text(queue), 1);
  EXPECT_OK(reply);
  EXPECT_INT(AMQP_BASIC_GET_OK_METHOD, reply.reply.id);
  amqp_message_t message;
  EXPECT_OK(amqp_read_message(conn, 1, &message, 0));
  EXPECT_INT(kLargeBodyBytes, message.body.len);
  EXPECT(memcmp(body.bytes, message.body.bytes, body.len) == 0);
  amqp_destroy_message(&message);

  consume(conn, 1, queue, "", true);
  amqp_envelope_t envelope = next_delivery(conn);
  EXPECT_INT(kLargeBodyBytes, envelope.message.body.len);
  EXPECT(memcmp(body.bytes, envelope.message.body.bytes, body.len) == 0);
  amqp_destroy_envelope(&envelope);
  amqp_bytes_free(body);
  delete_queue(conn, 1, queue);
  close_connection(conn);
}

static void empty_body(void) {
  amqp_connection_state_t conn = open_connection(1);
  const char* queue = unique_name("empty");
  declare_queue(conn, 1, queue);
  publish(conn, 1, "", queue, "");
  expect_get(conn, 1, queue, "", true);
  delete_queue(conn, 1, queue);
  close_connection(conn);
}

// One value of each type of the field table, keys in order (a broker may sort them).
static amqp_table_t every_table_type(void) {
  static amqp_field_value_t items[2];
  items[0] = (amqp_field_value_t){.kind = AMQP_FIELD_KIND_I32, .value.i32 = -1};
  items[1] = (amqp_field_value_t){.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = text("two")};
  static amqp_table_entry_t inner[1];
  inner[0] = (amqp_table_entry_t){
      .key = text("deep"), .value = {.kind = AMQP_FIELD_KIND_BOOLEAN, .value.boolean = 1}};
  static amqp_table_entry_t entries[17];
  const amqp_field_value_t values[] = {
      {.kind = AMQP_FIELD_KIND_ARRAY, .value.array = {2, items}},
      {.kind = AMQP_FIELD_KIND_BOOLEAN, .value.boolean = 0},
      {.kind = AMQP_FIELD_KIND_BYTES, .value.bytes = {4, "\x00\xff\x7f\x80"}},
      {.kind = AMQP_FIELD_KIND_DECIMAL, .value.decimal = {2, 31415}},
      {.kind = AMQP_FIELD_KIND_F32, .value.f32 = 0.5F},
      {.kind = AMQP_FIELD_KIND_F64, .value.f64 = -1.0e300},
      {.kind = AMQP_FIELD_KIND_I8, .value.i8 = -128},
      {.kind = AMQP_FIELD_KIND_I16, .value.i16 = -32768},
      {.kind = AMQP_FIELD_KIND_I32, .value.i32 = INT32_MIN},
      {.kind = AMQP_FIELD_KIND_I64, .value.i64 = INT64_MIN},
      {.kind = AMQP_FIELD_KIND_TABLE, .value.table = {1, inner}},
      {.kind = AMQP_FIELD_KIND_TIMESTAMP, .value.u64 = 1700000000},
      {.kind = AMQP_FIELD_KIND_U8, .value.u8 = 255},
      {.kind = AMQP_FIELD_KIND_U16, .value.u16 = 65535},
      {.kind = AMQP_FIELD_KIND_U32, .value.u32 = UINT32_MAX},
      {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = text("gr\xc3\xbc\xc3\x9f")},
      {.kind = AMQP_FIELD_KIND_VOID}};
  static char keys[17][4];
  for (int i = 0; i < 17; ++i) {
    snprintf(keys[i], sizeof keys[i], "h%02d", i);
    entries[i] = (amqp_table_entry_t){.key = text(keys[i]), .value = values[i]};
  }
  return (amqp_table_t){17, entries};
}

static void expect_same_table(amqp_table_t expected, amqp_table_t actual) {
  uint8_t expected_bytes[1024];
  uint8_t actual_bytes[1024];
  size_t expected_length = 0;
  size_t actual_length = 0;
  EXPECT_INT(AMQP_STATUS_OK, amqp_encode_table((amqp_bytes_t){1024, expected_bytes}, &expected,
                                               &expected_length));
  EXPECT_INT(AMQP_STATUS_OK,
             amqp_encode_table((amqp_bytes_t){1024, actual_bytes}, &actual, &actual_length));
  EXPECT_INT(expected_length, actual_length);
  EXPECT(memcmp(expected_bytes, actual_bytes, expected_length) == 0);
}

static void properties_come_back_as_sent(void) {
  amqp_connection_state_t conn = open_connection(1);
  const char* queue = unique_name("properties");
  declare_queue(conn, 1, queue);
  amqp_basic_properties_t sent = {.content_type = text("application/json"),
                                  .content_encoding = text("utf-8"),
                                  .headers = every_table_type(),
                                  .delivery_mode = 2,
                                  .priority = 9,
                                  .correlation_id = text("c-1"),
                                  .reply_to = text("somewhere"),
                                  .expiration = text("60000"),
                                  .message_id = text("m-1"),
                                  .timestamp = 1700000000,
                                  .type = text("order.created"),
                                  .user_id = text(settings.user),
                                  .app_id = text("interop"),
                                  .cluster_id = text("c")};
  sent._flags = 0xFFFC;  // all fourteen
  EXPECT_INT(AMQP_STATUS_OK,
             amqp_basic_publish(conn, 1, text(""), text(queue), 0, 0, &sent, text("{}")));
  EXPECT_OK(amqp_basic_get(conn, 1, text(queue), 1));
  amqp_message_t message;
  EXPECT_OK(amqp_read_message(conn, 1, &message, 0));
  const amqp_basic_properties_t* got = &message.properties;
  EXPECT_INT(0xFFFC, got->_flags);
  EXPECT_TEXT("application/json", got->content_type);
  EXPECT_TEXT("utf-8", got->content_encoding);
  expect_same_table(sent.headers, got->headers);
  EXPECT_INT(2, got->delivery_mode);
  EXPECT_INT(9, got->priority);
  EXPECT_TEXT("c-1", got->correlation_id);
  EXPECT_TEXT("somewhere", got->reply_to);
  EXPECT_TEXT("60000", got->expiration);
  EXPECT_TEXT("m-1", got->message_id);
  EXPECT_INT(1700000000, got->timestamp);
  EXPECT_TEXT("order.created", got->type);
  EXPECT_TEXT(settings.user, got->user_id);
  EXPECT_TEXT("interop", got->app_id);
  EXPECT_TEXT("c", got->cluster_id);
  amqp_destroy_message(&message);

  publish(conn, 1, "", queue, "bare");
  EXPECT_OK(amqp_basic_get(conn, 1, text(queue), 1));
  EXPECT_OK(amqp_read_message(conn, 1, &message, 0));
  EXPECT_INT(0, message.properties._flags);
  amqp_destroy_message(&message);
  delete_queue(conn, 1, queue);
  close_connection(conn);
}

static void publish_to_a_missing_exchange_is_404(void) {
  amqp_connection_state_t conn = open_connection(1);
  const char* exchange = unique_name("missing");
  publish(conn, 1, exchange, "key", "lost");
  await_channel_error(conn, 1, 404, "NOT_FOUND - no exchange", AMQP_BASIC_PUBLISH_METHOD);
  reopen_channel(conn, 1);
  select_confirms(conn, 1);
  publish_confirmed(conn, 1, "amq.fanout", "", "the connection lives on");
  close_connection(conn);
}

static void bad_expiration_and_user_id_are_406(void) {
  amqp_connection_state_t conn = open_connection(1);
  amqp_basic_properties_t expiring = {._flags = AMQP_BASIC_EXPIRATION_FLAG,
                                      .expiration = text("soon")};
  amqp_basic_publish(conn, 1, text("amq.fanout"), text(""), 0, 0, &expiring, text("x"));
  await_channel_error(conn, 1, 406, "PRECONDITION_FAILED - invalid expiration 'soon'",
                      AMQP_BASIC_PUBLISH_METHOD);
  reopen_channel(conn, 1);
  amqp_basic_properties_t forged = {._flags = AMQP_BASIC_USER_ID_FLAG,
                                    .user_id = text("somebody else")};
  amqp_basic_publish(conn, 1, text("amq.fanout"), text(""), 0, 0, &forged, text("x"));
  await_channel_error(conn, 1, 406, "user_id property set to 'somebody else'",
                      AMQP_BASIC_PUBLISH_METHOD);
  reopen_channel(conn, 1);
  close_connection(conn);
}

const struct Case kPublishCases[] = {
    {"confirms-cover-every-publish-once", confirms_cover_every_publish_once},
    {"mandatory-returns-before-the-ack", mandatory_returns_before_the_ack},
    {"ten-mebibytes-both-ways", ten_mebibytes_both_ways},
    {"empty-body", empty_body},
    {"properties-come-back-as-sent", properties_come_back_as_sent},
    {"publish-to-a-missing-exchange-is-404", publish_to_a_missing_exchange_is_404},
    {"bad-expiration-and-user-id-are-406", bad_expiration_and_user_id_are_406},
    {NULL, NULL}};
