// SPDX-License-Identifier: Apache-2.0
//
// Hello: prints the messages of a queue as they come.
#include <iostream>

#include "examples/cpp/example.hpp"

using namespace example;

int main() try {
  const Connection connection;
  amqp_queue_declare(connection, kChannel, bytes("hello"), 0, 0, 0, 0, amqp_empty_table);
  connection.check("declare the queue");

  // The flags: no_local, no_ack (a message is done once it was sent to us), exclusive.
  amqp_basic_consume(connection, kChannel, bytes("hello"), bytes(""), 0, 1, 0, amqp_empty_table);
  connection.check("consume");
  std::cout << "Waiting for messages. To exit press CTRL+C" << std::endl;
  while (true) {
    const Delivery delivery(connection);
    std::cout << "Received '" << delivery.body() << "'" << std::endl;
  }
} catch (const std::exception& error) {
  std::cerr << error.what() << std::endl;
  return 1;
}
