// SPDX-License-Identifier: Apache-2.0
// What every case of the rabbitmq-c suite uses: the broker's address, expectations, connections and
// the few waits that the library leaves to its user. A failed expectation ends its case (not the
// suite) by jumping back to the runner, which closes the connections that the case left open.
#pragma once

#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <stdbool.h>
#include <stdint.h>

// Nothing here takes longer than this on a working broker; a wait that does is a failure.
enum { kWaitSeconds = 20 };

struct Settings {
  const char* host;
  int port;
  const char* user;
  const char* password;
  const char* vhost;
  bool is_rabbitmq;
};
extern struct Settings settings;

struct Case {
  const char* name;
  void (*run)(void);
};
extern const struct Case kConnectionCases[];
extern const struct Case kRoutingCases[];
extern const struct Case kPublishCases[];
extern const struct Case kQueueCases[];
extern const struct Case kConsumeCases[];
extern const struct Case kTxAndRpcCases[];

void fail(const char* file, int line, const char* format, ...)
    __attribute__((format(printf, 3, 4), noreturn));
void expect_int(const char* file, int line, const char* what, int64_t expected, int64_t actual);
void expect_text(const char* file, int line, const char* what, const char* expected,
                 amqp_bytes_t actual);

#define EXPECT(condition) \
  ((condition) ? (void)0 : fail(__FILE__, __LINE__, "not true: %s", #condition))
#define EXPECT_INT(expected, actual) expect_int(__FILE__, __LINE__, #actual, (expected), (actual))
#define EXPECT_TEXT(expected, actual) expect_text(__FILE__, __LINE__, #actual, (expected), (actual))
#define EXPECT_OK(reply) expect_reply_ok(__FILE__, __LINE__, (reply))
// The last synchronous call on `conn` succeeded.
#define EXPECT_LAST_OK(conn) expect_reply_ok(__FILE__, __LINE__, amqp_get_rpc_reply(conn))

void expect_reply_ok(const char* file, int line, amqp_rpc_reply_t reply);

// A name that no other run on a shared broker uses; lives until the suite ends.
const char* unique_name(const char* base);
amqp_bytes_t text(const char* string);

// Connects the socket only; the case logs in itself.
amqp_connection_state_t connect_socket(void);
amqp_rpc_reply_t login(amqp_connection_state_t conn, const char* vhost, const char* password,
                       int heartbeat_s);
// Logged in, with channels 1..channel_count open.
amqp_connection_state_t open_connection(int channel_count);
void close_connection(amqp_connection_state_t conn);
// Closes whatever a case left open; called by the runner.
void drop_connections(void);

void declare_queue(amqp_connection_state_t conn, amqp_channel_t channel, const char* queue);
void declare_exchange(amqp_connection_state_t conn, amqp_channel_t channel, const char* exchange,
                      const char* type, amqp_table_t arguments);
void bind_queue(amqp_connection_state_t conn, amqp_channel_t channel, const char* queue,
                const char* exchange, const char* key, amqp_table_t arguments);
void delete_queue(amqp_connection_state_t conn, amqp_channel_t channel, const char* queue);
void delete_exchange(amqp_connection_state_t conn, amqp_channel_t channel, const char* exchange);
// Ready messages by a passive declare.
uint32_t message_count(amqp_connection_state_t conn, amqp_channel_t channel, const char* queue);

void publish(amqp_connection_state_t conn, amqp_channel_t channel, const char* exchange,
             const char* key, const char* body);
// Publishes on a channel in confirm mode and waits for the ack.
void publish_confirmed(amqp_connection_state_t conn, amqp_channel_t channel, const char* exchange,
                       const char* key, const char* body);
void select_confirms(amqp_connection_state_t conn, amqp_channel_t channel);

// Waits for the next frame of any channel; must be the given method, whose decoded form it returns.
void* await_method(amqp_connection_state_t conn, amqp_channel_t channel, amqp_method_number_t id);
void consume(amqp_connection_state_t conn, amqp_channel_t channel, const char* queue,
             const char* tag, bool no_ack);
// The caller destroys the envelope.
amqp_envelope_t next_delivery(amqp_connection_state_t conn);
// The next delivery has this body and redelivered flag; returns its delivery tag.
uint64_t expect_delivery(amqp_connection_state_t conn, const char* body, bool redelivered);
// Nothing was sent to this connection beyond what was read. A passive declare is the barrier: the
// queue would have sent its deliveries before the answer.
void expect_nothing_more(amqp_connection_state_t conn, amqp_channel_t channel, const char* queue);
// Gets one message and compares its body; returns its delivery tag.
uint64_t expect_get(amqp_connection_state_t conn, amqp_channel_t channel, const char* queue,
                    const char* body, bool no_ack);
void expect_empty(amqp_connection_state_t conn, amqp_channel_t channel, const char* queue);

// `reply` is a channel.close with this code, text fragment and ids; answers it, so that the
// channel number can be opened again.
void expect_channel_error(amqp_connection_state_t conn, amqp_channel_t channel,
                          amqp_rpc_reply_t reply, int code, const char* fragment,
                          amqp_method_number_t method);
void expect_connection_error(amqp_rpc_reply_t reply, int code, const char* fragment,
                             amqp_method_number_t method);
// The same for errors that come without a synchronous call.
void await_channel_error(amqp_connection_state_t conn, amqp_channel_t channel, int code,
                         const char* fragment, amqp_method_number_t method);
void reopen_channel(amqp_connection_state_t conn, amqp_channel_t channel);
