// SPDX-License-Identifier: Apache-2.0
//
// Work queue: one worker. Start several and see them share the work.
#include <iostream>
#include <string>

#include "examples/cpp/example.hpp"

using namespace example;

// "2 * 2 * 3"
std::string prime_factors(unsigned long long number) {
  std::string factors;
  for (unsigned long long divisor = 2; number > 1; ++divisor) {
    if (divisor * divisor > number) divisor = number;
    for (; number % divisor == 0; number /= divisor) {
      factors += (factors.empty() ? "" : " * ") + std::to_string(divisor);
    }
  }
  return factors;
}

int main() try {
  const Connection connection;
  amqp_queue_declare(connection, kChannel, bytes("tasks"), 0, 1, 0, 0, amqp_empty_table);
  connection.check("declare the queue");

  // One task at a time: the next one goes to whichever worker is free first.
  amqp_basic_qos(connection, kChannel, 0, 1, 0);
  connection.check("set the prefetch");

  amqp_basic_consume(connection, kChannel, bytes("tasks"), bytes(""), 0, 0, 0, amqp_empty_table);
  connection.check("consume");
  std::cout << "Waiting for tasks. To exit press CTRL+C" << std::endl;
  while (true) {
    const Delivery task(connection);
    const std::string number = task.body();
    std::cout << number << " = " << prime_factors(std::stoull(number)) << std::endl;
    // Only now is the task done. If this worker dies before, another one gets it.
    check_status(amqp_basic_ack(connection, kChannel, task.tag(), 0), "ack");
  }
} catch (const std::exception& error) {
  std::cerr << error.what() << std::endl;
  return 1;
}
