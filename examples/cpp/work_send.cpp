// SPDX-License-Identifier: Apache-2.0
//
// Work queue: hands out numbers to factorise; each goes to one worker.
//
//   work_send [NUMBER...]
#include <iostream>
#include <string>
#include <vector>

#include "examples/cpp/example.hpp"

using namespace example;

int main(int argc, char** argv) try {
  std::vector<std::string> numbers(argv + 1, argv + argc);
  if (numbers.empty()) numbers = {"12", "97", "1001", "65536", "999999", "600851475143"};

  const Connection connection;

  // A durable queue with persistent messages: work is not lost when the broker restarts.
  amqp_queue_declare(connection, kChannel, bytes("tasks"), 0, 1, 0, 0, amqp_empty_table);
  connection.check("declare the queue");
  amqp_basic_properties_t persistent{};
  persistent._flags = AMQP_BASIC_DELIVERY_MODE_FLAG;
  persistent.delivery_mode = AMQP_DELIVERY_PERSISTENT;

  for (const std::string& number : numbers) {
    check_status(amqp_basic_publish(connection, kChannel, bytes(""), bytes("tasks"), 0, 0,
                                    &persistent, bytes(number)),
                 "publish");
    std::cout << "Sent " << number << std::endl;
  }
} catch (const std::exception& error) {
  std::cerr << error.what() << std::endl;
  return 1;
}
