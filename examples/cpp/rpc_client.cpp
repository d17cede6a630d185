// SPDX-License-Identifier: Apache-2.0
//
// RPC: asks the server for Fibonacci numbers.
//
//   rpc_client [N...]
#include <iostream>
#include <string>
#include <vector>

#include "examples/cpp/example.hpp"

using namespace example;

int main(int argc, char** argv) try {
  std::vector<std::string> numbers(argv + 1, argv + argc);
  if (numbers.empty()) numbers = {"1", "10", "50"};

  const Connection connection;

  // Answers come to a queue of our own; the correlation id says which request they belong to.
  const auto* const declared =
      amqp_queue_declare(connection, kChannel, bytes(""), 0, 0, 1, 0, amqp_empty_table);
  connection.check("declare the queue");
  const std::string replies = text(declared->queue);
  amqp_basic_consume(connection, kChannel, bytes(replies), bytes(""), 0, 1, 1, amqp_empty_table);
  connection.check("consume");

  for (const std::string& n : numbers) {
    const std::string request_id = "request " + n;
    amqp_basic_properties_t properties{};
    properties._flags = AMQP_BASIC_REPLY_TO_FLAG | AMQP_BASIC_CORRELATION_ID_FLAG;
    properties.reply_to = bytes(replies);
    properties.correlation_id = bytes(request_id);
    check_status(amqp_basic_publish(connection, kChannel, bytes(""), bytes("fibonacci"), 0, 0,
                                    &properties, bytes(n)),
                 "publish the request");
    while (true) {
      const Delivery reply(connection);
      if (text(reply.properties().correlation_id) != request_id) continue;
      std::cout << "fibonacci(" << n << ") = " << reply.body() << std::endl;
      break;
    }
  }
} catch (const std::exception& error) {
  std::cerr << error.what() << std::endl;
  return 1;
}
