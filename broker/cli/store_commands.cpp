// SPDX-License-Identifier: Apache-2.0
#include "broker/cli/store_commands.hpp"

#include <string>

#include <CLI/CLI.hpp>

#include "broker/cli/inspect_output.hpp"
#include "persistence/backup.hpp"
#include "persistence/compact.hpp"
#include "persistence/inspect.hpp"

namespace harrier::broker {
namespace {

using persistence::Status;

constexpr unsigned kPatienceMaxS = 86'400;

ExitCode report(const Status& status, const char* command, std::ostream& err) {
  if (status.ok()) return ExitCode::Ok;
  err << "harrier " << command << ": " << status.error() << '\n';
  return ExitCode::DataDirectory;
}

}  // namespace

struct StoreCommands::Options {
  CLI::App* inspect = nullptr;
  CLI::App* backup = nullptr;
  CLI::App* compact = nullptr;
  std::string directory;
  bool verify = false;
  bool json = false;
  persistence::BackupOptions copy;

  ExitCode run_inspect(std::ostream& out, std::ostream& err) const;
  ExitCode run_backup(std::ostream& out, std::ostream& err);
  ExitCode run_compact(std::ostream& out, std::ostream& err) const;
};

ExitCode StoreCommands::Options::run_inspect(std::ostream& out, std::ostream& err) const {
  persistence::Inspection found;
  const Status status = persistence::inspect(directory, verify, found);
  if (!status.ok()) return report(status, "inspect", err);
  if (json) {
    print_json(directory, found, out);
  } else {
    print_text(directory, found, out);
  }
  for (const std::string& damage : found.damage) err << "harrier inspect: " << damage << '\n';
  return found.damage.empty() ? ExitCode::Ok : ExitCode::DataDirectory;
}

ExitCode StoreCommands::Options::run_backup(std::ostream& out, std::ostream& err) {
  copy.directory = directory;
  copy.verify = verify;
  persistence::BackupResult result;
  const Status status = persistence::backup(copy, result);
  if (!status.ok()) return report(status, "backup", err);
  out << copy.target << ": " << size_text(result.bytes) << " of a "
      << (result.running ? "running" : "stopped") << " broker, up to "
      << position_text(result.journal);
  if (result.running) out << "; confirmed at the start: " << position_text(result.confirmed);
  out << (verify ? "; verified\n" : "\n");
  return ExitCode::Ok;
}

ExitCode StoreCommands::Options::run_compact(std::ostream& out, std::ostream& err) const {
  persistence::CompactPlan plan;
  persistence::CompactSizes after;
  const auto planned = [&](const persistence::CompactPlan& made) {
    plan = made;
    out << "before: store.mdb " << size_text(plan.image_bytes) << ", journal "
        << size_text(plan.journal_bytes) << "; needs up to " << size_text(plan.needed_bytes)
        << " of free space, and there are " << size_text(plan.free_bytes) << '\n'
        << std::flush;
  };
  const Status status = persistence::compact(directory, planned, after);
  if (!status.ok()) return report(status, "compact", err);
  out << "after:  store.mdb " << size_text(after.image_bytes) << ", journal "
      << size_text(after.journal_bytes) << "; verified\n";
  return ExitCode::Ok;
}

StoreCommands::StoreCommands(CLI::App& app) : options_(std::make_unique<Options>()) {
  Options& given = *options_;
  const auto add = [&](const char* name, const char* text) {
    CLI::App* const command = app.add_subcommand(name, text);
    command->add_option("DIR", given.directory, "data directory of the broker")->required();
    return command;
  };
  given.inspect = add("inspect", "Tells what the directory of a stopped broker holds.");
  given.inspect->add_flag("--verify", given.verify, "reads and compares everything");
  given.inspect->add_flag("--json", given.json, "for programs");
  given.inspect->footer("Changes nothing. Exit codes: 0 sound, 3 damaged or not usable.");

  given.backup = add("backup", "Copies the directory of a running or stopped broker.");
  given.backup->add_option("TARGET", given.copy.target, "directory to be made")->required();
  given.backup->add_flag("--verify", given.verify, "reads the whole copy and compares");
  given.backup
      ->add_option("--timeout", given.copy.patience_s,
                   "how long to wait for the running broker's next checkpoint (60)")
      ->type_name("SECONDS")
      ->check(CLI::Range(0U, kPatienceMaxS));
  given.backup->footer(
      "All that was confirmed before the start of the command is in the copy, which is a data\n"
      "directory: harrier serve --data TARGET.");

  given.compact =
      add("compact", "Gives the space that a stopped broker's store does not use back.");
  given.compact->footer("Needs free space for the copy that it makes; says how much.");
}

StoreCommands::~StoreCommands() = default;

bool StoreCommands::parsed() const {
  return options_->inspect->parsed() || options_->backup->parsed() || options_->compact->parsed();
}

ExitCode StoreCommands::run(std::ostream& out, std::ostream& err) {
  if (options_->inspect->parsed()) return options_->run_inspect(out, err);
  if (options_->backup->parsed()) return options_->run_backup(out, err);
  return options_->run_compact(out, err);
}

}  // namespace harrier::broker
