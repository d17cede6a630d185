// SPDX-License-Identifier: Apache-2.0
//
// amqp_script HOST PORT [options] FILE...      runs scripts against a broker that is there
// amqp_script --broker PATH [options] FILE...  starts Harrier itself on a free port
// Exit code 0: everything holds or differs as expected; 1: something does not; 2: bad usage or a
// script with errors.
#include <iostream>
#include <memory>

#include <CLI/CLI.hpp>

#include "tests/scripts/runner_broker.hpp"
#include "tests/scripts/runner_suite.hpp"
#include "tests/scripts/script_grammar.hpp"

namespace {

using namespace harrier::scripts;

struct Options {
  std::vector<std::string> words;
  std::string broker;
  std::vector<std::string> broker_options;
  unsigned shards = 0;
  unsigned jobs = 4;
  unsigned timeout_s = 5;
  bool differences = false;
  bool list = false;
  Target target;
};

void define(CLI::App& app, Options& options) {
  app.add_option("words", options.words,
                 "HOST PORT FILE..., or FILE... with --broker; folders are searched for *.amqp")
      ->required();
  app.add_option("--broker", options.broker, "start this harrier program on a free port")
      ->check(CLI::ExistingFile);
  app.add_option("--broker-option", options.broker_options,
                 "one more word for its command line (repeatable)");
  app.add_option("--shards", options.shards, "its number of shards");
  app.add_option("--product", options.target.product, "what the broker is; asked for if not given")
      ->check(CLI::IsMember({"harrier", "rabbitmq"}));
  app.add_option("--user", options.target.user, "user")->capture_default_str();
  app.add_option("--password", options.target.password, "password")->capture_default_str();
  app.add_option("--jobs", options.jobs, "scripts that run at the same time")
      ->capture_default_str();
  app.add_option("--timeout", options.timeout_s, "seconds to wait for anything expected")
      ->capture_default_str();
  app.add_flag("--verbose", options.target.verbose,
               "show what happened where a difference was expected");
  app.add_flag("--differences", options.differences,
               "print the table of expected differences; runs nothing");
  app.add_flag("--list", options.list, "print the scripts and what they show; runs nothing");
}

int run(Options& options) {
  options.target.timeout = std::chrono::seconds(options.timeout_s);
  const bool alone = options.differences || options.list || !options.broker.empty();
  std::vector<std::string> paths = options.words;
  if (!alone) {
    if (paths.size() < 3)
      throw ScriptError(
          "usage: amqp_script HOST PORT FILE..., or amqp_script --broker PATH FILE...");
    options.target.host = paths[0];
    options.target.port = static_cast<std::uint16_t>(std::stoul(paths[1]));
    paths.erase(paths.begin(), paths.begin() + 2);
  }
  const std::vector<Script> scripts = load_scripts(paths);
  if (scripts.empty()) throw ScriptError("no scripts found");
  if (options.list) return print_list(scripts, std::cout), 0;
  if (options.differences) return print_differences(scripts, std::cout), 0;

  std::unique_ptr<BrokerProcess> broker;
  if (!options.broker.empty()) {
    broker =
        std::make_unique<BrokerProcess>(options.broker, options.shards, options.broker_options);
    options.target.port = broker->port();
    if (options.target.product.empty()) options.target.product = "harrier";
  }
  if (options.target.product.empty()) options.target.product = probe_product(options.target);

  SuiteResult result = run_suite(scripts, options.target, options.jobs, std::cout);
  if (broker) {
    if (const std::string text = broker->stop(); !text.empty()) {
      ++result.failed;
      std::cout << "FAIL " << text << '\n';
    }
    constexpr std::size_t kShown = 4000;
    const std::string printed = broker->output();
    if (result.failed > 0) {
      std::cout << "the broker printed (end):\n"
                << printed.substr(printed.size() - std::min(printed.size(), kShown));
    }
  }
  std::cout << scripts.size() << " scripts against " << options.target.product << ": "
            << result.passed << " hold, " << result.failed << " fail, " << result.different
            << " differ as expected or do not apply\n";
  return result.failed == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Runs .amqp scripts: readable AMQP 0-9-1 dialogues, checked step by step.");
  Options options;
  define(app, options);
  CLI11_PARSE(app, argc, argv);
  try {
    return run(options);
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 2;
  }
}
