// SPDX-License-Identifier: Apache-2.0
//
// Routing: prints the log lines of the given severities.
//
//   routing_receive SEVERITY...          e.g. warning error
#include <iostream>
#include <string>

#include "examples/cpp/example.hpp"

using namespace example;

int main(int argc, char** argv) try {
  if (argc < 2) {
    std::cerr << "usage: " << argv[0] << " SEVERITY..." << std::endl;
    return 1;
  }
  const Connection connection;
  amqp_exchange_declare(connection, kChannel, bytes("logs"), bytes("direct"), 0, 0, 0, 0,
                        amqp_empty_table);
  connection.check("declare the exchange");
  const auto* const declared =
      amqp_queue_declare(connection, kChannel, bytes(""), 0, 0, 1, 0, amqp_empty_table);
  connection.check("declare the queue");
  const std::string queue = text(declared->queue);

  // One queue may be bound many times, here once per severity.
  for (int i = 1; i < argc; ++i) {
    amqp_queue_bind(connection, kChannel, bytes(queue), bytes("logs"), bytes(argv[i]),
                    amqp_empty_table);
    connection.check("bind the queue");
  }

  amqp_basic_consume(connection, kChannel, bytes(queue), bytes(""), 0, 1, 1, amqp_empty_table);
  connection.check("consume");
  std::cout << "Waiting for logs. To exit press CTRL+C" << std::endl;
  while (true) {
    const Delivery delivery(connection);
    std::cout << "Received " << delivery.routing_key() << ": " << delivery.body() << std::endl;
  }
} catch (const std::exception& error) {
  std::cerr << error.what() << std::endl;
  return 1;
}
