// SPDX-License-Identifier: Apache-2.0
//
// The definitions file: read, checked, imported at the start and again on SIGHUP, or only told of.
#include <fstream>
#include <future>
#include <iostream>
#include <iterator>

#include <spdlog/spdlog.h>

#include "broker/core/control.hpp"
#include "broker/data_directory.hpp"
#include "broker/definitions/definitions_json.hpp"
#include "broker/net/listener.hpp"
#include "broker/runtime/shard.hpp"
#include "broker/server.hpp"
#include "persistence/message_store.hpp"

namespace harrier::broker {

namespace {

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (!file.is_open() || file.bad())
    throw StartError(ExitCode::Usage, "cannot read the definitions file '" + path + "'");
  return text;
}

[[noreturn]] void refuse(const std::string& path, const std::vector<std::string>& errors) {
  std::string text = "nothing of the definitions in '" + path + "' is imported:";
  for (const std::string& error : errors) text += "\n  " + path + ": " + error;
  throw StartError(ExitCode::Usage, text);
}

std::string summary(const ImportReport& report) {
  return std::to_string(report.created) + " created, " + std::to_string(report.updated) +
         " updated, " + std::to_string(report.unchanged) + " unchanged";
}

void log_report(const std::string& path, const ImportReport& report) {
  for (const std::string& change : report.changes) spdlog::info("definitions: {}", change);
  for (const std::string& warning : report.warnings) spdlog::warn("definitions: {}", warning);
  spdlog::info("definitions of {}: {}", path, summary(report));
}

void print_report(const std::string& path, const ImportReport& report) {
  for (const std::string& change : report.changes) std::cout << "would have " << change << '\n';
  for (const std::string& warning : report.warnings) std::cout << "note: " << warning << '\n';
  std::cout << path << ": " << summary(report) << "; nothing was changed\n";
}

}  // namespace

Server::DefinitionsPtr Server::read_definitions_file() const {
  ReadDefinitions read = read_definitions(read_file(config_.definitions));
  if (!read.errors.empty()) refuse(config_.definitions, read.errors);
  for (const std::string& warning : read.warnings)
    spdlog::warn("definitions of {}: {}", config_.definitions, warning);
  return std::make_shared<const Definitions>(std::move(read.definitions));
}

// Beside a broker that has nothing yet.
ExitCode Server::check_definitions() {
  const DefinitionsPtr definitions = read_definitions_file();
  make_shards();
  open_store();
  restore();
  const ImportReport report =
      import_definitions(*shards_.front()->engine().control(), *definitions, true);
  if (!report.errors.empty()) refuse(config_.definitions, report.errors);
  print_report(config_.definitions, report);
  return ExitCode::Ok;
}

ExitCode Server::tell_definitions() {
  data_ = std::make_unique<DataDirectory>(config_.data);
  return check_definitions();
}

// No thread runs yet, so that this one may ask; what is refused ends the start.
void Server::require_importable(const Definitions& definitions) {
  const ImportReport report =
      import_definitions(*shards_.front()->engine().control(), definitions, true);
  if (!report.errors.empty()) refuse(config_.definitions, report.errors);
}

ImportReport Server::import(DefinitionsPtr definitions) {
  std::promise<ImportReport> made;
  std::future<ImportReport> report = made.get_future();
  ImportDefinitions request{std::move(definitions), false,
                            [&made](const ImportReport& done) { made.set_value(done); }};
  Mailbox::Batch mail{kControlShard, {}};
  mail.messages.emplace_back(std::move(request));
  shards_.front()->post(std::move(mail));
  ImportReport done = report.get();
  if (done.errors.empty()) log_report(config_.definitions, done);
  return done;
}

// The broker goes on with what it has if the file is not right.
void Server::import_again() {
  if (config_.definitions.empty()) {
    spdlog::info("SIGHUP received: there is no definitions file to import again");
    return;
  }
  try {
    const ImportReport report = import(read_definitions_file());
    if (!report.errors.empty()) refuse(config_.definitions, report.errors);
  } catch (const StartError& error) {
    spdlog::error("{}", error.what());
  }
}

}  // namespace harrier::broker
