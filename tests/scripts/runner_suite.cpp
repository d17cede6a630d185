// SPDX-License-Identifier: Apache-2.0
#include "tests/scripts/runner_suite.hpp"

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <optional>
#include <ostream>
#include <sstream>
#include <thread>

#include "tests/scripts/runner_script.hpp"
#include "tests/scripts/script_grammar.hpp"

namespace harrier::scripts {
namespace {

constexpr const char* kClaims[] = {"only", "differs", "varies"};

struct Claim {
  std::string product;
  std::string reason;
};

// only PRODUCT "reason": not for others. differs PRODUCT "reason": does not hold there. varies
// PRODUCT "reason": may or may not hold there.
std::optional<Claim> claim_of(const Script& script, std::string_view directive) {
  for (const Line& line : script.lines) {
    const auto* found = std::get_if<Directive>(&line.of);
    if (found == nullptr || found->name != directive) continue;
    Variables none("");
    const auto word = [&](std::size_t index) {
      if (index < found->arguments.size()) return text_of(found->arguments[index].value, none);
      throw ScriptError(script.path + ":" + std::to_string(line.number) + ": " +
                        std::string(directive) + " needs a product and a reason");
    };
    return Claim{word(0), word(1)};
  }
  return std::nullopt;
}

void check_claims(const Script& script) {
  for (const char* directive : kClaims) {
    const auto claim = claim_of(script, directive);
    if (claim && claim->product != "harrier" && claim->product != "rabbitmq") {
      throw ScriptError(script.path + ": " + directive + " knows harrier and rabbitmq, not " +
                        claim->product);
    }
  }
}

// The first line of a failure says where; for an expected difference that is enough.
std::string place_of(const Outcome& outcome) {
  return outcome.failure.substr(0, outcome.failure.find('\n'));
}

class Report {
 public:
  explicit Report(std::ostream& out) : out_(out) {}
  void add(const char* verdict, const std::string& text, std::size_t SuiteResult::*counter) {
    const std::lock_guard lock(mutex_);
    out_ << verdict << ' ' << text << '\n' << std::flush;
    ++(result_.*counter);
  }
  SuiteResult result() const { return result_; }

 private:
  std::ostream& out_;
  std::mutex mutex_;
  SuiteResult result_;
};

void run_one(const Script& script, const Target& target, Report& report) {
  const auto only = claim_of(script, "only");
  if (only && only->product != target.product) {
    return report.add("SKIP", script.path + ": " + only->reason, &SuiteResult::different);
  }
  const auto differs = claim_of(script, "differs");
  const auto varies = claim_of(script, "varies");
  const bool different = differs && differs->product == target.product;
  const bool may_differ = varies && varies->product == target.product;
  const Outcome outcome = ScriptRun(script, target).run();
  if (outcome.ok && different) {
    const std::string text = script.path + ": holds, but claims to differ: " + differs->reason;
    return report.add("FAIL", text, &SuiteResult::failed);
  }
  if (outcome.ok) return report.add("OK  ", script.path + outcome.failure, &SuiteResult::passed);
  if (different || may_differ) {
    const std::string text = target.verbose ? outcome.failure : place_of(outcome);
    return report.add("DIFF", text + ": " + (different ? differs : varies)->reason,
                      &SuiteResult::different);
  }
  report.add("FAIL", outcome.failure, &SuiteResult::failed);
}

}  // namespace

std::vector<Script> load_scripts(const std::vector<std::string>& paths) {
  std::vector<std::string> files;
  for (const std::string& path : paths) {
    if (!std::filesystem::is_directory(path)) {
      files.push_back(path);
      continue;
    }
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path)) {
      if (entry.path().extension() == ".amqp") files.push_back(entry.path().string());
    }
  }
  std::sort(files.begin(), files.end());
  std::vector<Script> scripts;
  for (const std::string& file : files) {
    std::ifstream in(file, std::ios::binary);
    if (!in) throw ScriptError("cannot read " + file);
    std::stringstream text;
    text << in.rdbuf();
    scripts.push_back(parse_script(text.str(), file));
    check_claims(scripts.back());
  }
  return scripts;
}

SuiteResult run_suite(const std::vector<Script>& scripts, const Target& target, unsigned jobs,
                      std::ostream& out) {
  Report report(out);
  std::atomic<std::size_t> next{0};
  const auto work = [&] {
    for (std::size_t at = next++; at < scripts.size(); at = next++)
      run_one(scripts[at], target, report);
  };
  std::vector<std::thread> workers;
  for (unsigned i = 1; i < jobs; ++i) workers.emplace_back(work);
  work();
  for (std::thread& worker : workers) worker.join();
  return report.result();
}

void print_differences(const std::vector<Script>& scripts, std::ostream& out) {
  out << "| script | items | RabbitMQ | what differs and why |\n|---|---|---|---|\n";
  for (const Script& script : scripts) {
    for (const char* directive : kClaims) {
      const auto claim = claim_of(script, directive);
      if (!claim) continue;
      const std::filesystem::path path(script.path);
      out << "| `" << (path.parent_path().filename() / path.filename()).string() << "` | ";
      for (const std::string& item : script.items)
        out << (&item == &script.items.front() ? "" : ", ") << item;
      const std::string_view kind = directive;
      out << " | "
          << (kind == "only"     ? "not run"
              : kind == "varies" ? "not always"
                                 : "differs")
          << " | " << claim->reason << " |\n";
    }
  }
}

void print_list(const std::vector<Script>& scripts, std::ostream& out) {
  for (const Script& script : scripts) {
    out << script.path << "  " << script.title << '\n';
  }
}

}  // namespace harrier::scripts
