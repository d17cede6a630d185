// SPDX-License-Identifier: Apache-2.0
#include "tests/scripts/runner_script.hpp"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <random>

#include "protocol/codec.hpp"

namespace harrier::scripts {
namespace {

constexpr std::size_t kTranscriptShown = 16;
constexpr std::chrono::milliseconds kCloseTimeout{2000};

// Short, and different for every run of a script on any machine that shares the broker.
std::string make_run_id() {
  static std::atomic<unsigned> counter{0};
  static const unsigned process = std::random_device{}();
  constexpr char kDigits[] = "0123456789abcdef";
  std::string id;
  for (int shift = 28; shift >= 0; shift -= 4) id += kDigits[(process >> shift) & 15];
  return id + "-" + std::to_string(counter++);
}

}  // namespace

ScriptRun::ScriptRun(const Script& script, const Target& target)
    : script_(script), target_(target), variables_(make_run_id()) {
  variables_.set("user", target.user);
  variables_.set("password", target.password);
}

Outcome ScriptRun::run() {
  Outcome outcome;
  try {
    run_lines(0, script_.lines.size());
    outcome.ok = true;
  } catch (
      const std::exception& error) {  // a StepError, or a broken regular expression in the script
    outcome.failure = script_.path;
    if (current_ != nullptr) {
      outcome.failure += ":" + std::to_string(current_->number) + "\n" + current_->source;
    }
    outcome.failure += "\n" + std::string(error.what()) + "\ntranscript:";
    const std::size_t shown = std::min(transcript_.size(), kTranscriptShown);
    for (auto line = transcript_.end() - static_cast<std::ptrdiff_t>(shown);
         line != transcript_.end(); ++line) {
      outcome.failure += "\n  " + *line;
    }
  }
  close_all();
  if (const std::string left = cleanup_.run(target_); !left.empty()) {
    outcome.failure += "\nwarning: not cleaned up: " + left;
  }
  return outcome;
}

void ScriptRun::run_lines(std::size_t begin, std::size_t end) {
  for (std::size_t at = begin; at < end;) {
    const Line& line = script_.lines[at];
    current_ = &line;
    if (const auto* step = std::get_if<Step>(&line.of)) {
      run_step(*step);
      ++at;
      continue;
    }
    const auto& directive = std::get<Directive>(line.of);
    if (directive.name == "repeat" || directive.name == "for") {
      at = run_block(at);
      continue;
    }
    if (directive.name == "let") run_let(directive);
    ++at;  // only, differs and varies have been looked at before the run
  }
}

std::size_t ScriptRun::run_block(std::size_t at) {
  const auto& directive = std::get<Directive>(script_.lines[at].of);
  std::size_t end = at + 1;
  for (int depth = 1; depth > 0; ++end) {
    const auto* inner = std::get_if<Directive>(&script_.lines[end].of);
    if (inner == nullptr) continue;
    if (inner->name == "repeat" || inner->name == "for") ++depth;
    if (inner->name == "end") --depth;
  }
  const auto& arguments = directive.arguments;
  if (arguments.empty())
    throw StepError("repeat needs a number; for needs a variable's name and values");
  const auto once = [&](const std::string& variable, std::string value) {
    variables_.set(variable, std::move(value));
    run_lines(at + 1, end - 1);
  };
  if (directive.name == "repeat") {
    const std::uint64_t times = number_of(arguments.front().value, variables_);
    for (std::uint64_t i = 1; i <= times; ++i) once("i", std::to_string(i));
  } else {
    const std::string variable = text_of(arguments.front().value, variables_);
    for (std::size_t i = 1; i < arguments.size(); ++i)
      once(variable, text_of(arguments[i].value, variables_));
  }
  return end;
}

// let name=value [times=N]
void ScriptRun::run_let(const Directive& directive) {
  std::string name, value;
  std::uint64_t times = 1;
  for (const Argument& argument : directive.arguments) {
    if (argument.op != Operator::Equals) throw StepError("let needs name=value");
    if (name.empty()) {
      name = argument.name;
      value = text_of(argument.value, variables_);
    } else if (argument.name == "times") {
      times = number_of(argument.value, variables_);
    } else {
      throw StepError("let knows times=N only, not " + argument.name);
    }
  }
  std::string repeated;
  for (std::uint64_t i = 0; i < times; ++i) repeated += value;
  variables_.set(name, repeated);
}

void ScriptRun::run_step(const Step& step) {
  switch (step.direction) {
    case Direction::Send:
      return act(step);
    case Direction::Call:
      act(step);
      return expect_reply(step);
    case Direction::Expect:
    case Direction::ExpectAmong:
      return expect(step);
  }
}

Connection& ScriptRun::connection(const Step& step) {
  const auto found = connections_.find(step.connection);
  if (found == connections_.end())
    throw StepError("no connection " + step.connection + ": open or connect it first");
  return *found->second;
}

std::uint16_t ScriptRun::channel_of(const Step& step, std::string_view method) const {
  if (step.channel) return *step.channel;
  return method.starts_with("connection.") ? 0 : 1;
}

void ScriptRun::store(const Captures& captures) {
  for (const auto& [name, value] : captures) variables_.set(name, value);
}

// Leaves in good order where that is possible, so that exclusive queues are gone before the
// clean-up.
void ScriptRun::close_all() {
  for (auto& [name, connection] : connections_) {
    if (!connection->running() || connection->forgotten()) continue;
    const Deadline until = SteadyClock::now() + kCloseTimeout;
    try {
      if (!connection->closing()) {
        protocol::ConnectionClose request;
        request.reply_code = 200;
        call<protocol::ConnectionCloseOk>(*connection, 0, request, until);
      } else {
        connection->send_method(0, encoded(protocol::ConnectionCloseOk{}), until);
      }
    } catch (const StepError&) {
      // The script may have left the connection in any state; the socket is closed below whatever
      // it was.
    }
  }
  connections_.clear();
}

}  // namespace harrier::scripts
