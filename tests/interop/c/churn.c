// SPDX-License-Identifier: Apache-2.0
// Connections opened and dropped in a loop, for measuring that the broker's memory stays where it
// was: churn [connections, 1000] [at once, 50]. Each opens a channel, declares an exclusive queue,
// publishes to it, gets one message without acknowledging it and leaves a consumer behind. Every
// third one closes politely, every third closes the socket in mid-conversation, every third is
// reset with a half-sent frame. Prints what was done; exits 1 at the first refusal.
#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

struct Broker {
  const char* host;
  int port;
  const char* user;
  const char* password;
  const char* vhost;
};

enum Ending { kPolite, kDropped, kReset, kEndingCount };

static void give_up(const char* what) {
  printf("not ok churn: %s\n", what);
  exit(1);
}

static void require_ok(amqp_rpc_reply_t reply, const char* what) {
  if (reply.reply_type != AMQP_RESPONSE_NORMAL) give_up(what);
}

static void require_status(int status, const char* what) {
  if (status != AMQP_STATUS_OK) give_up(what);
}

static amqp_connection_state_t open_one(const struct Broker* broker) {
  amqp_connection_state_t conn = amqp_new_connection();
  amqp_socket_t* socket = amqp_tcp_socket_new(conn);
  struct timeval timeout = {.tv_sec = 20};
  amqp_set_handshake_timeout(conn, &timeout);
  amqp_set_rpc_timeout(conn, &timeout);
  if (socket == NULL ||
      amqp_socket_open_noblock(socket, broker->host, broker->port, &timeout) != AMQP_STATUS_OK) {
    give_up("cannot connect");
  }
  require_ok(amqp_login(conn, broker->vhost, 0, AMQP_DEFAULT_FRAME_SIZE, 0, AMQP_SASL_METHOD_PLAIN,
                        broker->user, broker->password),
             "login");
  amqp_channel_open(conn, 1);
  require_ok(amqp_get_rpc_reply(conn), "channel.open");
  return conn;
}

static void use_one(amqp_connection_state_t conn) {
  const amqp_queue_declare_ok_t* ok =
      amqp_queue_declare(conn, 1, amqp_empty_bytes, 0, 0, 1, 0, amqp_empty_table);
  require_ok(amqp_get_rpc_reply(conn), "queue.declare");
  amqp_bytes_t queue = amqp_bytes_malloc_dup(ok->queue);
  static char body[4096];
  amqp_bytes_t bytes = {sizeof body, body};
  for (int i = 0; i < 3; ++i) {
    require_status(amqp_basic_publish(conn, 1, amqp_empty_bytes, queue, 0, 0, NULL, bytes),
                   "publish");
  }
  require_ok(amqp_basic_get(conn, 1, queue, 0), "basic.get");
  amqp_message_t message;
  require_ok(amqp_read_message(conn, 1, &message, 0), "content of basic.get");
  amqp_destroy_message(&message);
  amqp_basic_consume(conn, 1, queue, amqp_empty_bytes, 0, 0, 0, amqp_empty_table);
  require_ok(amqp_get_rpc_reply(conn), "basic.consume");
  amqp_bytes_free(queue);
}

static void end_one(amqp_connection_state_t conn, enum Ending ending) {
  const int socket = amqp_get_sockfd(conn);
  if (ending == kPolite) {
    require_ok(amqp_connection_close(conn, AMQP_REPLY_SUCCESS), "connection.close");
  } else if (ending == kReset) {
    const char half_a_frame[] = {1, 0, 1, 0, 0, 0, 40, 0, 60};
    if (send(socket, half_a_frame, sizeof half_a_frame, 0) != (ssize_t)sizeof half_a_frame) {
      give_up("send");
    }
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    if (setsockopt(socket, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once) != 0) {
      give_up("SO_LINGER");
    }
  }
  require_status(amqp_destroy_connection(conn), "close of the socket");
}

static const char* environment(const char* name, const char* otherwise) {
  const char* value = getenv(name);
  return value != NULL ? value : otherwise;
}

int main(int argc, char** argv) {
  enum { kAtOnceMax = 500 };
  const int total = argc > 1 ? atoi(argv[1]) : 1000;
  const int at_once = argc > 2 ? atoi(argv[2]) : 50;
  if (total < 1 || at_once < 1 || at_once > kAtOnceMax) give_up("usage: churn [total] [at once]");
  const struct Broker broker = {environment("AMQP_HOST", "127.0.0.1"),
                                atoi(environment("AMQP_PORT", "5672")),
                                environment("AMQP_USER", "guest"),
                                environment("AMQP_PASSWORD", "guest"),
                                environment("AMQP_VHOST", "/")};
  int endings[kEndingCount] = {0};
  for (int done = 0; done < total;) {
    amqp_connection_state_t open[kAtOnceMax];
    int count = 0;
    for (; count < at_once && done + count < total; ++count) {
      open[count] = open_one(&broker);
      use_one(open[count]);
    }
    for (int i = 0; i < count; ++i, ++done) {
      const enum Ending ending = (enum Ending)(done % kEndingCount);
      end_one(open[i], ending);
      ++endings[ending];
    }
  }
  printf("ok churn: %d connections, %d at once: %d closed, %d dropped, %d reset\n", total, at_once,
         endings[kPolite], endings[kDropped], endings[kReset]);
  return 0;
}
