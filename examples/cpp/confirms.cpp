// SPDX-License-Identifier: Apache-2.0
//
// Publisher confirms: the broker says for every message whether it has taken responsibility. Many
// are under way at once; answers carry the sequence number of the message, or of several.
#include <iostream>
#include <set>
#include <string>

#include "examples/cpp/example.hpp"

using namespace example;

// What the broker still owes an answer, by sequence number: messages are counted from 1.
using Unconfirmed = std::set<std::uint64_t>;

void publish(const Connection& connection, std::string_view queue, std::string_view message,
             Unconfirmed& unconfirmed, std::uint64_t sequence) {
  // mandatory = 1: a message that no queue takes comes back instead of being dropped.
  check_status(amqp_basic_publish(connection, kChannel, bytes(""), bytes(queue), 1, 0, nullptr,
                                  bytes(message)),
               "publish");
  unconfirmed.insert(sequence);
}

void print_returned(const Connection& connection, const amqp_basic_return_t& returned) {
  const std::string reason = text(returned.reply_text);
  amqp_message_t message;  // follows the return
  check_reply(amqp_read_message(connection, kChannel, &message, 0), "read a returned message");
  std::cout << "Returned: " << text(message.body) << " (" << reason << ")" << std::endl;
  amqp_destroy_message(&message);
}

// Takes one answer of the broker.
void settle(const Connection& connection, Unconfirmed& unconfirmed) {
  amqp_maybe_release_buffers(connection);  // what the previous answers occupied
  amqp_frame_t frame;
  check_status(amqp_simple_wait_frame(connection, &frame), "wait for a confirm");
  if (frame.frame_type != AMQP_FRAME_METHOD) return;
  const auto& method = frame.payload.method;
  if (method.id == AMQP_BASIC_RETURN_METHOD) {
    print_returned(connection, *static_cast<amqp_basic_return_t*>(method.decoded));
  } else if (method.id == AMQP_BASIC_ACK_METHOD) {
    const auto& ack = *static_cast<amqp_basic_ack_t*>(method.decoded);
    // multiple: this message and all before it.
    unconfirmed.erase(
        ack.multiple ? unconfirmed.begin() : unconfirmed.lower_bound(ack.delivery_tag),
        unconfirmed.upper_bound(ack.delivery_tag));
  } else {
    throw std::runtime_error("a message was refused, or the channel was closed");
  }
}

int main() try {
  const Connection connection;
  amqp_confirm_select(connection, kChannel);
  connection.check("ask for confirms");

  const auto* const declared =
      amqp_queue_declare(connection, kChannel, bytes(""), 0, 0, 1, 0, amqp_empty_table);
  connection.check("declare the queue");
  const std::string queue = text(declared->queue);

  constexpr std::uint64_t kMessages = 1000;
  Unconfirmed unconfirmed;
  for (std::uint64_t sequence = 1; sequence <= kMessages; ++sequence) {
    publish(connection, queue, "Message", unconfirmed, sequence);
  }
  while (!unconfirmed.empty()) settle(connection, unconfirmed);
  std::cout << "Confirmed: " << kMessages << " messages" << std::endl;

  publish(connection, "no.such.queue", "Lost?", unconfirmed, kMessages + 1);
  while (!unconfirmed.empty()) settle(connection, unconfirmed);
} catch (const std::exception& error) {
  std::cerr << error.what() << std::endl;
  return 1;
}
