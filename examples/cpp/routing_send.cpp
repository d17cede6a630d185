// SPDX-License-Identifier: Apache-2.0
//
// Routing: log lines with a severity, for those who asked for that severity.
//
//   routing_send [SEVERITY MESSAGE]
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "examples/cpp/example.hpp"

using namespace example;

int main(int argc, char** argv) try {
  std::vector<std::pair<std::string, std::string>> lines{
      {"info", "Started"}, {"warning", "Disk almost full"}, {"error", "Disk full"}};
  if (argc > 2) lines = {{argv[1], argv[2]}};

  const Connection connection;

  // A direct exchange delivers to the queues bound with exactly the message's routing key.
  amqp_exchange_declare(connection, kChannel, bytes("logs"), bytes("direct"), 0, 0, 0, 0,
                        amqp_empty_table);
  connection.check("declare the exchange");

  for (const auto& [severity, message] : lines) {
    check_status(amqp_basic_publish(connection, kChannel, bytes("logs"), bytes(severity), 0, 0,
                                    nullptr, bytes(message)),
                 "publish");
    std::cout << "Sent " << severity << ": " << message << std::endl;
  }
} catch (const std::exception& error) {
  std::cerr << error.what() << std::endl;
  return 1;
}
