// SPDX-License-Identifier: Apache-2.0
#include "broker/cli/cli.hpp"

#include <exception>
#include <optional>
#include <vector>

#include <CLI/CLI.hpp>

#include "broker/cli/bench_command.hpp"
#include "broker/cli/store_commands.hpp"

namespace harrier::broker {
namespace {

// The crash test asks whether it may choose where the process dies.
#ifdef HARRIER_CRASH_POINTS
constexpr std::string_view kBuildNote = " (with crash points)";
#else
constexpr std::string_view kBuildNote;
#endif

constexpr const char* kExamples = R"(Examples:
  harrier serve                                   on 127.0.0.1:5672, data in ./harrier-data
  harrier serve --listen 0.0.0.0:5672 --listen '[::]:5672' --data /var/lib/harrier
  harrier serve --config harrier.toml --set limits.message_max=64MiB
  harrier serve --definitions rabbitmq.json       with users, queues, policies of another broker
  harrier definitions check rabbitmq.json         is it right, and what is in it?
  harrier config > harrier.toml                   every key with its default
  harrier bench run --size 16                     load on a running broker
  harrier inspect ./harrier-data --verify         what a stopped broker's directory holds
  harrier backup ./harrier-data ./copy            of a running or stopped broker
  harrier compact ./harrier-data                  gives unused space back

Exit codes: 0 ended as asked, 1 internal error, 2 command line or configuration,
  3 data directory not usable, 4 cannot listen; of bench: 5 a check failed, 6 no result.)";

constexpr const char* kServeExamples = R"(A client connects as guest/guest, from this machine:
  amqp://guest:guest@localhost:5672/

SIGTERM or Ctrl-C closes the connections and ends; a second one ends at once. SIGHUP imports the
definitions file again.)";

// What was given on the command line; unset means: as in the file.
struct Given {
  std::optional<std::string> config_file;
  std::optional<std::string> data;
  std::vector<std::string> listen;
  std::optional<std::int64_t> shards;
  std::optional<std::string> log_level;
  std::optional<std::string> definitions;
  bool dry_run = false;
  bool compat_rabbitmq = false;
  std::vector<std::string> settings;
  bool markdown = false;
};

void add_config_options(CLI::App& command, Given& given) {
  command.add_option("-c,--config", given.config_file, "configuration, TOML")->type_name("FILE");
  command
      .add_option("-s,--set", given.settings,
                  "one key of the configuration, e.g. limits.frame_max=64KiB (repeatable)")
      ->type_name("KEY=VALUE")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

void add_serve_options(CLI::App& serve, Given& given) {
  add_config_options(serve, given);
  serve.add_option("-d,--data", given.data, "where to keep data (./harrier-data)")
      ->type_name("DIR");
  serve
      .add_option("-l,--listen", given.listen,
                  "where clients connect (127.0.0.1:5672); repeatable; port 0: any free one")
      ->type_name("ADDR:PORT")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  serve.add_option("--shards", given.shards, "threads; 0: one for every two cores (0)")
      ->type_name("N");
  serve.add_option("--log-level", given.log_level, "trace, debug, info, warn, error or off (info)")
      ->type_name("LEVEL");
  serve
      .add_option("--definitions", given.definitions,
                  "vhosts, users, policies, queues, ... as RabbitMQ and LavinMQ export them (JSON)")
      ->type_name("FILE");
  serve.add_flag("--dry-run", given.dry_run,
                 "only says what importing the definitions would change");
  serve.add_flag("--compat-rabbitmq", given.compat_rabbitmq,
                 "tell clients that this is RabbitMQ 4.2.0, for tools that insist on it");
}

// An option as the key that it stands for; mistakes are told in the option's name.
void apply_option(std::string_view option, std::string_view key, const ConfigValue& value,
                  Config& config, ConfigErrors& errors) {
  for (const ConfigKey& entry : config_keys()) {
    if (entry.name != key) continue;
    try {
      entry.set(config, value);
    } catch (const BadConfigValue& bad) {
      errors.push_back(std::string(option) + ": " + bad.text + " (" + entry.range + ")");
    }
  }
}

// The defaults, then the file, then --set, then the options with a name of their own.
ConfigErrors merge(const Given& given, Config& config) {
  ConfigErrors errors;
  if (given.config_file) errors = read_config_file(*given.config_file, config);
  for (const std::string& setting : given.settings) {
    for (auto& error : apply_setting(setting, config)) errors.push_back(std::move(error));
  }
  if (given.data) apply_option("--data", "data", *given.data, config, errors);
  if (!given.listen.empty()) apply_option("--listen", "listen", given.listen, config, errors);
  if (given.shards) apply_option("--shards", "shards", *given.shards, config, errors);
  if (given.log_level) apply_option("--log-level", "log.level", *given.log_level, config, errors);
  if (given.definitions)
    apply_option("--definitions", "definitions", *given.definitions, config, errors);
  if (given.dry_run && config.definitions.empty())
    errors.emplace_back("--dry-run: there are no definitions to look at; give --definitions FILE");
  if (given.compat_rabbitmq) config.report_as_rabbitmq();
  return errors;
}

int to_int(ExitCode code) { return static_cast<int>(code); }

int run_serve(const Config& config, Task task, std::ostream& err, const ServeFunction& serve) {
  try {
    return to_int(serve(config, task));
  } catch (const StartError& error) {
    err << "harrier: " << error.what() << '\n';
    return to_int(error.code());
  } catch (const std::exception& error) {
    err << "harrier: internal error: " << error.what() << '\n';
    return to_int(ExitCode::Internal);
  }
}

struct DefinitionsCommands {
  CLI::App* check = nullptr;
  CLI::App* import = nullptr;

  bool parsed() const { return check->parsed() || import->parsed(); }
  Task task(const Given& given) const {
    if (check->parsed()) return Task::CheckDefinitions;
    return given.dry_run ? Task::TellDefinitions : Task::ImportDefinitions;
  }
};

DefinitionsCommands add_definitions_commands(CLI::App& app, Given& given) {
  DefinitionsCommands commands;
  CLI::App* const parent = app.add_subcommand(
      "definitions", "Users, policies, queues, ... of a file that another broker exported.");
  parent->require_subcommand(1);
  commands.check = parent->add_subcommand("check", "Tells what is in the file, and what is wrong.");
  commands.import =
      parent->add_subcommand("import", "Imports the file into the directory of a stopped broker.");
  for (CLI::App* const command : {commands.check, commands.import}) {
    command->add_option("FILE", given.definitions, "the definitions, JSON")->required();
  }
  add_config_options(*commands.import, given);
  commands.import->add_option("-d,--data", given.data, "where its data is (./harrier-data)")
      ->type_name("DIR");
  commands.import->add_flag("--dry-run", given.dry_run, "only says what that would change");
  return commands;
}

template <class Command>
int run_command(Command& command, std::ostream& out, std::ostream& err) {
  try {
    return to_int(command.run(out, err));
  } catch (const std::exception& error) {
    err << "harrier: internal error: " << error.what() << '\n';
    return to_int(ExitCode::Internal);
  }
}

}  // namespace

int run_cli(int argc, const char* const* argv, std::ostream& out, std::ostream& err,
            const ServeFunction& serve) {
  Given given;
  CLI::App app("Harrier, an AMQP 0-9-1 message broker", "harrier");
  app.footer(kExamples);
  app.set_version_flag("--version", "harrier " + std::string(kVersion).append(kBuildNote));
  app.require_subcommand(1);
  CLI::App* const serve_command = app.add_subcommand("serve", "Runs the broker.");
  serve_command->footer(kServeExamples);
  add_serve_options(*serve_command, given);
  const DefinitionsCommands definitions = add_definitions_commands(app, given);
  BenchCommand bench_command(app);
  StoreCommands store_commands(app);
  CLI::App* const config_command = app.add_subcommand(
      "config",
      "Prints the configuration as TOML: the defaults, or what --config and --set make of it.");
  add_config_options(*config_command, given);
  config_command->add_flag("--markdown", given.markdown, "prints docs/configuration.md instead");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // CLI11 throws for --help and --version too; app.exit() prints what belongs to each.
    return app.exit(error, out, err) == 0 ? to_int(ExitCode::Ok) : to_int(ExitCode::Usage);
  }

  if (bench_command.parsed()) return run_command(bench_command, out, err);
  if (store_commands.parsed()) return run_command(store_commands, out, err);
  Config config;
  if (const ConfigErrors errors = merge(given, config); !errors.empty()) {
    for (const std::string& error : errors) err << "harrier: " << error << '\n';
    return to_int(ExitCode::Usage);
  }
  if (serve_command->parsed()) {
    return run_serve(config, given.dry_run ? Task::TellDefinitions : Task::Serve, err, serve);
  }
  if (definitions.parsed()) return run_serve(config, definitions.task(given), err, serve);
  out << (given.markdown ? print_markdown() : print_toml(config));
  return to_int(ExitCode::Ok);
}

}  // namespace harrier::broker
