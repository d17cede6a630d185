// SPDX-License-Identifier: Apache-2.0
//
// crash_test --broker BIN [--rounds N] [--seed S] [--shards N] [--data DIR] [--set KEY=VALUE]...
//            [--spare 1] [--expect-failure 1]
//
// Loads a real broker, kills it, restarts it, and compares what comes back with what it promised.
// With --spare the
// broker lives on and only the clients go: the oracle must be content with that. Exit code 1 and
// the kept data directory say that it broke its word; 2: the test could not run.
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <iostream>
#include <random>
#include <string_view>

#include "tests/crash/round.hpp"

namespace {

using harrier::crash_tests::CrashTest;
using harrier::crash_tests::Options;
using harrier::crash_tests::Violation;

template <class Number>
Number number_of(std::string_view name, std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    throw std::invalid_argument(std::string(name) + " wants a number");
  }
  return value;
}

Options read_options(int argc, char** argv) {
  Options options;
  options.seed = std::random_device()();
  for (int i = 1; i < argc; i += 2) {
    const std::string_view name = argv[i];
    if (i + 1 >= argc) throw std::invalid_argument(std::string(name) + " wants a value");
    const std::string value = argv[i + 1];
    if (name == "--broker") {
      options.program = value;
    } else if (name == "--rounds") {
      options.rounds = number_of<std::uint32_t>(name, value);
    } else if (name == "--seed") {
      options.seed = number_of<std::uint64_t>(name, value);
    } else if (name == "--shards") {
      options.shards = number_of<std::uint32_t>(name, value);
    } else if (name == "--data") {
      options.data = value;
    } else if (name == "--spare") {
      options.spare = number_of<int>(name, value) != 0;
    } else if (name == "--expect-failure") {
      options.expect_failure = number_of<int>(name, value) != 0;
    } else if (name == "--set") {
      options.settings.insert(options.settings.end(), {"--set", value});
    } else {
      throw std::invalid_argument("unknown option " + std::string(name));
    }
  }
  if (options.program.empty()) throw std::invalid_argument("--broker BIN is missing");
  options.settings.insert(options.settings.end(), {"--shards", std::to_string(options.shards)});
  return options;
}

std::string temporary_folder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "harrier-crash-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary folder");
  return pattern;
}

int run(Options options) {
  const bool own_folder = options.data.empty();
  if (own_folder) options.data = temporary_folder();
  std::cout << "seed " << options.seed << ", data in " << options.data << "\n" << std::flush;
  CrashTest test(options);
  try {
    test.run();
  } catch (const std::exception& error) {
    std::cout << "FAILED: " << error.what() << "\n  seed " << options.seed << ", round "
              << test.round() << "; data kept in " << options.data
              << "\n  so far: " << test.summary() << "\n--- end of the broker's log\n"
              << test.log();
    const bool expected =
        options.expect_failure && dynamic_cast<const Violation*>(&error) != nullptr;
    if (expected && own_folder) std::filesystem::remove_all(options.data);
    return expected ? 0 : 1;
  }
  std::cout << "all promises kept: " << test.summary() << "\n";
  if (own_folder) std::filesystem::remove_all(options.data);
  return options.expect_failure ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  try {
    return run(read_options(argc, argv));
  } catch (const std::exception& error) {
    std::cerr << "crash_test: " << error.what() << "\n";
    return 2;
  }
}
