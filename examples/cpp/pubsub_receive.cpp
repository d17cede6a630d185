// SPDX-License-Identifier: Apache-2.0
//
// Publish/subscribe: one subscriber. It sees what is published while it runs.
#include <iostream>
#include <string>

#include "examples/cpp/example.hpp"

using namespace example;

int main() try {
  const Connection connection;
  amqp_exchange_declare(connection, kChannel, bytes("news"), bytes("fanout"), 0, 0, 0, 0,
                        amqp_empty_table);
  connection.check("declare the exchange");

  // A queue of our own: the broker picks the name and deletes it with this connection.
  const auto* const declared =
      amqp_queue_declare(connection, kChannel, bytes(""), 0, 0, 1, 0, amqp_empty_table);
  connection.check("declare the queue");
  const std::string queue = text(declared->queue);

  amqp_queue_bind(connection, kChannel, bytes(queue), bytes("news"), bytes(""), amqp_empty_table);
  connection.check("bind the queue");

  amqp_basic_consume(connection, kChannel, bytes(queue), bytes(""), 0, 1, 1, amqp_empty_table);
  connection.check("consume");
  std::cout << "Waiting for news. To exit press CTRL+C" << std::endl;
  while (true) {
    const Delivery delivery(connection);
    std::cout << "Received '" << delivery.body() << "'" << std::endl;
  }
} catch (const std::exception& error) {
  std::cerr << error.what() << std::endl;
  return 1;
}
